"""Why a batch is not answered."""

from __future__ import annotations

from typing import Final

from headrace.errors import WrongUse

_NAMES: Final = {"arrow": "an Arrow stream", "parquet": "a Parquet file"}


class BatchUnreadable(WrongUse):
    """The body is not of the format that it says."""

    code = "batch-unreadable"

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(
            f"the body should be {_NAMES[kind]}; reading it ended with {reason}",
            fix=f"send {_NAMES[kind]} that is whole, under its own media type",
            format=kind,
            reason=reason,
        )


class BatchRefused(WrongUse):
    """The batch has a shape that is not answered."""

    code = "batch-refused"

    def __init__(self, expected: str, found: str) -> None:
        super().__init__(
            f"a batch has {expected}, found {found}",
            fix="send the columns that the model reads, each once",
            expected=expected,
            found=found,
        )


class BatchTooLarge(WrongUse):
    """The batch is larger than a server answers at once."""

    code = "batch-too-large"

    def __init__(self, what: str, limit: int, *, found: int | None) -> None:
        more = "more were sent" if found is None else f"{found:,} were sent"
        super().__init__(
            f"a batch has at most {limit:,} {what}, {more}",
            fix="send it in parts",
            what=what,
            limit=limit,
        )
