"""The face of a prediction server: HTTP/1.1 on one port, worker by worker. Only `headrace.app` and the supervisor, by
name, start it."""
