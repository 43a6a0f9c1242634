"""The health check of a container."""

from __future__ import annotations

import socket
import threading

import pytest

from headrace.serving.health import is_ready


@pytest.mark.parametrize(
    ("answer", "ready"),
    [(b"HTTP/1.1 200 OK\r\n\r\n", True), (b"HTTP/1.1 503 Service Unavailable\r\n\r\n", False), (b"", False)],
)
def test_a_server_is_ready_when_it_says_so(answer: bytes, ready: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def reply() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(answer)

        thread = threading.Thread(target=reply)
        thread.start()
        assert is_ready(listening.getsockname()[1]) is ready
        thread.join()


def test_nobody_and_one_that_never_answers_are_not_ready() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        assert not is_ready(listening.getsockname()[1], timeout_s=0.2)
        port = listening.getsockname()[1]
    assert not is_ready(port)
