"""What a feature is: how it is made, of what, when it is known, in both forms, and what it costs."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec
import polars as pl

from headrace.data.model import Field
from headrace.features.columns import FeatureColumns, build_indexes
from headrace.features.history import History
from headrace.features.model import ExpressionStep, LookupStep, Program, Step, Struct, WindowStep
from headrace.features.naming import fields_of
from headrace.language.columns import to_polars
from headrace.language.functions import FUNCTIONS
from headrace.language.row_decimals import decimal_to_text
from headrace.language.rows import compile_rows, write_rows
from headrace.language.tree import Call, Column, Node
from headrace.language.types import Type
from headrace.language.values import physical

MEASURED_ROWS: Final = 10_000


class Listed(Struct, frozen=True, kw_only=True):
    """One line of the list of features."""

    name: str
    type: str
    kind: str
    """`request`, `lookup`, `window` or `expression`."""
    needs: tuple[str, ...]
    """Columns and features that it is made of."""
    known: str
    is_input: bool
    """Whether the model sees it; else it only feeds others."""


class Cost(Struct, frozen=True, kw_only=True):
    """Measured on rows of history, the least of several times."""

    rows: int
    row_us: float
    """A row alone, in the row form."""
    columns_us: float
    """A row among `rows`, in the columns form."""


class Explained(Struct, frozen=True, kw_only=True):
    """Everything about one feature."""

    feature: Listed
    tree: tuple[str, ...] = ()
    """The expression, a node a line, indented."""
    columns: str
    """The Polars expression, or what is done over sorted history."""
    row: str
    """Source of the row function, or what is read."""
    names: dict[str, str] = msgspec.field(default_factory=dict)
    """What the names in `row` stand for."""
    cost: Cost | None = None
    """None when there is no history to measure on yet."""


def list_features(program: Program) -> list[Listed]:
    """All columns and features of a program, in the order in which they are made."""
    inputs = {field.name for field in program.outputs}
    found = [
        Listed(
            name=field.name,
            type=str(field.type),
            kind="request",
            needs=(),
            known="at once: the request carries it",
            is_input=field.name in inputs,
        )
        for field in program.request
    ]
    late: set[str] = set()
    """What is not known with the request."""
    for step in program.steps:
        needs = _needs(step)
        with_late = [name for name in needs if name in late]
        if not isinstance(step, ExpressionStep) or with_late:
            late |= {field.name for field in fields_of(step)}
        found += [
            Listed(
                name=field.name,
                type=str(field.type),
                kind=_kind(step),
                needs=needs,
                known=_known(step, with_late),
                is_input=field.name in inputs,
            )
            for field in fields_of(step)
        ]
    return found


def explain_feature(program: Program, name: str, tables: Mapping[str, pl.LazyFrame] | None) -> Explained:
    """Everything about one feature of a program.

    Parameters
    ----------
    tables
        The accepted tables, to measure on; None: it is not measured.

    Raises
    ------
    KeyError : there is no such feature.
    """
    listed = next((one for one in list_features(program) if one.name == name), None)
    if listed is None:
        raise KeyError(name)
    step_number = next(
        (n for n, step in enumerate(program.steps) if name in {field.name for field in fields_of(step)}), None
    )
    if step_number is None:
        return Explained(feature=listed, columns=f"col({name!r})", row="as the request has it")
    step = program.steps[step_number]
    if isinstance(step, ExpressionStep):
        have = _types_before(program, step_number)
        inputs = [(column, have[column]) for column in sorted(_columns(step.node))]
        written = write_rows(inputs, [(name, step.node)])
        names = {f"r[{n}]": column for n, (column, _) in enumerate(inputs)}
        names |= {f"k{n}": repr(value) for n, value in enumerate(written.constants)}
        names |= {f"h{n}": _called(helper) for n, helper in enumerate(written.helpers)}
        explained = Explained(
            feature=listed,
            tree=tuple(_tree(step.node)),
            columns=str(to_polars(step.node)),
            row="\n".join(line[4:] for line in written.source.splitlines()[1:-1]),
            names=names,
        )
    else:
        explained = Explained(feature=listed, columns=_over_history(step), row=_of_one(step))
    cost = None if tables is None else _measure(program, step_number, tables)
    return msgspec.structs.replace(explained, cost=cost)


def _kind(step: Step) -> str:
    return {ExpressionStep: "expression", LookupStep: "lookup", WindowStep: "window"}[type(step)]


def _needs(step: Step) -> tuple[str, ...]:
    if isinstance(step, ExpressionStep):
        return tuple(sorted(_columns(step.node)))
    return tuple(ours for ours, _ in step.key)


def _columns(node: Node) -> set[str]:
    if isinstance(node, Call):
        return {name for argument in node.arguments for name in _columns(argument)}
    return {node.name} if isinstance(node, Column) else set()


def _known(step: Step, with_late: Sequence[str]) -> str:
    if isinstance(step, ExpressionStep):
        return (
            f"before t: with {' and '.join(with_late)}" if with_late else "at once: the request carries what it needs"
        )
    if isinstance(step, LookupStep) and step.event_time is None:
        return f"at any time: {step.source} is static"
    after = " and ".join(name + (f" + {_duration(delay)}" if delay else "") for name, delay in step.known_after)
    return f"before t: rows of {step.source} known at {after}"


def _duration(us: int) -> str:
    for unit, size in (("d", 86_400_000_000), ("h", 3_600_000_000), ("m", 60_000_000), ("s", 1_000_000)):
        if us % size == 0:
            return f"{us // size}{unit}"
    return f"{us / 1000:g}ms"


def _tree(node: Node, depth: int = 0) -> list[str]:
    pad = "  " * depth
    if isinstance(node, Column):
        return [f"{pad}{node.name}: {node.type}"]
    if not isinstance(node, Call):
        is_decimal = node.type is Type.DECIMAL and node.value is not None
        return [f"{pad}{decimal_to_text(int(node.value or 0)) if is_decimal else repr(node.value)}: {node.type}"]
    lines = [f"{pad}{FUNCTIONS[node.function].name}: {node.type}"]
    for argument in node.arguments:
        lines += _tree(argument, depth + 1)
    return lines


def _called(helper: Callable[..., Any]) -> str:
    return getattr(helper, "__qualname__", repr(helper)).replace(".<locals>", "")


def _over_history(step: LookupStep | WindowStep) -> str:
    key = ", ".join(theirs for _, theirs in step.key)
    if isinstance(step, WindowStep):
        edges = ", ".join(f"{written}: [floor(t - {written}, {_duration(hop)}), t)" for written, _, hop in step.over)
        rows = f"rows of {step.source}" + ("" if step.where is None else " of which its condition is true")
        decay = ", ".join(f"halving every {written}" for written, _, _ in step.half_lives)
        runs = "; ".join(
            part for part in (f"runs {edges}" if edges else "", f"all before t {decay}" if decay else "") if part
        )
        return f"{rows} sorted by ({key}, known); {runs}"
    if step.event_time is None:
        return f"join with {step.source} on ({key})"
    age = "" if step.max_age_us is None else f", if its {step.event_time} is at least t - {_duration(step.max_age_us)}"
    return (
        f"rows of {step.source} sorted by ({key}, known); of those known before t the newest by "
        f"({step.event_time}, known, place){age}"
    )


def _of_one(step: LookupStep | WindowStep) -> str:
    key = ", ".join(ours for ours, _ in step.key)
    if isinstance(step, WindowStep):
        return f"one record by ({key}): the state beside the first edge of each width, finished"
    return f"one record by ({key})"


def _types_before(program: Program, number: int) -> dict[str, Any]:
    fields: Sequence[Field] = program.request
    types = {field.name: field.type for field in fields}
    for step in program.steps[:number]:
        types |= {field.name: field.type for field in fields_of(step)}
    return types


def _measure(program: Program, number: int, tables: Mapping[str, pl.LazyFrame]) -> Cost | None:
    """Both forms on the newest rows of history; what the feature is made of is computed before."""
    step = program.steps[number]
    types = _types_before(program, number)
    needs = _needs(step)
    sample = tables[program.source].tail(MEASURED_ROWS).collect()
    if not sample.height:
        return None
    before = msgspec.structs.replace(
        program,
        steps=program.steps[:number],
        outputs=tuple(Field(name=name, type=types[name]) for name in needs),
    )
    carried = [field.name for field in program.request]
    rows = sample.select(list(dict.fromkeys([*carried, *([program.time] if program.time else [])])))
    given = FeatureColumns.of(before, tables).add(rows)
    values = list(zip(*(physical(given[name]).to_list() for name in needs), strict=True)) or [()] * rows.height
    if isinstance(step, ExpressionStep):
        function = compile_rows([(name, types[name]) for name in needs], [(step.name, step.node)])
        expression = to_polars(step.node).alias(step.name)
        row_s = _least(lambda: [function(row) for row in values])
        columns_s = _least(lambda: given.select(expression))
    else:
        times = physical(rows[program.time]).to_list() if program.time else [None] * rows.height
        only = msgspec.structs.replace(program, steps=(step,))
        read = History(only, tables).reader([0])
        index = build_indexes(only, tables)[0]
        keys = given.select(pl.col(ours).alias(f"_key_{place}") for place, (ours, _) in enumerate(step.key))
        instants = pl.Series(times, dtype=pl.Int64)
        row_s = _least(lambda: [read([key], t_us) for key, t_us in zip(values, times, strict=True)])
        columns_s = _least(lambda: index.columns(keys, instants))
    return Cost(
        rows=rows.height,
        row_us=round(row_s / rows.height * 1e6, 3),
        columns_us=round(columns_s / rows.height * 1e6, 4),
    )


def _least(work: Callable[[], object], times: int = 3) -> float:
    """The least of several times, in seconds."""
    found = []
    for _ in range(times):
        begin = time.perf_counter()
        work()
        found.append(time.perf_counter() - begin)
    return min(found)
