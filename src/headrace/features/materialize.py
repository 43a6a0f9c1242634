"""History → the online store: for every key of every lookup and window what a request at the watermark or later reads.

Only what became known since the last watermark is written, as long as the rows before it are the same as they were;
when they are not (a correction, another table), the step's values are all written anew under another epoch, which
readers come to with the same update that sets the new watermark. An update is all or nothing, so a materialisation that
is killed leaves what was there, and the next one does the work again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import msgspec
import numpy as np
import polars as pl

from headrace.features.errors import WatermarkAhead
from headrace.features.finish import kinds_of
from headrace.features.keyed import known_at, known_within
from headrace.features.lookups import LookupIndex, lookup_rows
from headrace.features.model import LookupStep, Program, Struct, WindowStep
from headrace.features.online import OnlineState, StepState, decode_state
from headrace.features.records import key_of, lookup_record, prefix_of, step_id, window_record
from headrace.features.windows import WindowIndex, reach_back, window_columns
from headrace.language.values import physical
from headrace.stores.errors import OnlineMoved
from headrace.stores.online import Item, OnlineStore

Join = LookupStep | WindowStep
_PLACE: Final = "_place_among_equals"
MOST_TRIES: Final = 3
"""How often it is planned anew when others write at the same time."""
SLICE: Final = 50_000
"""Keys that are Python objects at a time."""
PROGRESS_EVERY: Final = 10_000
"""Keys between two words about progress."""


class Written(Struct, frozen=True, kw_only=True):
    """What was done for one lookup or window."""

    name: str
    source: str
    keys: int
    """Written now."""
    rows: int
    """Of the source, known before the watermark."""
    how: str
    """`new`, `since` (what became known since the last watermark), `anew` (history before it had changed) or
    `unchanged`."""


@dataclass(frozen=True, slots=True)
class Materialized:
    """What was done."""

    watermark_us: int | None
    """Values hold what was known before it; None when all tables are static."""
    steps: tuple[Written, ...]

    @property
    def keys(self) -> int:
        """How many were written."""
        return sum(step.keys for step in self.steps)


def materialize(
    program: Program,
    tables: Mapping[str, pl.LazyFrame],
    store: OnlineStore,
    space: str,
    *,
    now_us: int,
    until_us: int | None = None,
    anew: bool = False,
    progress: Callable[[int, str], None] | None = None,
) -> Materialized:
    """Fill the online store with a program's lookups and windows, up to a watermark.

    Parameters
    ----------
    program
        With the scales of its exact sums, as a version has it.
    until_us
        The watermark; the newest instant at which anything in history became known, plus a microsecond, when left out,
        but never later than `now_us`.
    anew
        Write everything, whatever was written before.

    Raises
    ------
    WatermarkAhead : `until_us` is later than `now_us`.
    OnlineMoved : others were done before this one, time after time.
    OnlineBusy, StoreFull, StoreUnavailable, OnlineUnreadable
    """
    if until_us is not None and until_us > now_us:
        raise WatermarkAhead(until_us=until_us, now_us=now_us)
    for _ in range(MOST_TRIES - 1):
        try:
            return _materialize(program, tables, store, space, now_us, until_us, progress, anew=anew)
        except OnlineMoved:  # another one was done since this one was planned: what it wrote is not to be undone
            continue
    return _materialize(program, tables, store, space, now_us, until_us, progress, anew=anew)


def _materialize(
    program: Program,
    tables: Mapping[str, pl.LazyFrame],
    store: OnlineStore,
    space: str,
    now_us: int,
    until_us: int | None,
    progress: Callable[[int, str], None] | None,
    *,
    anew: bool,
) -> Materialized:
    steps = {step_id(step): step for step in program.steps if isinstance(step, Join)}
    watermark_us = until_us if until_us is not None else _newest_known(steps.values(), tables, now_us)
    found = store.read(space, []).state
    before = decode_state(found)
    plans = {
        id_: _plan(step, tables[step.source], watermark_us, before.steps.get(id_), anew=anew)
        for id_, step in steps.items()
    }
    left = [*before.left, *(prefix_of(id_, plan.replaces).hex() for id_, plan in plans.items() if plan.replaces)]
    state = OnlineState(steps={**before.steps, **{id_: plan.state for id_, plan in plans.items()}}, left=tuple(left))
    counts = dict.fromkeys(plans, 0)

    def items() -> Iterator[Item]:
        done = 0
        for id_, plan in plans.items():
            prefix = prefix_of(id_, plan.state.epoch)
            for key, record in _records(plan, tables, watermark_us):
                yield key_of(prefix, key), record
                counts[id_] += 1
                done += 1
                if progress is not None and not done % PROGRESS_EVERY:
                    progress(done, plan.step.name)

    store.update(space, items(), msgspec.json.encode(state), expected=found)
    _purge(store, space, left)
    written = tuple(
        Written(name=plan.step.name, source=plan.step.source, keys=counts[id_], rows=plan.state.rows, how=plan.how)
        for id_, plan in plans.items()
    )
    depends = any(plan.state.watermark_us is not None for plan in plans.values())
    return Materialized(watermark_us if depends else None, written)


def _purge(store: OnlineStore, space: str, left: Sequence[str]) -> None:
    """Remove what nobody reads any more, and say so; what another one adds to that meanwhile is left to it."""
    for prefix in left:
        store.purge(space, bytes.fromhex(prefix))
    while left:
        found = store.read(space, []).state
        state = decode_state(found)
        rest = tuple(prefix for prefix in state.left if prefix not in left)
        try:
            store.update(space, (), msgspec.json.encode(msgspec.structs.replace(state, left=rest)), expected=found)
        except OnlineMoved:
            continue
        return


@dataclass(frozen=True, slots=True)
class _Plan:
    """What is to be written of one step."""

    step: Join
    state: StepState
    how: str
    since_us: int | None = None
    """Only keys of rows known since then; None: all."""
    replaces: int | None = None
    """The epoch whose values nobody will read any more."""


def _plan(step: Join, source: pl.LazyFrame, watermark_us: int | None, before: StepState | None, *, anew: bool) -> _Plan:
    is_static = isinstance(step, LookupStep) and step.event_time is None
    until = None if is_static else watermark_us
    rows, digest = _digest(step, source, until)
    epoch = 1 if before is None else before.epoch

    def plan(how: str, *, since: int | None = None, new_epoch: bool = False) -> _Plan:
        state = StepState(
            name=step.name,
            source=step.source,
            epoch=epoch + new_epoch,
            watermark_us=until,
            rows=rows,
            digest=digest,
        )
        return _Plan(step, state, how, since, epoch if new_epoch else None)

    if before is None:
        return plan("new")
    if not anew and (rows, digest, until) == (before.rows, before.digest, before.watermark_us):
        return plan("unchanged")
    if anew or until is None or before.watermark_us is None or until < before.watermark_us:
        return plan("anew", new_epoch=True)
    if _digest(step, source, before.watermark_us) != (before.rows, before.digest):
        return plan("anew", new_epoch=True)
    return plan("since", since=before.watermark_us)


def _newest_known(steps: Iterable[Join], tables: Mapping[str, pl.LazyFrame], now_us: int) -> int | None:
    """A microsecond after the newest instant in history, but not after now, and 1970 when nothing is known
    yet; None when no step depends on time."""
    found = [
        tables[step.source].select(known_at(step.known_after).filter(known_at(step.known_after) < now_us).max())
        for step in steps
        if step.known_after
    ]
    newest = [instant for frame in pl.collect_all(found) if (instant := frame.item()) is not None]
    return min(max(newest) + 1, now_us) if newest else 0 if found else None


def _digest(step: Join, source: pl.LazyFrame, until_us: int | None) -> tuple[int, str]:
    """How many rows a step may see before an instant, and a digest of what it reads of them: in any order, but where
    the order decides, which is among rows of one key that happened and became known at the same instants."""
    used = [theirs for _, theirs in step.key]
    if isinstance(step, LookupStep):
        used += [name for name, _ in step.take]
        used += [] if step.event_time is None else [step.event_time]
    else:
        used += window_columns(step)
    seen = known_within(source, step.known_after, None, until_us) if step.known_after else source
    names = list(dict.fromkeys([*used, *(name for name, _ in step.known_after)]))
    if _looks_at_order(step):
        tied = [theirs for _, theirs in step.key] + [name for name, _ in step.known_after]
        tied += [] if step.event_time is None else [step.event_time]
        seen = seen.with_columns(pl.int_range(pl.len()).over(list(dict.fromkeys(tied))).alias(_PLACE))
        names.append(_PLACE)
    folded, low = pl.struct(names).hash(), pl.lit(0xFFFFFFFF, pl.UInt64)
    found = seen.select(
        pl.len(),
        (folded & low).sum().alias("low"),
        (folded // pl.lit(1 << 32, pl.UInt64)).sum().alias("high"),
        (folded * folded & low).sum().alias("square"),
    )
    rows, *sums = found.collect().row(0)
    return int(rows), "-".join([f"polars{pl.__version__}", *(f"{value:x}" for value in sums)])


def _looks_at_order(step: Join) -> bool:
    """Whether the place in the source decides between rows of one instant."""
    if isinstance(step, LookupStep):
        return step.event_time is not None
    return not {"first", "last"}.isdisjoint(step.take)


def _records(
    plan: _Plan, tables: Mapping[str, pl.LazyFrame], watermark_us: int | None
) -> Iterable[tuple[tuple[object, ...], bytes]]:
    """Keys, in the row form, and their records."""
    if plan.how == "unchanged":
        return ()
    step, source = plan.step, tables[plan.step.source]
    if plan.since_us is not None:
        source = _of_changed(step, source, plan.since_us, watermark_us)
    if isinstance(step, LookupStep):
        rows = lookup_rows(step, source, None, None if step.event_time is None else watermark_us)
        return lookup_records(LookupIndex(step, rows), rows)
    assert watermark_us is not None, "a window depends on time"
    return window_records(WindowIndex(step, source, reach_back(step, watermark_us), watermark_us), watermark_us)


def _of_changed(step: Join, source: pl.LazyFrame, since_us: int, until_us: int | None) -> pl.LazyFrame:
    """The rows of the keys of which anything became known in [since, until)."""
    names = [theirs for _, theirs in step.key]
    changed = known_within(source, step.known_after, since_us, until_us).select(names).unique()
    return source.join(changed, on=names, how="semi", maintain_order="left")


def lookup_records(index: LookupIndex, rows: pl.DataFrame) -> Iterator[tuple[tuple[object, ...], bytes]]:
    """The key and the record of each row that counts after every row held; `rows` are those of the index."""
    is_static = index.step.event_time is None
    newest = rows if is_static else rows[index.newest()]
    for some in newest.iter_slices(SLICE):
        keys = _tuples(some.select(pl.col("^_key_[0-9]+$")))
        values = _tuples(some.select(pl.col("^_take_[0-9]+$")))
        events: Sequence[int | None] = [None] * some.height if is_static else some["_event"].to_list()
        for key, event_us, taken in zip(keys, events, values, strict=True):
            yield key, lookup_record(event_us, taken)


def window_records(index: WindowIndex, watermark_us: int) -> Iterator[tuple[tuple[object, ...], bytes]]:
    """The key and the record of each key that has an event a window at the watermark or later can hold."""
    suffixes = index.suffixes(watermark_us)
    cuts = [0, *(np.flatnonzero(np.diff(suffixes.numbers)) + 1).tolist(), len(suffixes.numbers)]
    columns, kinds = [suffixes.edges, *suffixes.states], kinds_of(index.step)
    first, names = 0, _tuples(index.keys.distinct.slice(0, SLICE))
    for start, stop in pairwise(cuts):
        if start < stop:
            number = int(suffixes.numbers[start])  # they only grow
            if number >= first + len(names):
                first, names = number, _tuples(index.keys.distinct.slice(number, SLICE))
            record = window_record([column[start:stop] for column in columns], kinds, suffixes.texts)
            yield names[number - first], record


def _tuples(columns: pl.DataFrame) -> list[tuple[object, ...]]:
    """Rows of keys or values, in the row form."""
    return list(zip(*(physical(column).to_list() for column in columns.get_columns()), strict=True))
