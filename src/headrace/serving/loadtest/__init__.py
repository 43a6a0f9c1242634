"""An open-loop load test of a running prediction server: how much it answers, how fast, and what holds it back.

Arrivals follow a schedule of their own, whatever the server does; a latency counts from the instant at which a request
was due, so that a server that stalls cannot hide the requests that waited meanwhile.
"""
