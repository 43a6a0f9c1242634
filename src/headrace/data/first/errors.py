"""What `init` refuses: it was given nothing to make a definition of."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from headrace.definition.document import suggestion
from headrace.definition.locations import ENDINGS
from headrace.errors import WrongUse

KINDS = tuple(ending for ending in ENDINGS if ending.count(".") == 1)
"""Endings of files that a first definition can be made of."""


class NoData(WrongUse):
    """`init` was given nothing to describe, or something that is no data file."""

    code = "no-data"

    def __init__(self, found: str) -> None:
        super().__init__(
            f"expected data files ({', '.join(KINDS)}), found {found}",
            fix="headrace init data/flights.csv data/weather.parquet",
            found=found,
        )


class NoSuchFile(WrongUse):
    """A file that `init` was given is not there."""

    code = "no-such-file"

    def __init__(self, path: Path) -> None:
        siblings = [one.name for one in path.parent.iterdir()] if path.parent.is_dir() else []
        guess = suggestion(path.name, siblings)
        super().__init__(
            f"expected a data file, found nothing at {path}",
            fix=f"did you mean {path.parent / guess}?" if guess else "give the path of a file that is there",
            path=str(path),
        )


class OneColumn(WrongUse):
    """A table of one column: there is nothing to predict from."""

    code = "one-column"

    def __init__(self, source: str, place: str) -> None:
        super().__init__(
            f"source {source!r}: expected two columns or more, one to predict and one to predict from; {place} has one",
            fix="check which character separates its fields: a comma, a semicolon, a tab and | are tried",
            source=source,
            place=place,
        )


class NothingToPredictFrom(WrongUse):
    """Every column but the label's is left out, for good."""

    code = "no-inputs"

    def __init__(self, source: str, left_out: Sequence[tuple[str, str]]) -> None:
        reasons = "; ".join(f"{column}: {why}" for column, why in left_out)
        super().__init__(
            f"source {source!r}: expected a column to predict from, found none ({reasons})",
            fix="give a table that tells more of each row",
            source=source,
            left_out=dict(left_out),
        )


class NothingToLearn(WrongUse):
    """A label of which nothing can be learnt."""

    code = "nothing-to-learn"

    def __init__(self, label: str, found: str, fix: str) -> None:
        super().__init__(f"--label {label!r}: expected values to tell apart, found {found}", fix=fix, label=label)
