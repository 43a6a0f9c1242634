"""Whether the server on this machine answers predictions: the health check of a container, which has no other client.

`/readyz` is 200 where a worker has its versions loaded and they answer their golden rows. It imports next to nothing,
since it is started anew every few seconds.
"""

from __future__ import annotations

import socket
import sys
from typing import Final

TIMEOUT_S: Final = 4.0
_MOST: Final = 65_536


def is_ready(port: int, host: str = "127.0.0.1", timeout_s: float = TIMEOUT_S) -> bool:
    """What `/readyz` says; False as well where nobody listens or the answer does not come in time."""
    request = b"GET /readyz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
    try:
        with socket.create_connection((host, port), timeout=timeout_s) as connection:
            connection.sendall(request)
            answer = connection.recv(_MOST)
    except OSError:
        return False
    return answer.startswith(b"HTTP/1.1 200 ")


if __name__ == "__main__":
    sys.exit(0 if is_ready(int(sys.argv[1])) else 1)
