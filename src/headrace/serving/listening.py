"""The socket that a server's workers share, and who may reach it."""

from __future__ import annotations

import os
import re
import socket
from ipaddress import ip_address
from typing import Final

from headrace.serving.errors import AddressNotLocal, AddressUnknown, PortTaken

_BACKLOG: Final = 2048


_NO_NAME: Final = re.compile(r"[^0-9A-Za-z._-]")


def own_host() -> str:
    """What this machine, container or pod is called, for people; nothing in it that a terminal would obey."""
    return _NO_NAME.sub("?", os.environ.get("HOSTNAME") or socket.gethostname())[:253]


def is_local(host: str) -> bool:
    """Whether nobody but this machine can reach it."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def check_reach(host: str, *, to_all: bool) -> None:
    """Raise `AddressNotLocal` where other machines could reach the address, and may not."""
    if not to_all and not is_local(host):
        raise AddressNotLocal(host)


def as_header(host: str) -> str:
    """As a `Host` header names it.

    >>> as_header("2001:db8::5"), as_header("127.0.0.1")
    ('[2001:db8::5]', '127.0.0.1')
    """
    return f"[{host}]" if ":" in host else host


def bind(address: tuple[str, int], *, to_all: bool = False) -> socket.socket:
    """A listening socket that workers share: who is free takes the next connection, and a worker that is stopped gets
    none; other machines may reach it `to_all` alone. Raises `AddressNotLocal`,
    `AddressUnknown` or `PortTaken`."""
    check_reach(address[0], to_all=to_all)
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind(address)
        listening.listen(_BACKLOG)
    except (socket.gaierror, UnicodeError, TypeError) as error:  # it is looked up, and there is none
        listening.close()
        raise AddressUnknown(address[0]) from error
    except OSError as error:
        listening.close()
        raise PortTaken(address[0], address[1], os.strerror(error.errno or 0)) from error
    listening.setblocking(False)
    return listening
