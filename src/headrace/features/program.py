"""The row form: a program as plain Python calls. Loads no table engine."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Protocol

from headrace.features.model import ExpressionStep, Program, Step, WindowStep
from headrace.features.naming import fields_of
from headrace.language.rows import compile_rows
from headrace.language.tree import Node
from headrace.language.types import Type
from headrace.language.verify import TreeRefused, check_tree

Row = tuple[object, ...]
_Extend = Callable[[list[object], "int | None"], None]


ReadRow = Callable[[Sequence[Sequence[object]], "int | None"], Sequence[object]]
"""From a key for each of some steps (values in the row form) and the prediction time to their features, in order."""


class HistoryLike(Protocol):
    """Where a row's lookups and windows come from."""

    def reader(self, steps: Sequence[int]) -> ReadRow:
        """Reads the features of some lookups and windows, given by their places in the program, of one row at once.

        A null in a key, or no prediction time where one is needed, gives nulls.
        """
        ...


class RowProgram:
    """Request values in, features out, one row at a time."""

    def __init__(self, program: Program, history: HistoryLike | None) -> None:
        self._needs_history = any(not isinstance(step, ExpressionStep) for step in program.steps)
        if self._needs_history and history is None:
            raise ValueError("this program has lookups or windows: it needs a history")
        names = [field.name for field in program.request]
        self._time = names.index(program.time) if program.time in names else None
        have = [(field.name, field.type) for field in program.request]
        self._parts: list[_Extend] = []
        for group in grouped(program):
            if isinstance(program.steps[group[0]], ExpressionStep):
                self._compile(have, [program.steps[number] for number in group])
            else:
                assert history is not None
                self._ask(history, have, [(number, program.steps[number]) for number in group])
        places = [[name for name, _ in have].index(field.name) for field in program.outputs]
        self._pick = _picker(places)

    def _ask(self, history: HistoryLike, have: list[tuple[str, Type]], group: Sequence[tuple[int, Step]]) -> None:
        """Lookups and windows whose keys are all there become one read."""
        names = [name for name, _ in have]
        keys = []
        for _, step in group:
            assert not isinstance(step, ExpressionStep)
            keys.append(_picker([names.index(ours) for ours, _ in step.key]))
            have += [(field.name, field.type) for field in fields_of(step)]
        read = history.reader([number for number, _ in group])
        self._parts.append(lambda values, instant: values.extend(read([key(values) for key in keys], instant)))

    def _compile(self, have: list[tuple[str, Type]], group: Sequence[Step]) -> None:
        """Expressions between two reads become one compiled function."""
        expressions = [step for step in group if isinstance(step, ExpressionStep)]
        compute = compile_rows(tuple(have), [(step.name, step.node) for step in expressions])
        self._parts.append(lambda values, _: values.extend(compute(values)))
        have += [(step.name, step.type) for step in expressions]

    def outputs(self, row: Sequence[object], now_us: int | None = None) -> Row:
        """The model's inputs, in the order and the types of `program.outputs`.

        Parameters
        ----------
        row
            Values of the request columns in the row form (`language.values.decode`), in the order of `program.request`.
        now_us
            The instant of asking; the prediction time is the earlier of it and the row's own time, if it has one.
        """
        if not self._parts:
            return self._pick(row)
        values = list(row)
        instant = now_us
        if self._time is not None:
            own = values[self._time]
            if isinstance(own, int):
                instant = own if now_us is None else min(own, now_us)
        for part in self._parts:
            part(values, instant)
        return self._pick(values)


def check_program(program: Program) -> None:
    """Refuse a program whose trees the parser could not have made, or whose steps use what is not there before them.

    Raises
    ------
    ValueError : saying which step, and why.
    """
    raw = {field.name: field.type for field in (*program.request, *program.raw)}
    for derived in program.derive:
        _check(derived.name, derived.node, raw, derived.type)
        raw[derived.name] = derived.type
    have = {field.name: field.type for field in program.request}
    for step in program.steps:
        if isinstance(step, ExpressionStep):
            _check(step.name, step.node, have, step.type)
        else:
            missing = [ours for ours, _ in step.key if ours not in have]
            if missing:
                raise ValueError(f"step {step.name!r}: there is no column {missing[0]!r}")
            if isinstance(step, WindowStep) and step.where is not None:
                _check(step.name, step.where, None, Type.BOOLEAN)
        have |= {field.name: field.type for field in fields_of(step)}


def _check(name: str, node: Node, columns: Mapping[str, Type] | None, type_: Type) -> None:
    try:
        check_tree(node, columns)
    except TreeRefused as error:
        raise ValueError(f"step {name!r}: {error}") from error
    if node.type is not type_:
        raise ValueError(f"step {name!r}: it is a {node.type}, not a {type_}")


class RequestFiller:
    """Makes a whole request row of what was sent: columns that were not sent are derived where that is possible."""

    def __init__(self, program: Program) -> None:
        self._names = tuple(field.name for field in program.request)
        inputs = {field.name: field.type for field in (*program.request, *program.raw)}
        derived = {step.name for step in program.derive}
        self._raw = tuple(name for name in inputs if name not in derived)
        self.derivable = derived & set(self._names)
        """The request columns that need not be sent when the raw columns are."""
        self._places = {step.name: place for place, step in enumerate(program.derive)}
        self._compute = compile_rows(
            [(name, inputs[name]) for name in self._raw], [(step.name, step.node) for step in program.derive]
        )

    def fill(self, sent: Mapping[str, object]) -> Row:
        """The request columns in order; what was sent wins over what is derived, what is neither is null."""
        if all(name in sent for name in self.derivable):
            return tuple([sent.get(name) for name in self._names])
        computed = self._compute([sent.get(name) for name in self._raw])
        places = self._places
        return tuple(
            [sent[name] if name in sent else computed[places[name]] if name in places else None for name in self._names]
        )


def grouped(program: Program) -> list[list[int]]:
    """The steps' places, in order, cut into groups that can be computed at once: expressions that follow one another
    (each may use those before it), and lookups and windows none of which has a key that another of them gives."""
    groups: list[list[int]] = []
    given: set[str] = set()
    """By the lookups and windows of the last group."""
    for number, step in enumerate(program.steps):
        before = program.steps[number - 1] if number else None
        if isinstance(step, ExpressionStep):
            is_new = not isinstance(before, ExpressionStep)
        else:
            is_new = before is None or isinstance(before, ExpressionStep) or any(ours in given for ours, _ in step.key)
        if is_new:
            groups.append([])
            given = set()
        groups[-1].append(number)
        if not isinstance(step, ExpressionStep):
            given |= {field.name for field in fields_of(step)}
    return groups


def _picker(places: Sequence[int]) -> Callable[[Sequence[object]], Row]:
    if len(places) == 1:
        return lambda values: (values[places[0]],)
    pick: Callable[[Sequence[object]], Row] = itemgetter(*places) if places else lambda _: ()
    return pick
