"""Random trees of the language on hard values, and the comparison of their two forms, to the bit.

What the tests of parity and `python -m benchmarks.parity` run on. A *case* is one tree on one row.
"""

from __future__ import annotations

import math
import random
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from headrace.language.calls import constants_of
from headrace.language.columns import to_polars
from headrace.language.forms import Form
from headrace.language.functions import FUNCTIONS
from headrace.language.rows import compile_rows
from headrace.language.signatures import Parameter
from headrace.language.tree import Call, Column, Literal, Node
from headrace.language.types import Type
from headrace.language.values import column_of, dtype, physical
from headrace.language.zones import DAY, FIRST_INSTANT, LAST_INSTANT
from headrace.testing.hard_values import COLUMNS, CONSTANTS, HARD, INSTANTS, ZONES, Value, instant

Row = dict[str, Value]
_PYTHON: dict[Type, type] = {Type.FLOAT: float, Type.BOOLEAN: bool, Type.STRING: str, Type.CATEGORY: str}


@dataclass(frozen=True, slots=True)
class Difference:
    """A tree whose forms differ on a row."""

    node: Node
    row: Row
    columns: Value
    rows: Value

    def __str__(self) -> str:
        used = {name: self.row[name] for name in sorted(_columns_of(self.node))}
        return f"{written(self.node)}\ncolumns {self.columns!r}, rows {self.rows!r}, of {used}"


# --- drawing ---------------------------------------------------------------------------------------------------------


def draw_rows(source: random.Random, count: int) -> list[Row]:
    """Rows of `COLUMNS`, of hard values mostly."""
    return [
        {
            name: source.choice([*ZONES, "No/Where", None]) if name == "zone" else _value(source, type_)
            for name, type_ in COLUMNS.items()
        }
        for _ in range(count)
    ]


def _value(source: random.Random, type_: Type) -> Value:
    if source.random() < 0.12:
        return None
    if type_ is Type.FLOAT and source.random() < 0.3:
        any_bits = float(struct.unpack("<d", source.randbytes(8))[0])
        return source.choice([source.uniform(-400, 400), source.uniform(-1, 1), any_bits])
    if type_ is Type.INTEGER and source.random() < 0.3:
        return source.choice([source.randrange(-10, 2500), source.getrandbits(64) - 2**63])
    if type_ is Type.DECIMAL and source.random() < 0.3:
        any_digits = source.randrange(10 ** source.randint(1, 18))
        return source.choice([source.randrange(-(10**8), 10**8), any_digits, -any_digits])
    if type_ is Type.TIMESTAMP and source.random() < 0.4:
        near = instant(source.choice(INSTANTS)) + source.randrange(-3 * DAY, 3 * DAY)
        return source.choice([source.randrange(FIRST_INSTANT, LAST_INSTANT), near])
    return source.choice(HARD[type_])


def draw_tree(source: random.Random, wanted: Type, depth: int) -> Node:
    """A tree of at most `depth` calls one inside the other that gives `wanted`."""
    if depth == 0 or wanted is Type.CATEGORY or source.random() < 0.1:
        if source.random() < 0.15:
            return _literal(source, wanted)
        return Column(source.choice([name for name, type_ in COLUMNS.items() if type_ is wanted]), wanted)
    name, form = source.choice([(name, form) for name, form in forms() if _gives(form, wanted)])
    variable = (
        wanted if form.signature.result is None else source.choice(sorted(form.signature.allowed or {Type.FLOAT}))
    )
    return draw_call(source, name, form, variable, depth)


def draw_call(source: random.Random, name: str, form: Form, variable: Type, depth: int) -> Call:
    """A call of a form whose type variable is `variable`, over trees of a smaller depth."""
    while True:
        call = Call(name, tuple(_arguments(source, form, variable, depth)), form.signature.result or variable)
        if form.check is None or form.check(*constants_of(call, form).values()) is None:
            return call


def forms() -> Iterator[tuple[str, Form]]:
    """Every form of every function, with its name."""
    return ((name, form) for name, function in FUNCTIONS.items() for form in function.forms)


def variables(form: Form) -> list[Type]:
    """What the type variable of a form may be; one type, of no matter, if it has none."""
    return sorted(form.signature.allowed) or [Type.FLOAT]


