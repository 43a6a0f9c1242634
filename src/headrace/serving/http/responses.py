"""What is written to a connection: heads made in advance, JSON bodies, problems.

Every error has the one shape of RFC 9457 (`application/problem+json`) with our stable code; none holds a value that was
sent, the text of an exception, or a path of the server.
"""

from __future__ import annotations

import time
from http import HTTPStatus
from typing import Any, Final

import msgspec

from headrace.errors import HeadraceError

encode: Final = msgspec.json.Encoder().encode
JSON: Final = b"application/json"
PROBLEM: Final = b"application/problem+json"
TEXT: Final = b"text/plain; version=0.0.4; charset=utf-8"


class Problem(Exception):
    """A request that is answered with an error.

    Parameters
    ----------
    status : of HTTP
    code : stable, documented
    detail : what was expected and found
    headers : further ones, `name: value` without line ends
    close : whether the connection ends with it
    """

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        fix: str | None = None,
        facts: dict[str, Any] | None = None,
        headers: tuple[bytes, ...] = (),
        close: bool = False,
    ) -> None:
        super().__init__(code)
        self.status, self.code, self.detail, self.fix = status, code, detail, fix
        self.facts, self.headers, self.close = facts or {}, headers, close


class Rfc9457(msgspec.Struct, omit_defaults=True):
    """The body of a problem."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    fix: str | None = None
    facts: dict[str, Any] = {}
    id: str | None = None
    error: str | None = None
    """The same as `detail`, under the name that the Open Inference Protocol gives it."""


def problem_of(error: HeadraceError, status: int = 422) -> Problem:
    """What a client is told of one of our errors."""
    return Problem(status, error.code, error.message, fix=error.fix, facts=error.facts)


def version_not_chosen() -> Problem:
    """The version that answers is the route's to say."""
    return Problem(
        404,
        "version-not-chosen",
        "the deployment says which version answers, and it is not, or not alone, the one that was named",
        fix="leave the version out",
    )


def problem_body(problem: Problem, request_id: str | None, *, inference: bool = False) -> bytes:
    """The JSON of a problem; as clients of the Open Inference Protocol read it too, where it is told to one."""
    return encode(
        Rfc9457(
            type=f"urn:headrace:error:{problem.code}",
            title=HTTPStatus(problem.status).phrase,
            status=problem.status,
            detail=problem.detail,
            code=problem.code,
            fix=problem.fix,
            facts=problem.facts,
            id=request_id,
            error=problem.detail if inference else None,
        )
    )


def retry_after() -> bytes:
    """1 to 3 s, so that those who were refused together do not come back together."""
    return b"retry-after: %d" % (1 + time.perf_counter_ns() % 3)


def head(status: int, content_type: bytes, length: int, *more: bytes) -> bytes:
    """The head of an answer, whole."""
    lines = [
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}".encode(),
        b"content-type: " + content_type,
        b"content-length: %d" % length,
        *more,
    ]
    return b"\r\n".join(lines) + b"\r\n\r\n"
