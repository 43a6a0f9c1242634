"""Why a package is not loaded, and why a row is not scored."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from headrace.errors import CheckFailed, TroubleOutside, WrongUse

_AGAIN = "do not use this package: restore it from a backup, or run the project again, which makes it anew"


class PackageRefused(CheckFailed):
    """The package is not what was signed, or not by somebody trusted. `facts["file"]` names the file at fault."""

    code = "package-refused"

    def __init__(self, file: str, reason: str, *, fix: str = _AGAIN, **facts: object) -> None:
        super().__init__(f"the package is refused at {file!r}: {reason}", fix=fix, file=file, **facts)


class PackageDamaged(PackageRefused):
    """A file's bytes are not those that the manifest lists."""

    code = "package-damaged"

    def __init__(self, file: str, *, what: str, expected: str | int, found: str | int) -> None:
        super().__init__(file, f"{what} {expected} was signed, {found} was read", expected=expected, found=found)


class PackageFileMissing(PackageRefused):
    """A file that every package has is not there."""

    code = "package-file-missing"

    def __init__(self, file: str, where: str) -> None:
        super().__init__(file, f"it is missing from the {where}", where=where)


class PackageFileUnknown(PackageRefused):
    """A file that no package has is there."""

    code = "package-file-unknown"

    def __init__(self, file: str, where: str) -> None:
        super().__init__(file, f"the {where} has a file that no package of this format has", where=where)


class PackageTooLarge(PackageRefused):
    """A file is larger than this release reads."""

    code = "package-too-large"

    def __init__(self, file: str, *, size: int, limit: int) -> None:
        super().__init__(
            file,
            f"it has {size:,} bytes, at most {limit:,} are read",
            fix="train a smaller model: fewer or shallower trees, or columns with fewer levels",
            size=size,
            limit=limit,
        )


class PackageMismatch(PackageRefused):
    """The files are a package, but not the one that was asked for."""

    code = "package-mismatch"

    def __init__(self, *, what: str, expected: str, found: str) -> None:
        super().__init__("manifest.json", f"the {what} asked for is {expected}, this one's is {found}", found=found)


class PackageUnreadable(PackageRefused):
    """A file is not of the form that its format lays down."""

    code = "package-unreadable"

    def __init__(self, file: str, reason: str) -> None:
        super().__init__(file, reason, fix="load it with the release of headrace that made it, or make it anew")


class SignerNotTrusted(PackageRefused):
    """The package is signed by somebody the project does not list."""

    code = "signer-not-trusted"

    def __init__(self, signer: str, trusted: tuple[str, ...]) -> None:
        known = ", ".join(trusted) if trusted else "nobody"
        super().__init__(
            "manifest.sig",
            f"it is signed by {signer}, this project trusts {known}",
            fix=f'if that key is yours or a colleague\'s, add "{signer}" to signers under [trust] in headrace.toml',
            signer=signer,
            trusted=trusted,
        )


class SignatureWrong(PackageRefused):
    """The signature is not the signer's over this manifest."""

    code = "package-signature-wrong"

    def __init__(self, signer: str) -> None:
        super().__init__("manifest.sig", f"its signature is not that of {signer} over this manifest", signer=signer)


class GraphRefused(PackageRefused):
    """The model graph holds something that our exporters never write."""

    code = "graph-refused"

    def __init__(self, reason: str) -> None:
        super().__init__("model.onnx", reason)


NAME_LETTERS: Final = 80


class GoldenRowsDiffer(PackageRefused):
    """The model answers rows otherwise than when it was made."""

    code = "golden-rows-differ"

    def __init__(self, wrong: int, asked: int) -> None:
        super().__init__(
            "golden.json",
            f"{wrong} of {asked} rows are answered otherwise than when it was made",
            fix="use the libraries of requirements.lock; where it answers so with them too, train it again",
            wrong=wrong,
            asked=asked,
        )


class BodyNotJson(WrongUse):
    """What was sent is no JSON."""

    code = "body-not-json"

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"the body should be JSON in UTF-8: {reason}",
            fix="send one object for a row, or an array of objects; numbers are finite",
            reason=reason,
        )


class BodyRefused(WrongUse):
    """What was sent is JSON of another shape."""

    code = "body-refused"

    def __init__(self, expected: str, found: str) -> None:
        super().__init__(
            f"the body should be {expected}, found {found}",
            fix="send one object for a row, or an array of objects for several",
            expected=expected,
            found=found,
        )