def _gives(form: Form, wanted: Type) -> bool:
    result = form.signature.result
    return result is wanted or (result is None and wanted in form.signature.allowed)


def _arguments(source: random.Random, form: Form, variable: Type, depth: int) -> Iterator[Node]:
    count = len(form.signature.parameters)
    if form.signature.most is None:
        count += source.randrange(3)
    for position in range(count):
        parameter = form.signature.parameter(position)
        if parameter.constant:
            yield _constant(source, parameter, variable)
        elif parameter.kind == "zone" and source.random() < 0.7:
            given: list[Node] = [Column("zone", Type.STRING), Literal(source.choice(ZONES), Type.STRING)]
            yield source.choice(given)
        else:
            alone = source.choice(list(Type)) if parameter.alone else variable
            yield draw_tree(source, parameter.type or alone, depth - 1)


def _literal(source: random.Random, type_: Type) -> Literal:
    value = _value(source, type_)
    return Literal(None if isinstance(value, float) and math.isnan(value) else value, type_)


def _constant(source: random.Random, parameter: Parameter, variable: Type) -> Literal:
    if parameter.kind is not None and parameter.type is not None:
        return Literal(source.choice(CONSTANTS[parameter.kind]), parameter.type)
    while True:
        found = _literal(source, variable)
        if found.value is not None:
            return found


# --- comparing -------------------------------------------------------------------------------------------------------


def frame_of(rows: Sequence[Row]) -> pl.DataFrame:
    """The rows as the columns form takes them."""
    return pl.DataFrame([column_of(name, [row[name] for row in rows], type_) for name, type_ in COLUMNS.items()])


def first_difference(nodes: Sequence[Node], rows: Sequence[Row]) -> Difference | None:
    """The first tree whose forms differ, on the first row on which they do; None if all are equal to the bit."""
    named = [(f"out_{number}", node) for number, node in enumerate(nodes)]
    columns = frame_of(rows).select(to_polars(node).alias(name) for name, node in named)
    row_form = compile_rows(list(COLUMNS.items()), named)
    by_row = [row_form(tuple(row.values())) for row in rows]
    for position, (name, node) in enumerate(named):
        if columns.schema[name] != dtype(node.type):
            raise AssertionError(f"{written(node)} gives a column of {columns.schema[name]}, not of {node.type}")
        found = physical(columns[name])
        if len(found) == 1 < len(rows):  # a constant
            found = found.new_from_index(0, len(rows))
        given: list[Value] = [values[position] for values in by_row]  # type: ignore[misc]
        place = _first_apart(found, given, node.type)
        if place is not None:
            return Difference(node, rows[place], found[place], given[place])
    return None


def smallest_difference(nodes: Sequence[Node], rows: Sequence[Row]) -> Difference | None:
    """The same of the smallest part of the tree in which the forms differ."""
    found, last = first_difference(nodes, rows), None
    while found is not None:
        last = found
        found = first_difference(found.node.arguments, rows) if isinstance(found.node, Call) else None
    return last


def _first_apart(columns: pl.Series, rows: Sequence[Value], type_: Type) -> int | None:
    """The first place at which a column and the values of the row form differ in type, bits or null."""
    wanted = _PYTHON.get(type_, int)
    if not set(map(type, rows)) <= {wanted, type(None)}:
        return next(place for place, value in enumerate(rows) if type(value) not in (wanted, type(None)))
    ours = pl.Series(rows, dtype=columns.dtype, strict=True)
    if type_ is Type.FLOAT:
        apart = ours.is_null() != columns.is_null()
        bits = [one.fill_null(0.0).to_numpy().view(np.int64) for one in (ours, columns)]
        apart |= pl.Series(bits[0] != bits[1])
    else:
        apart = ours.ne_missing(columns)
    return apart.arg_max() if apart.any() else None


def written(node: Node) -> str:
    """A tree for people."""
    if isinstance(node, Call):
        return f"{node.function}({', '.join(map(written, node.arguments))})"
    return node.name if isinstance(node, Column) else f"{node.type}:{node.value!r}"


def _columns_of(node: Node) -> set[str]:
    if isinstance(node, Call):
        return set().union(*map(_columns_of, node.arguments))
    return {node.name} if isinstance(node, Column) else set()
