"""What a client is told in place of an answer, and whose fault it is."""

from __future__ import annotations

from typing import Final

from headrace.errors import HeadraceError
from headrace.features.errors import BeforeWatermark
from headrace.language.errors import ValueMismatch
from headrace.scoring.errors import BodyNotJson, BodyRefused, ColumnMissing, ColumnUnknown, ValueRefused
from headrace.serving.http.responses import Problem, problem_of, retry_after
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
