"""An Iceberg table, on this machine or in an object store, at its newest snapshot or a given one.

The newest metadata file of the table says which files are live, which of their rows are deleted and what their columns
are called today; nothing else of the folder is read. There is no catalog in between: the metadata file with the
highest number is the table. What Polars does not read (equality deletes, say) is refused.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from headrace.data.blocks import row_count, sink
from headrace.data.errors import (
    SourceMissing,
    SourceUnavailable,
    SourceUnreadable,
    TableUnsupported,
    VersionMissing,
)
from headrace.data.model import SourceState
from headrace.data.sources import Copied, Place, Sample
from headrace.data.sources.columns import plain_columns, same_columns
from headrace.definition.model import Source
from headrace.definition.secrets import redact, resolve
from headrace.errors import MissingDependency
from headrace.language.types import Type

if TYPE_CHECKING:
    import polars as pl
    from pyiceberg.table import StaticTable
    from pyiceberg.table.snapshots import Snapshot

_METADATA: Final = re.compile(r"v?(\d+)(?:-[0-9A-Za-z-]+)?(?:\.gz)?\.metadata\.json(?:\.gz)?")
_NEWEST_FORM: Final = 2
"""Of the table format's versions, the newest that is read here."""
_SETTINGS: Final = {
    "aws_access_key_id": "s3.access-key-id",
    "aws_secret_access_key": "s3.secret-access-key",
    "aws_session_token": "s3.session-token",
    "aws_region": "s3.region",
    "aws_endpoint_url": "s3.endpoint",
}
"""Names of an object store's settings: Polars' → pyiceberg's."""


def state(source: Source, place: Place) -> SourceState:
    """The snapshot and the metadata file that names it, and the bytes of its live files."""
    with _reading(source, place):
        table = _opened(source, place)
        snapshot = _snapshot(source, table)
        at = table.metadata_location.rpartition("/")[2]
        if snapshot is None:
            return SourceState(source=source.name, parts=((_shown(source), 0, f"no snapshot, {at}"),))
        told = {} if snapshot.summary is None else snapshot.summary.additional_properties
        size = int(told.get("total-files-size") or 0)
        stamp = f"snapshot {snapshot.snapshot_id}" + (f", {at}" if source.version is None else "")
        return SourceState(source=source.name, parts=((_shown(source), size, stamp),))


def sample(source: Source, place: Place, rows: int, workdir: Path) -> Iterator[Sample]:  # noqa: ARG001 - the port's form
    """The first rows of the table, in its own types."""
    with _reading(source, place):
        scan, _ = plain_columns(_scan(source, _opened(source, place)))
        yield Sample(_shown(source), scan.head(rows).collect())


def copy(source: Source, place: Place, types: Mapping[str, Type], target: Path, workdir: Path) -> Copied:  # noqa: ARG001
    """Write every live row to `target`, file by file in the order of the snapshot's lists; see `Adapter`."""
    with _reading(source, place):
        scan, warnings = plain_columns(_scan(source, _opened(source, place)), types)
        names = tuple(scan.collect_schema())
        same_columns(source.name, [(_shown(source), names)])
        sink(scan, target)
    return Copied(columns=names, rows=row_count(target), files=(), warnings=warnings)


def _scan(source: Source, table: StaticTable) -> pl.LazyFrame:
    import polars as pl

    os.environ.setdefault("POLARS_ICEBERG_PLANNER", "pyiceberg")  # the other planner is not among what is installed
    snapshot = _snapshot(source, table)
    version = None if snapshot is None or source.version is None else snapshot.snapshot_id
    options = {name: table.io.properties[key] for name, key in _SETTINGS.items() if key in table.io.properties}
    return pl.scan_iceberg(table, snapshot_id=version, storage_options=options or None)


def _snapshot(source: Source, table: StaticTable) -> Snapshot | None:
    if table.metadata.format_version > _NEWEST_FORM:
        raise TableUnsupported(source.name, _shown(source), f"it is of format version {table.metadata.format_version}")
    if source.version is None:
        return table.current_snapshot()
    found = table.snapshot_by_id(source.version)
    if found is None:
        raise VersionMissing(source.name, _shown(source), source.version)
    return found


def _opened(source: Source, place: Place) -> StaticTable:
    from pyiceberg.exceptions import ValidationError
    from pyiceberg.table import StaticTable

    address = resolve(source.read[0], place.env, place.root)
    settings: dict[str, str] = {}
    where = "the bucket" if address.startswith("s3://") else str(place.root)
    if address.startswith("s3://"):
        from headrace.data.s3 import list_objects, storage_options

        options = storage_options(source.name, address, place.env)
        settings = {_SETTINGS[name]: value for name, value in options.items() if name in _SETTINGS}
        pattern = address if _is_metadata(address) else f"{address.rstrip('/')}/metadata/*"
        found = [file.name for file in list_objects(source.name, pattern, place.env)]
    else:
        folder = place.root / address.removeprefix("file://")
        files = [folder] if _is_metadata(address) else (folder / "metadata").glob("*")
        found = [f"file://{path.resolve()}" for path in files if path.is_file()]  # pyiceberg decodes no address
    newest = _newest(source, found, where)
    try:
        return StaticTable.from_metadata(newest, settings)
    except (ValueError, ValidationError):
        where = f"{_shown(source)}: {newest.rpartition('/')[2]}"
        raise SourceUnreadable(source.name, where, "it is cut or damaged: it describes no table") from None


def _is_metadata(address: str) -> bool:
    return _METADATA.fullmatch(address.rpartition("/")[2]) is not None


def _newest(source: Source, files: Sequence[str], where: str) -> str:
    """The metadata file with the highest number."""
    numbers = {file: int(match[1]) for file in files if (match := _METADATA.fullmatch(file.rpartition("/")[2]))}
    newest = sorted(file for file, number in numbers.items() if number == max(numbers.values()))
    if not newest:
        raise SourceMissing(
            source.name,
            source.read[0],
            where=f"{where} (no ….metadata.json in a folder metadata there: it is no Iceberg table)",
        )
    if len(newest) > 1:
        names = " and ".join(file.rpartition("/")[2] for file in newest[:2])
        raise TableUnsupported(
            source.name, _shown(source), f"two commits have its highest number, {names}: name the right one in `read`"
        )
    return newest[0]


@contextmanager
def _reading(source: Source, place: Place) -> Iterator[None]:
    """Says in the source's words what the libraries say in theirs."""
    from polars.exceptions import PanicException, PolarsError

    try:
        from pyiceberg.exceptions import ValidationError
    except ImportError:
        raise MissingDependency("pyiceberg", extra="iceberg", needed_for=f"source {source.name!r}") from None
    shown = _shown(source)
    try:
        yield
    except NotImplementedError as error:
        raise TableUnsupported(source.name, shown, _first_line(error)) from None
    except (ValueError, LookupError, TypeError, OSError, PolarsError, PanicException, ValidationError) as error:
        if "equality delete" in str(error):
            raise TableUnsupported(source.name, shown, "rows of it are deleted by their values") from None
        if resolve(source.read[0], place.env, place.root).startswith("s3://"):
            from headrace.data.s3 import reason_of

            raise SourceUnavailable(source.name, shown, reason_of(error, place.env)) from None
        raise SourceUnreadable(source.name, shown, f"a file of it is gone or damaged ({_first_line(error)})") from None


def _shown(source: Source) -> str:
    return redact(source.read[0])


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0]
