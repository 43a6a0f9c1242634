"""Rows as they are sent → values of the request columns in the row form, with errors that name row and column."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from headrace.errors import MissingDependency
from headrace.features.model import Program
from headrace.features.program import RequestFiller
from headrace.language.errors import ValueMismatch
from headrace.language.tree import Call, Column, Node
from headrace.language.types import Type
from headrace.language.values import decode
from headrace.scoring.errors import NAME_LETTERS, ColumnMissing, ColumnUnknown, RowsRefused, ValueRefused

_MOST_PLANS: Final = 64
"""Sets of columns that are remembered; rows come with a few, and a sender of many must not fill the memory."""


class _Plan(NamedTuple):
    """What to do with a row that carries a certain set of columns."""

    columns: tuple[tuple[str, Type], ...]
    """The columns to decode."""
    whole: bool
    """They are the request columns, in order: nothing is left to derive."""


class RowReader:
    """Reads rows for one program."""

    def __init__(self, program: Program, also: Iterable[str] = ()) -> None:
        """`also` are further columns that a row may carry, and that are passed over."""
        self._types = {field.name: field.type for field in (*program.raw, *program.request)}
        self._request = tuple(field.name for field in program.request)
        filler = RequestFiller(program)
        self._fill: Callable[[Mapping[str, object]], tuple[object, ...]] = filler.fill
        trees = {step.name: step.node for step in program.derive}
        self._needs = {name: tuple(sorted(_leaves(trees[name], trees))) for name in sorted(filler.derivable)}
        time = () if program.time is None else (program.time,)
        self.known: Final = frozenset({*self._types, *trees, *program.key, *time, *also})
        """Columns that a row may carry."""
        self._strict: dict[tuple[str, ...], _Plan] = {}
        self._lenient: dict[tuple[str, ...], _Plan] = {}

    def read(self, row: Mapping[str, object], number: int, *, ignore_unknown: bool) -> tuple[object, ...]:
        """The request columns in order; `number` is the row's place among the rows, for errors."""
        names = tuple(row)
        plans = self._lenient if ignore_unknown else self._strict
        plan = plans.get(names)
        if plan is None:
            plan = self._plan(names, number, ignore_unknown)
            if len(plans) < _MOST_PLANS:
                plans[names] = plan
        try:
            if plan.whole:
                return tuple([decode(row[name], type_) for name, type_ in plan.columns])
            return self._fill({name: decode(row[name], type_) for name, type_ in plan.columns})
        except ValueMismatch:
            raise _refused(row, plan, number) from None

    def columns(self, names: Sequence[str], *, ignore_unknown: bool) -> tuple[tuple[str, Type], ...]:
        """Of a row that carries these columns those that are read, with their types; raises as `read`."""
        return self._plan(tuple(names), 0, ignore_unknown).columns

    def _plan(self, names: tuple[str, ...], number: int, ignore_unknown: bool) -> _Plan:
        """Check a set of columns."""
        unknown = [name for name in names if name not in self.known]
        if unknown and not ignore_unknown:
            # as much of it as an error shows: looking for what is like a name of megabytes takes seconds
            near = difflib.get_close_matches(str(unknown[0])[:NAME_LETTERS], sorted(self._types), n=1)
            raise ColumnUnknown(unknown[0], row=number, near=near[0] if near else None)
        sent = set(names)
        for name in self._request:
            if name not in sent and not (name in self._needs and sent.issuperset(self._needs[name])):
                raise ColumnMissing(name, row=number, needs=self._needs.get(name, ()))
        whole = sent.issuperset(self._request)
        wanted = self._request if whole else tuple(name for name in self._types if name in sent)
        return _Plan(tuple((name, self._types[name]) for name in wanted), whole)


def as_mappings(rows: Any) -> Sequence[Mapping[str, object]]:
    """Rows as mappings; raises `RowsRefused` for what is neither a sequence of them nor a frame."""
    if isinstance(rows, Sequence) and not isinstance(rows, str | bytes | bytearray):
        for row in rows:
            if not isinstance(row, Mapping):
                raise RowsRefused(f"a {type(rows).__name__} of {type(row).__name__}")
        return rows
    if isinstance(rows, Mapping | str | bytes | bytearray):
        raise RowsRefused(f"a {type(rows).__name__}")
    return _frame_rows(rows)


def _frame_rows(frame: Any) -> Sequence[Mapping[str, object]]:
    try:
        import narwhals
    except ImportError as error:
        raise MissingDependency("narwhals", extra="build", needed_for="predicting the rows of a frame") from error
    try:
        table = narwhals.from_native(frame, eager_only=True)
    except TypeError as error:
        hint = ": collect it first" if hasattr(frame, "collect") else ""
        raise RowsRefused(f"a {type(frame).__name__}{hint}") from error
    # pandas holds a missing value as NaN, NaT or NA, whatever the column's type; its own mask says where.
    columns = [
        [
            None if null else value
            for value, null in zip(table[name].to_list(), table[name].is_null().to_list(), strict=True)
        ]
        for name in table.columns
    ]
    return [dict(zip(table.columns, values, strict=True)) for values in zip(*columns, strict=True)]


def _refused(row: Mapping[str, object], plan: _Plan, number: int) -> ValueRefused:
    """The first column whose value does not decode."""
    for name, type_ in plan.columns:
        try:
            decode(row[name], type_)
        except ValueMismatch as error:
            return ValueRefused(name, row=number, expected=error.facts["expected"], found=error.facts["found"])
    raise AssertionError("every value decoded")


def _leaves(node: Node, trees: Mapping[str, Node]) -> set[str]:
    """The columns that a tree needs from outside, through the trees of other derived columns."""
    if isinstance(node, Column):
        return _leaves(trees[node.name], trees) if node.name in trees else {node.name}
    if isinstance(node, Call):
        return set().union(*(_leaves(argument, trees) for argument in node.arguments))
    return set()
