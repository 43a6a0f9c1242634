"""What a client is told in place of an answer, and whose fault it is."""

from __future__ import annotations

from typing import Final

from headrace.errors import HeadraceError
from headrace.features.errors import BeforeWatermark
from headrace.language.errors import ValueMismatch
from headrace.scoring.errors import BodyNotJson, BodyRefused, ColumnMissing, ColumnUnknown, ValueRefused
from headrace.serving.http.responses import PROBLEM, Problem, head, problem_body, problem_of, retry_after
from headrace.serving.log.errors import LogFull

OF_THE_ROW: Final = (
    BeforeWatermark,
    BodyNotJson,
    BodyRefused,
    ColumnMissing,
    ColumnUnknown,
    ValueMismatch,
    ValueRefused,
)
"""Faults of what was sent: no other version is asked, and the sender is told."""


def not_answered() -> Problem:
    """Neither the arm nor a fallback has an answer."""
    return Problem(500, "not-answered", "no version that serves this has an answer")


def too_busy() -> Problem:
    """More is asked than can be answered."""
    return Problem(429, "too-busy", "more is asked than can be answered", headers=(retry_after(),))


class ComeAgain:
    """`too_busy` as it is written, made in advance: saying so must cost next to nothing where there is too much to do.

    Parameters
    ----------
    date : of the answers, as HTTP writes it
    seconds : after which to come again
    """

    def __init__(self, date: bytes, seconds: int) -> None:
        lines = (b"date: " + date, b"retry-after: %d" % seconds)
        body = problem_body(too_busy(), None)
        self._plain = head(429, PROBLEM, len(body), *lines) + body
        named = problem_body(too_busy(), "@")
        self._length = len(named) - 1
        begun = head(429, PROBLEM, 0, *lines, b"x-request-id: @").replace(b"-length: 0", b"-length: %d", 1)
        self._named = begun.replace(b"@", b"%b") + named.replace(b"@", b"%b")

    def told(self, name: bytes | None) -> bytes:
        """To a request, by its id if it has given one."""
        return self._plain if name is None else self._named % (self._length + len(name), name, name)


def deadline_passed() -> Problem:
    """Nobody waits for it any more."""
    return Problem(504, "deadline-passed", "there was no answer within the time that the request gave", close=False)


def told_of(error: Exception) -> Problem:
    """What a client is told where its row was not at fault: neither values nor where anything lies."""
    if isinstance(error, HeadraceError):
        return Problem(
            503, error.code, "what predictions are made from cannot be had at the moment", headers=(retry_after(),)
        )
    return Problem(500, "internal", "the server has a fault: it was noted")


def not_kept(error: HeadraceError) -> Problem:
    """What is answered where the log could not take it."""
    problem = problem_of(error, 507 if isinstance(error, LogFull) else 503)
    problem.facts, problem.headers = {}, (retry_after(),)  # where the log lies is nobody's to know
    problem.detail = "the log of predictions cannot take it"
    return problem
