"""What can be wrong with features, a label or a frame."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from headrace.errors import CheckFailed, WrongUse


class FeatureError(WrongUse):
    """One mistake in the features, the request or the label of a definition."""

    code = "feature"

    def __init__(self, place: str, message: str, *, fix: str | None = None, **facts: Any) -> None:
        self.place = place
        """The key of the definition, `features.expressions.night`."""
        super().__init__(f"{place}: {message}", fix=fix, place=place, **facts)


class FeatureErrors(WrongUse):
    """Every mistake found, at once."""

    code = "features"

    def __init__(self, errors: Sequence[FeatureError]) -> None:
        self.errors = tuple(errors)
        super().__init__(
            "\n".join(str(error) for error in self.errors), errors=[error.to_dict() for error in self.errors]
        )


class DuplicateStaticKey(CheckFailed):
    """A static table holds two rows for one key, so a lookup has no single answer."""

    code = "duplicate-static-key"

    def __init__(self, *, lookup: str, source: str, key: Sequence[str], rows: int, distinct: int) -> None:
        super().__init__(
            f"lookup {lookup!r}: static table {source!r} has {rows:,} rows but {distinct:,} distinct keys "
            f"({', '.join(key)})",
            fix=f"set unique = {list(key)!r} in [sources.{source}] to quarantine the duplicates, or give the source an "
            "event_time so that the newest row known counts",
            lookup=lookup,
            source=source,
            key=list(key),
            rows=rows,
            distinct=distinct,
        )


class NoLabelledRows(CheckFailed):
    """Nothing is left to learn from."""

    code = "no-labelled-rows"

    def __init__(self, *, label: str, rows: int, unlabelled: int) -> None:
        super().__init__(
            f"no row of {rows:,} can be trained on: the label {label!r} is null, or never becomes known, in "
            f"{unlabelled:,} of them",
            fix="check the columns that the label uses; `headrace check` shows their nulls",
            label=label,
            rows=rows,
            unlabelled=unlabelled,
        )


class LabelKnownTooEarly(CheckFailed):
    """Nearly every label was known before its prediction was asked for."""

    code = "label-known-too-early"

    def __init__(self, *, label: str, time: str, rows: int, early: int) -> None:
        super().__init__(
            f"{early:,} of {rows:,} labels ({label!r}) were known at or before the prediction time {time!r}: "
            "there is nothing to predict",
            fix="correct [project] time, or the `known` of the columns that the label uses",
            label=label,
            time=time,
            rows=rows,
            early=early,
        )


class OneClass(CheckFailed):
    """Every label is the same."""

    code = "one-class"

    def __init__(self, *, label: str, level: str, rows: int) -> None:
        super().__init__(
            f"every one of {rows:,} labels ({label!r}) is {level}: expected at least two classes",
            fix="correct the label, or read rows of the other classes too",
            label=label,
            level=level,
            rows=rows,
        )


class LabelUnfit(CheckFailed):
    """The label's values do not fit the task."""

    code = "label-unfit"


class NullTime(CheckFailed):
    """Rows without a prediction time."""

    code = "null-time"

    def __init__(self, *, time: str, nulls: int, rows: int, first_row: int) -> None:
        super().__init__(
            f"prediction time {time!r} is null in {nulls:,} of {rows:,} rows (first: row {first_row})",
            fix=f'add a check `where = "{time} IS NOT NULL"` with on_fail = "quarantine" to the source',
            time=time,
            nulls=nulls,
            rows=rows,
            first_row=first_row,
        )


class CannotSplit(CheckFailed):
    """No holdout can be cut that leaves rows on both sides."""

    code = "cannot-split"
