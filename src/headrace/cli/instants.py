"""Instants as people type them, and as they read them."""

from __future__ import annotations

from datetime import date

from headrace.errors import WrongUse


class NotAnInstant(WrongUse):
    """Text that is no instant."""

    code = "not-an-instant"

    def __init__(self, text: str) -> None:
        super().__init__(
            f"expected an instant in ISO 8601, found {text!r}", fix="for example 2026-11-23T10:00:00Z", found=text
        )


class NotADay(WrongUse):
    """Text that is no day."""

    code = "not-a-day"

    def __init__(self, text: str) -> None:
        super().__init__(f"expected a day in ISO 8601, found {text!r}", fix="for example 2026-11-23", found=text)


class NotADuration(WrongUse):
    """Text that is no duration."""

    code = "not-a-duration"

    def __init__(self, text: str) -> None:
        super().__init__(f"expected a duration, found {text!r}", fix="for example 10s, 5m or 1h", found=text)


def day_of(text: str) -> date:
    """A day in ISO 8601."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise NotADay(text) from None


def duration_s(text: str) -> float:
    """Seconds of a duration, as 10s or 5m."""
    from headrace.definition.quantities import parse_duration

    us = parse_duration(text)
    if not us:
        raise NotADuration(text)
    return us / 1e6


def instant_us(text: str) -> int:
    """Microseconds since 1970 of an instant in ISO 8601; without an offset it is UTC."""
    from headrace.language.errors import ValueMismatch
    from headrace.language.types import Type
    from headrace.language.values import decode

    try:
        found = decode(text, Type.TIMESTAMP)
    except ValueMismatch as error:
        raise NotAnInstant(text) from error
    assert isinstance(found, int)
    return found


def utc(us: int | None) -> str:
    """2026-11-23T10:00:00Z, to be typed again; a dash for none."""
    from headrace.language.row_kernels import timestamp_to_text

    return "-" if us is None else timestamp_to_text(us)
