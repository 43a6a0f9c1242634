"""A first definition proposed from data files: what their rows show, each with its evidence, and no more than that."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from msgspec import structs

from headrace.data.first.errors import NoData, NothingToPredictFrom, OneColumn
from headrace.data.first.files import sources_in
from headrace.data.first.inputs import (
    Inputs,
    Time,
    check_label,
    dropped,
    inputs_of,
    label_of,
    lookups_of,
    meant,
    time_of,
    time_parts,
)
from headrace.data.first.keys import Key, Reference, key_of, references_of, without_circles
from headrace.data.first.look import MOST_ROWS, Look, look_at
from headrace.data.first.rules import personal_of, rules_of
from headrace.definition.expressions import columns_of
from headrace.definition.lock import Lock
from headrace.definition.model import Source
from headrace.definition.writer import FirstPlan, FirstReference, FirstSource, first_definition, source_names
from headrace.language.types import Type

_ROWS_TO_SPLIT: Final = 100
"""A time needs so many rows that the latest of them can be held back."""


@dataclass(frozen=True, slots=True)
class Found:
    """What was found of a source, for people."""

    source: str
    rows: int
    is_cut: bool
    columns: int
    key: tuple[str, ...]
    time: str | None
    personal: tuple[tuple[str, str], ...]
    """Column, and the kinds."""
    references: tuple[tuple[str, str], ...]
    """Column, and the column of another source whose values it has."""
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Proposal:
    """A first definition, its lock, and what they rest on."""

    text: str
    lock: Lock
    found: tuple[Found, ...]
    label: str | None
    request: tuple[str, ...]
    left_out: tuple[tuple[str, str], ...]


def propose(
    folder: Path, data: Sequence[Path], label: str | None, env: Mapping[str, str], *, most_rows: int = MOST_ROWS
) -> Proposal:
    """A definition of these files: sources, keys, times, rules, and what a request may carry.

    Parameters
    ----------
    folder
        The project's; paths are written relative to it.
    label
        An expression over the first source's columns.
    most_rows
        Rows of a source that are looked at.

    Raises
    ------
    NoData, OneColumn, NothingToLearn, ExpressionError, and whatever reading a source raises.
    """
    with tempfile.TemporaryDirectory(prefix="headrace-init-") as work:
        looks = _look(folder, data, label, env, Path(work), most_rows)
        return _proposal(folder, looks, label)


def _look(
    folder: Path, data: Sequence[Path], label: str | None, env: Mapping[str, str], work: Path, most_rows: int
) -> dict[str, Look]:
    """The sources; of a database, what is likely personal is not read at all."""
    if not data:
        raise NoData("no file")
    found = sources_in(folder, data, env)
    looks: dict[str, Look] = {}
    for files, name in zip(found, source_names([one.name for one in found]), strict=True):
        source = Source(name=name, read=files.read, format=files.format, query=files.query())
        look = look_at(source, folder, env, work / name, most_rows=most_rows)
        kept = columns_of(meant(label, look)) if label is not None and not looks else frozenset()
        unread = tuple((one, personal_of(look, one)) for one in look.types if look.is_personal(one) and one not in kept)
        if unread and files.table is not None and len(unread) < len(look.types):
            source = structs.replace(source, query=files.query(without=dict(unread)))
            look = replace(look_at(source, folder, env, work / name, most_rows=most_rows), unread=unread)
        looks[name] = look
        if len(looks[name].types) < 2:
            raise OneColumn(name, " and ".join(files.read))
    return looks


def _proposal(folder: Path, looks: Mapping[str, Look], label: str | None) -> Proposal:
    first = next(iter(looks.values()))
    why = ""
    if label is None:
        label, why = label_of(first)
    else:
        label = meant(label, first)
        check_label(first, label)
    of_label = frozenset() if label is None else columns_of(label)
    keys = {name: key_of(look, of_label if look is first else ()) for name, look in looks.items()}
    times = {name: _event_time(look, keys[name], of_label, is_first=look is first) for name, look in looks.items()}
    references = {
        name: references_of(look, [(other, keys[there]) for there, other in looks.items() if other is not look])
        for name, look in looks.items()
    }
    name = first.source.name
    time = times[name].column
    asked_at = time if time is not None and _can_split(first, time) else None
    to_static = [one for one in references[name] if times[one.source].column is None]
    inputs = inputs_of(first, keys[name], asked_at, label, to_static)
    plan = structs.replace(_plan(looks, keys[name], to_static, times, inputs, asked_at), label_evidence=why)
    request = inputs.request or _last_resort(first, of_label, inputs)
    checked = without_circles(references)
    sources = [
        _first_source(look, keys[look.source.name], times[look.source.name], checked[look.source.name])
        for look in looks.values()
    ]
    text = first_definition(folder.resolve().name, sources, label, request, plan)
    return Proposal(
        text=text,
        lock=Lock(sources={name: dict(look.locked) for name, look in looks.items()}),
        found=tuple(_found(look, keys, times, references) for look in looks.values()),
        label=label,
        request=tuple(request),
        left_out=inputs.left_out,
    )


def _event_time(look: Look, key: Key | None, of_label: Collection[str], *, is_first: bool) -> Time:
    """Of another source than the first only a time that is part of its key: else its rows hold for all time."""
    found = time_of(look, of_label)
    if is_first or found.column is None or key is None or found.column in key.columns:
        return found
    why = f"its rows are told apart without {found.column}, so they are taken to hold for all time"
    return Time(None, f"{why}; if they change, name event_time and known")


def _can_split(look: Look, time: str) -> bool:
    """Whether a time can be that of the prediction: an instant, with rows enough to hold the latest back."""
    return look.types[time] is Type.TIMESTAMP and look.rows >= _ROWS_TO_SPLIT and look.frame[time].n_unique() >= 10


def _last_resort(look: Look, of_label: Collection[str], inputs: Inputs) -> tuple[str, ...]:
    """One column for a definition whose columns are all left out: it must carry something, but nothing personal."""
    names = [name for name in look.types if name not in of_label and name[:1] not in ("", "_") and "\0" not in name]
    fitting = [name for name in names if not look.is_personal(name)]
    if not fitting:
        raise NothingToPredictFrom(look.source.name, inputs.left_out)
    return (fitting[0],)


def _plan(
    looks: Mapping[str, Look],
    key: Key | None,
    references: Sequence[Reference],
    times: Mapping[str, Time],
    inputs: Inputs,
    time: str | None,
) -> FirstPlan:
    first = next(iter(looks.values()))
    lookups = lookups_of(looks, references, inputs.request)
    taken = {*first.types, *(f"{one.name}_{column}" for one in lookups for column in one.take)}
    parts = time_parts(first, time, taken) if time is not None else []
    drop = dropped(first, lookups, key)
    if not parts and not lookups and {*inputs.request} <= {name for name, _ in drop}:
        drop = []
    found = times[first.source.name]
    doubt = found.evidence
    if time is None and found.column is not None:
        doubt = f"{found.column} is {_why_not(first, found.column)}"
    return FirstPlan(
        time=time,
        time_evidence=found.evidence if time is not None else doubt,
        left_out=inputs.left_out,
        lookups=tuple(lookups),
        expressions=tuple(parts),
        drop=tuple(drop),
    )


def _why_not(look: Look, column: str) -> str:
    if look.types[column] is Type.DATE:
        return 'a date: with type = "timestamp" in its columns it says when a prediction is asked for, at midnight'
    return "no more than a few instants"


def _first_source(look: Look, key: Key | None, time: Time, references: Sequence[Reference]) -> FirstSource:
    source = look.source
    return FirstSource(
        name=source.name,
        read=source.read,
        format=source.format,
        separator=source.separator,
        query=source.query,
        columns=look.locked,
        unique=key.columns if key is not None else (),
        unique_evidence=key.evidence if key is not None else "",
        is_cut=look.is_cut,
        event_time=time.column,
        event_time_evidence=time.evidence,
        rules=rules_of(look, key.columns if key is not None else ()),
        references=tuple(
            FirstReference(column=one.column, source=one.source, key=one.key, evidence=one.evidence)
            for one in references
            if one.is_whole and not look.is_cut
        ),
        notes=tuple(_notes(look)),
    )


def _notes(look: Look) -> list[str]:
    notes = [f"Not read: {column}, likely personal ({kinds})." for column, kinds in look.unread]
    if look.is_cut:
        notes.append(
            f"Of its rows the first {look.rows:,} were looked at: what holds there may not hold in the others, so the "
            'rules on values warn (on_fail = "warn") and unique waits until you make them stricter.'
        )
    if look.is_foreign:
        notes.append(
            "It is not UTF-8: lines with other bytes are no rows and will be set aside. Write it as UTF-8 first, for "
            "example with iconv -f LATIN1 -t UTF-8."
        )
    if look.is_headless:
        notes.append(
            "Its first line looks like a row, not like names: give the file a line of names, or its first row is lost."
        )
    return notes


def _found(
    look: Look, keys: Mapping[str, Key | None], times: Mapping[str, Time], references: Mapping[str, Sequence[Reference]]
) -> Found:
    name = look.source.name
    key = keys[name]
    return Found(
        source=name,
        rows=look.rows,
        is_cut=look.is_cut,
        columns=len(look.types),
        key=key.columns if key is not None else (),
        time=times[name].column,
        personal=(
            *look.unread,
            *((column, personal_of(look, column)) for column in look.types if look.is_personal(column)),
        ),
        references=tuple((one.column, f"{one.source}.{one.key}") for one in references[name]),
        notes=tuple(_notes(look)),
    )
