"""What can be wrong with a question to the registry, or with its answer."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from headrace.errors import CheckFailed, WrongUse


class ReferenceInvalid(WrongUse):
    """A text that names no version."""

    code = "reference-invalid"

    def __init__(self, text: str) -> None:
        super().__init__(
            f"{text!r} does not name a version",
            fix="write MODEL, MODEL@ALIAS or MODEL@NUMBER, for example flight-delays@champion or flight-delays@3",
            text=text,
        )


class AliasInvalid(WrongUse):
    """A text that cannot be an alias."""

    code = "alias-invalid"

    def __init__(self, text: str) -> None:
        super().__init__(
            f"{text!r} cannot be an alias: small letters, digits, - and _, at most 64, the first a letter",
            fix="choose a name such as champion or challenger",
            text=text,
        )


class ModelUnknown(WrongUse):
    """The registry has no version of a model of that name."""

    code = "model-unknown"

    def __init__(self, model: str, known: Iterable[str]) -> None:
        near = near_miss(model, known)
        super().__init__(
            f"there is no version of a model {model!r}{did_you_mean(near)}",
            fix="`headrace models list` shows what there is; `headrace run` makes a version",
            model=model,
            near=near,
        )


class VersionUnknown(WrongUse):
    """The model has no version of that number."""

    code = "version-unknown"

    def __init__(self, model: str, number: int, known: Iterable[int]) -> None:
        numbers = sorted(known)
        near = min(numbers, key=lambda n: (abs(n - number), n), default=None)
        there = f"versions {numbers[0]} to {numbers[-1]}" if len(numbers) > 1 else f"version {near} only"
        super().__init__(
            f"{model} has no version {number}: it has {there}{did_you_mean(near)}",
            fix=f"`headrace models list` shows the versions of {model}",
            model=model,
            number=number,
            near=near,
        )


class AliasUnknown(WrongUse):
    """The model has no alias of that name."""

    code = "alias-unknown"

    def __init__(self, model: str, alias: str, known: Iterable[str]) -> None:
        known = sorted(known)
        near = near_miss(alias, known)
        there = f"its aliases are {', '.join(known)}" if known else "it has no alias yet"
        super().__init__(
            f"{model} has no alias {alias!r}: {there}{did_you_mean(near)}",
            fix=f"`headrace models promote {model}@NUMBER --alias {alias}` makes it",
            model=model,
            alias=alias,
            near=near,
        )


class NothingToRollBack(WrongUse):
    """The alias never pointed at another version."""

    code = "nothing-to-roll-back"

    def __init__(self, model: str, alias: str, number: int) -> None:
        super().__init__(
            f"{model}@{alias} points at version {number} and at none before it",
            fix=f"`headrace models promote {model}@NUMBER --alias {alias}` moves it where you want",
            model=model,
            alias=alias,
            number=number,
        )


class AliasMoved(CheckFailed):
    """Somebody moved the alias in the meantime."""

    code = "alias-moved"

    def __init__(self, model: str, alias: str, *, expected: int | None, found: int | None) -> None:
        super().__init__(
            f"{model}@{alias} was expected at {_version(expected)} and is at {_version(found)}: somebody moved it",
            fix=f"look at it again (`headrace models show {model}@{alias}`) and decide anew",
            model=model,
            alias=alias,
            expected=expected,
            found=found,
        )


class RecordMismatch(CheckFailed):
    """The catalog says something else of a version than its package does."""

    code = "record-mismatch"

    def __init__(self, model: str, number: int, *, what: str, expected: str, found: str) -> None:
        super().__init__(
            f"the catalog says that {what} of {model} version {number} is {expected}, the package says {found}",
            fix="restore the catalog from a backup; do not use this version",
            model=model,
            number=number,
            expected=expected,
            found=found,
        )


class ExportTargetTaken(WrongUse):
    """The folder to export to is there and not empty."""

    code = "export-target-taken"

    def __init__(self, folder: str) -> None:
        super().__init__(
            f"{folder} is there already and is not an empty folder",
            fix="name a new folder: an export writes the package's files and nothing else lies beside them",
            folder=folder,
        )


def near_miss(name: str, known: Iterable[str]) -> str | None:
    """The known name that is most like this one, if any is like it."""
    return next(iter(difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.6)), None)


def did_you_mean(near: object | None) -> str:
    """The guess as it stands in a message; nothing when there is none."""
    return "" if near is None else f" (did you mean {near!r}?)"


def _version(number: int | None) -> str:
    return "no version" if number is None else f"version {number}"
