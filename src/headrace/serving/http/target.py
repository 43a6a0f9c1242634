"""A request's target that is a whole address: a client may send one as it would to a proxy (RFC 9112, 3.2.2)."""

from __future__ import annotations

import re
from typing import Final

from headrace.serving.http.responses import Problem

# a port is digits, so what follows a colon is never a second name; "@" would put a user before the host
_ADDRESS: Final = re.compile(rb"https?://((?:[^\[\]@:/?#]+|\[[^\[\]@/?#]+\])(?::[0-9]*)?)(/.*|\?.*)?", re.IGNORECASE)


def split_target(target: bytes) -> tuple[bytes, bytes]:
    """The host, with its port, and the path, with its query, of a target that is an address. Of the path nothing is
    decoded or tidied: it means what it would mean alone.

    `https` is taken without TLS, too: who asks there is of this machine, or a front that has ended TLS.

    >>> split_target(b"http://localhost:8000/healthz?a=b")
    (b'localhost:8000', b'/healthz?a=b')

    Raises
    ------
    Problem : another scheme, no host, or a user before it.
    """
    found = _ADDRESS.fullmatch(target)
    if found is None:
        raise Problem(
            400,
            "target-malformed",
            "a target is a path, or an address that begins with http:// or https:// and a host, without a user",
            close=True,
        )
    path: bytes = found[2] or b"/"
    return found[1], path if path.startswith(b"/") else b"/" + path
