"""A Delta table, on this machine or in an object store, at its newest version or a given one.

The log says which files are live and which of their rows are deleted; nothing else of the folder is read. A table that
needs more than Polars reads (column mapping, say) is refused: its files would give wrong names or rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

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
    from deltalake import DeltaTable


def state(source: Source, place: Place) -> SourceState:
    """The version of the table, and the bytes of its live files."""
    with _reading(source, place):
        table = _opened(source, place)
        size = sum(table.get_add_actions(flatten=True).column("size_bytes").to_pylist())
        return SourceState(source=source.name, parts=((_shown(source), size, f"version {table.version()}"),))


def sample(source: Source, place: Place, rows: int, workdir: Path) -> Iterator[Sample]:  # noqa: ARG001 - the port's form
    """The first rows of the table, in its own types."""
    import polars as pl

    with _reading(source, place):
        scan, _ = plain_columns(pl.scan_delta(_opened(source, place)))
        yield Sample(_shown(source), scan.head(rows).collect())


def copy(source: Source, place: Place, types: Mapping[str, Type], target: Path, workdir: Path) -> Copied:  # noqa: ARG001
    """Write every live row to `target`, file by file in the order of their names; see `Adapter`."""
    import polars as pl

    with _reading(source, place):
        scan, warnings = plain_columns(pl.scan_delta(_opened(source, place)), types)
        names = tuple(scan.collect_schema())
        same_columns(source.name, [(_shown(source), names)])
        sink(scan, target)
    return Copied(columns=names, rows=row_count(target), files=(), warnings=warnings)


def _opened(source: Source, place: Place) -> DeltaTable:
    try:
        from deltalake import DeltaTable
    except ImportError:
        raise MissingDependency("deltalake", extra="build", needed_for=f"source {source.name!r}") from None

    class TableInOrder(DeltaTable):
        """A table whose files come by name: the log's order depends on how it was last written down."""

        def file_uris(self, *arguments: Any, **named: Any) -> list[str]:
            return sorted(map(self._path_of, super().file_uris(*arguments, **named)))

        def deletion_vectors(self) -> Any:
            import polars as pl

            named = pl.DataFrame(super().deletion_vectors())
            return named.with_columns(pl.col("filepath").map_elements(self._path_of, pl.String))

        def _path_of(self, uri: str) -> str:
            """A local file as it is called: the library writes the table's own folder as a URL has it, and no more."""
            if not self.table_uri.startswith("file://"):
                return uri
            root = self.table_uri.removeprefix("file://")
            path = uri.removeprefix("file://")
            return unquote(root) + path.removeprefix(root) if path.startswith(root) else path

    address = resolve(source.read[0], place.env, place.root)
    if address.startswith("s3://"):
        from headrace.data.s3 import storage_options

        options = storage_options(source.name, address, place.env)
        return TableInOrder(address, version=source.version, storage_options=options or None)
    folder = place.root / address.removeprefix("file://")
    if not (folder / "_delta_log").is_dir():
        raise SourceMissing(source.name, source.read[0], where=f"{place.root} (no folder _delta_log in it)")
    return TableInOrder(folder.resolve().as_uri(), version=source.version)


@contextmanager
def _reading(source: Source, place: Place) -> Iterator[None]:
    """Says in the source's words what the libraries say in theirs."""
    from deltalake.exceptions import DeltaError, DeltaProtocolError, TableNotFoundError
    from polars.exceptions import PanicException, PolarsError

    shown = _shown(source)
    is_remote = resolve(source.read[0], place.env, place.root).startswith("s3://")
    try:
        yield
    except TableNotFoundError:
        raise SourceMissing(source.name, source.read[0], where="the store (no Delta table is there)") from None
    except DeltaProtocolError as error:
        raise TableUnsupported(source.name, shown, _first_line(error)) from None
    except (DeltaError, OSError, PolarsError, PanicException) as error:
        if source.version is not None and "specified end version" in str(error):
            raise VersionMissing(source.name, shown, source.version) from None
        if is_remote:
            from headrace.data.s3 import reason_of

            raise SourceUnavailable(source.name, shown, reason_of(error, place.env)) from None
        raise SourceUnreadable(source.name, shown, f"a file of it is gone or damaged ({_first_line(error)})") from None


def _shown(source: Source) -> str:
    return redact(source.read[0])


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0]
