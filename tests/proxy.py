"""A line to a server that goes quiet: what was sent before arrives, nothing after, and the connection stands."""

from __future__ import annotations

import socket
import threading
from contextlib import ExitStack, suppress
from types import TracebackType
from typing import Self


class QuietingProxy:
    """Listens on a port of its own; of what the server sends it passes on so many bytes."""

    def __init__(self, server_port: int, passes_bytes: int) -> None:
        self._server_port, self._passes_bytes = server_port, passes_bytes
        self._open = ExitStack()
        self._listener = self._open.enter_context(socket.create_server(("127.0.0.1", 0)))
        self.port = int(self._listener.getsockname()[1])

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._server_port))
                self._open.enter_context(client)
                self._open.enter_context(server)
                threading.Thread(target=_pass_on, args=(client, server, None), daemon=True).start()
                threading.Thread(target=_pass_on, args=(server, client, self._passes_bytes), daemon=True).start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._open.close()


def _pass_on(here: socket.socket, there: socket.socket, at_most: int | None) -> None:
    passed = 0
    with suppress(OSError):
        while data := here.recv(65_536):
            if at_most is not None:
                data = data[: at_most - passed]
            there.sendall(data)
            passed += len(data)
            if passed == at_most:
                return
