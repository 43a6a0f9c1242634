"""What a source says of the form of its files, held against the format that it has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from headrace.definition.document import shown
from headrace.definition.kinds import Fields
from headrace.definition.locations import DATABASES
from headrace.definition.model import FixedField, Incremental

_KEYS = {
    "separator": (("csv", "tsv"), "only CSV and TSV have separators"),
    "sheet": (("excel",), "only workbooks have sheets"),
    "rows": (("json",), "only JSON documents have a path to their rows (NDJSON has a row a line)"),
    "version": (("delta", "iceberg"), "only tables with a log have versions"),
    "fields": (("fixed",), "only fixed-width files need their fields listed"),
    "skip": (("fixed", "excel"), "only of fixed-width files and workbooks something is skipped"),
}
"""Key → the formats that have it, and what to say of others."""
_NO_FILES = ("delta", "iceberg")
"""Tables whose files are not rows that stay."""


def format_part(fields: Fields, format_: str | None) -> dict[str, Any]:
    """The arguments of a `Source` that belong to its format, after noting those that do not."""
    at = fields.at
    for key, (formats, why) in _KEYS.items():
        if key in fields.values and format_ is not None and format_ not in formats:
            wanted = " or ".join(f'"{one}"' for one in formats)
            at.key(key).wrong(why, expected=f"format {wanted}", found=f'"{format_}"', fix="take it out")
    read = fields.get("read", ())
    if format_ in _NO_FILES and len(read) > 1:
        at.key("read").wrong(
            "one source reads one table", expected="one address", found=f"{len(read)}", fix="make it two sources"
        )
    web = next((url for url in read if url.startswith(("http://", "https://"))), None)
    if format_ in _NO_FILES and web is not None:
        at.key("read").wrong(
            "such a table is a folder, which a web server does not list",
            expected="a path, or s3://BUCKET/PREFIX",
            found=shown(web),
            fix="read it where it is stored",
        )
    if format_ == "fixed" and "fields" not in fields.values and not at.key("fields").is_broken:
        fix = 'write fields = [{ name = "id", width = 8 }, …]'
        at.missing("fields", expected="the columns and their widths", fix=fix)
    return fields.only("separator", "sheet", "rows", "skip", "version") | {
        "fields": _fixed_fields(fields),
        "incremental": _incremental(fields, format_),
    }


def _incremental(fields: Fields, format_: str | None) -> Incremental | None:
    value = fields.get("incremental")
    if value is None or format_ is None:
        return None
    at, by_column = fields.at.key("incremental"), isinstance(value, Fields)
    if "from" in fields.values:
        at.wrong(
            "an entity is made from other sources; they are read",
            expected="`incremental` in their sections",
            found="it beside `from`",
            fix="move it there",
        )
    elif by_column and format_ not in DATABASES:
        at.wrong(
            "only queries are read from a value on",
            expected="a database" if format_ in _NO_FILES else '"files"',
            found=f'a column, of format "{format_}"',
            fix="take it out" if format_ in _NO_FILES else 'write incremental = "files"',
        )
    elif not by_column and format_ in (*DATABASES, *_NO_FILES):
        at.wrong(
            "what is new in it is not told by files",
            expected="a table with a column" if format_ in DATABASES else "nothing",
            found='"files"',
            fix='write incremental = { column = "id" }' if format_ in DATABASES else "take it out",
        )
    elif not by_column:
        return Incremental()
    elif value.get("column") is not None:
        return Incremental(column=value.get("column"))
    return None


def _fixed_fields(fields: Fields) -> tuple[FixedField, ...]:
    found: list[FixedField] = []
    given: Sequence[Fields] = fields.get("fields", ())
    for n, one in enumerate(given):
        name, width = one.get("name"), one.get("width")
        if name is None or width is None:
            continue
        after = found[-1].start + found[-1].width if found else 0
        start = one.get("start", after + 1) - 1
        if start < after:
            fields.at.key("fields", n, "start").wrong(
                "the column begins within the one before it",
                expected=f"{after + 1} or more",
                found=str(start + 1),
                fix="list the columns from left to right; leave `start` out where nothing lies between them",
            )
            continue
        if any(name == other.name for other in found):
            fields.at.key("fields", n, "name").wrong(
                "two columns have one name",
                expected="names that differ",
                found=f"`{name}`",
                fix="rename one",
                code="duplicate",
            )
            continue
        found.append(FixedField(name=name, start=start, width=width))
    return tuple(found)