class ColumnMissing(WrongUse):
    """A row lacks a column that the model needs."""

    code = "column-missing"

    def __init__(self, column: str, *, row: int, needs: tuple[str, ...] = ()) -> None:
        instead = f", or all of {', '.join(needs)}, from which it is computed" if needs else ""
        super().__init__(
            f"rows[{row}] has no column {column!r}, which the model needs",
            fix=f"send {column!r}{instead}; where the value is not known, send null",
            row=row,
            column=column,
        )


class ColumnUnknown(WrongUse):
    """A row has a column that the model does not know."""

    code = "column-unknown"

    def __init__(self, column: str, *, row: int, near: str | None) -> None:
        guess = f" (did you mean {near!r}?)" if near else ""
        column = str(column)[:NAME_LETTERS]  # it is the sender's: an error must not grow with it
        super().__init__(
            f"rows[{row}] has a column {column!r} that the model does not know{guess}",
            fix='leave the column out, or pass extra="ignore" if the rows carry more than the model needs',
            row=row,
            column=column,
            near=near,
        )


class ValueRefused(WrongUse):
    """A value is not of its column's type. The message holds no value."""

    code = "value-refused"

    def __init__(self, column: str, *, row: int, expected: str, found: str) -> None:
        super().__init__(
            f"rows[{row}], column {column!r}: expected {expected}, found {found}",
            fix=f"send {column!r} as {expected}, or null where the value is not known",
            row=row,
            column=column,
            expected=expected,
            found=found,
        )


class RowsRefused(WrongUse):
    """What was passed as rows is no table."""

    code = "rows-refused"

    def __init__(self, found: str) -> None:
        super().__init__(
            f"expected rows as mappings or a Polars, pandas or Arrow frame, found {found}",
            fix='pass a list such as [{"column": value, …}, …], or a frame',
            found=found,
        )


class HistoryMissing(WrongUse):
    """The model looks values up in history, and none was given."""

    code = "history-missing"

    def __init__(self, model: str, features: tuple[str, ...]) -> None:
        super().__init__(
            f"{model} needs history for {', '.join(features)}, and none was given",
            fix="load the model with headrace.load(…) inside its project, which opens the history",
            features=features,
        )


class ScoreNotFinite(CheckFailed):
    """The graph answered with something that is no number."""

    code = "score-not-finite"

    def __init__(self, row: int) -> None:
        super().__init__(
            f"the model's answer for rows[{row}] is not a finite number",
            fix="roll back to the version before; `headrace models verify` tells whether this one is whole",
            row=row,
        )


class MatrixRefused(WrongUse):
    """A matrix that does not fit the model's input."""

    code = "matrix-refused"

    def __init__(self, *, expected: str, found: str) -> None:
        super().__init__(f"the model's input is {expected}, found {found}", expected=expected, found=found)


class RowsUnreadable(TroubleOutside):
    """The file to score cannot be read."""

    code = "rows-unreadable"

    def __init__(self, path: Path, reason: str, fix: str) -> None:
        super().__init__(f"{path}: {reason}", fix=fix, path=str(path))


class OutputUnknown(WrongUse):
    """The ending of the output says no format."""

    code = "output-unknown"

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path}: its ending says no format", fix="name it .parquet, .csv or .ndjson", path=str(path))


class OutputIsInput(WrongUse):
    """The answers would take the place of the rows that they are of."""

    code = "output-is-input"

    def __init__(self, path: Path) -> None:
        super().__init__(
            f"{path} is the file of the rows: the answers would take their place",
            fix="name another file with -o",
            path=str(path),
        )


class OutputFailed(TroubleOutside):
    """The answers cannot be written."""

    code = "output-failed"

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(
            f"{path} cannot be written: {reason}; what was there before is untouched",
            fix="free some space or name another place with -o, and run again",
            path=str(path),
        )


class FileColumnMissing(WrongUse):
    """The file lacks a column that the model needs."""

    code = "file-column-missing"

    def __init__(self, path: Path, column: str, *, needs: Sequence[str]) -> None:
        instead = f", or {', '.join(needs)}, from which it is computed" if needs else ""
        super().__init__(
            f"{path} has no column {column!r}, which the model needs",
            fix=f"add {column!r}{instead}; leave the cells empty where the value is not known",
            path=str(path),
            column=column,
        )


class FileColumnUnknown(WrongUse):
    """The file has a column that the contract does not know."""

    code = "file-column-unknown"

    def __init__(self, path: Path, column: str, *, near: str | None) -> None:
        guess = f" (did you mean {near!r}?)" if near else ""
        super().__init__(
            f"{path} has a column {column!r} that the source's contract does not know{guess}",
            fix="leave the column out, or pass --ignore-unknown if the file carries more than the model needs",
            path=str(path),
            column=column,
            near=near,
        )
