"""Typed trees as one compiled Python function of a row: the form for the request and the stream.

This file is the one place of the code base that compiles source text. The text is made of positional names (`v3`, `h1`,
`k0`), of templates of the table of functions and of nothing else: names of columns stay in Python objects, constants
travel in a tuple, and no builtins are within reach of the compiled function.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from headrace.language import row_kernels as k
from headrace.language.calls import constants_of, form_of
from headrace.language.forms import Form, Helper
from headrace.language.functions import FUNCTIONS
from headrace.language.row_decimals import GREATEST_DECIMAL, LEAST_DECIMAL
from headrace.language.tree import Call, Column, Literal, Node
from headrace.language.types import Type
from headrace.language.zones import FIRST_DAY, FIRST_INSTANT, LAST_DAY, LAST_INSTANT

RowFunction = Callable[[Sequence[object]], tuple[object, ...]]

_RANGES: dict[Type, tuple[int, int]] = {
    Type.INTEGER: (k.LEAST_INTEGER, k.GREATEST_INTEGER),
    Type.DECIMAL: (LEAST_DECIMAL, GREATEST_DECIMAL),
    Type.DURATION: (k.LEAST_INTEGER, k.GREATEST_INTEGER),
    Type.TIMESTAMP: (FIRST_INSTANT, LAST_INSTANT),
    Type.DATE: (FIRST_DAY, LAST_DAY),
}


def compile_rows(inputs: Sequence[tuple[str, Type]], steps: Sequence[tuple[str, Node]]) -> RowFunction:
    """A function from the inputs' values, in order, to the steps' values, in order.

    Parameters
    ----------
    inputs
        Names and types of a row's values; values are in row form (`headrace.language.types`), None is null.
    steps
        Names and trees; a tree may name inputs and earlier steps. What several trees share is computed once.

    Examples
    --------
    >>> from headrace.language.parse import parse
    >>> tree = parse("a / b", {"a": Type.INTEGER, "b": Type.INTEGER})
    >>> row = compile_rows([("a", Type.INTEGER), ("b", Type.INTEGER)], [("ratio", tree)])
    >>> row((1, 4)), row((1, 0)), row((None, 4))
    ((0.25,), (None,), (None,))
    """
    written = write_rows(inputs, steps)
    scope: dict[str, Any] = {"__builtins__": {}}
    exec(compile(written.source, "<headrace row program>", "exec"), scope)  # noqa: S102  (see the module's docstring)
    made: RowFunction = scope["make"](written.constants, written.helpers)
    return made


class Written(msgspec.Struct, frozen=True):
    """A row function before it is compiled."""

    source: str
    """Of `make(constants, helpers)`, which returns the function."""
    constants: tuple[object, ...]
    """`k0`, `k1`, … of the source."""
    helpers: tuple[Callable[..., Any], ...]
    """`h0`, `h1`, … of the source."""


def write_rows(inputs: Sequence[tuple[str, Type]], steps: Sequence[tuple[str, Node]]) -> Written:
    """What `compile_rows` compiles."""
    writer = _Writer({name: (position, type_) for position, (name, type_) in enumerate(inputs)})
    results = []
    for name, node in steps:
        value = writer.names[name] = writer.settled(node, writer.value(node))
        results.append(value.text)
    body = "\n".join(f"        {line}" for line in writer.lines)
    constants = "".join(f"k{i}, " for i in range(len(writer.constants)))
    helpers = "".join(f"h{i}, " for i in range(len(writer.helpers)))
    source = (
        "def make(constants, helpers):\n"
        + (f"    {constants} = constants\n" if constants else "")
        + (f"    {helpers} = helpers\n" if helpers else "")
        + f"    def row(r):\n{body}\n        return ({''.join(f'{result}, ' for result in results)})\n"
        + "    return row\n"
    )
    return Written(source, tuple(writer.constants), tuple(writer.helpers))


class _Value(msgspec.Struct, frozen=True):
    """A computed value: the name that holds it and whether it can be None."""

    text: str
    nullable: bool


class _Writer(msgspec.Struct):
    """Lines of the row function, one assignment for each distinct value."""

    inputs: dict[str, tuple[int, Type]]
    names: dict[str, _Value] = {}
    lines: list[str] = []
    constants: list[object] = []
    helpers: list[Callable[..., Any]] = []
    known: dict[tuple[object, ...], _Value] = {}

    def value(self, node: Node) -> _Value:
        if isinstance(node, Column):
            return self.column(node)
        if isinstance(node, Literal):
            return self.literal(node)
        return self.call(node)

    def settled(self, node: Node, value: _Value) -> _Value:
        """A step's value; of a float with 0.0 for -0.0, for which the functions have no use before."""
        if node.type is not Type.FLOAT or isinstance(node, Literal) or value.text == "None":
            return value
        key = ("settled", value.text)
        if key not in self.known:
            made = self.known[key] = self.new(nullable=value.nullable)
            self.write(made, [f"{made.text} = {value.text} + 0.0"], [value.text] if value.nullable else [])
        return self.known[key]

    def column(self, column: Column) -> _Value:
        found = self.names.get(column.name)
        if found is None:
            position, type_ = self.inputs[column.name]
            found = self.names[column.name] = self.new()
            self.lines.append(f"{found.text} = r[{position}]")
            if type_ is Type.FLOAT:
                self.lines.append(f"if {found.text} != {found.text}: {found.text} = None")
        return found

    def literal(self, literal: Literal) -> _Value:
        if literal.value is None:
            return _Value("None", nullable=True)
        if isinstance(literal.value, bool):
            return _Value("True" if literal.value else "False", nullable=False)
        key = ("literal", literal.type, literal.value)
        if key not in self.known:
            self.known[key] = _Value(f"k{len(self.constants)}", nullable=False)
            self.constants.append(literal.value + 0.0 if isinstance(literal.value, float) else literal.value)
        return self.known[key]

    def call(self, call: Call) -> _Value:
        form = form_of(call)
        constants = constants_of(call, form)
        values = [self.value(argument) for position, argument in enumerate(call.arguments) if position not in constants]
        key = (
            call.function,
            tuple(argument.type for argument in call.arguments),
            repr(constants),
            *(value.text for value in values),
        )
        if key not in self.known:
            *before, last = form.row if isinstance(form.row, tuple) else (form.row,)
            for step in before:
                values = [self.shared(step, constants, values, total=form.total)]
                constants = {}
            self.known[key] = self.assign(call, form, self.expression(last, constants, values), values)
        return self.known[key]

    def shared(self, step: str | Helper, constants: dict[int, Any], values: list[_Value], *, total: bool) -> _Value:
        """An earlier step of a row form, computed once for all the functions that begin with it."""
        key = ("step", step, repr(constants), *(value.text for value in values))
        if key not in self.known:
            expression = self.expression(step, constants, values)
            nullable = [value.text for value in values if value.nullable]
            made = self.new(nullable=bool(nullable) or not (total or isinstance(step, str)))
            self.write(made, [f"{made.text} = {expression}"], nullable)
            self.known[key] = made
        return self.known[key]

    def assign(self, call: Call, form: Form, expression: str, values: list[_Value]) -> _Value:
        """Write the lines that compute one call, with the checks of its result."""
        own_nulls = FUNCTIONS[call.function].own_nulls
        nullable = [] if own_nulls else [value.text for value in values if value.nullable]
        if "None" in nullable:
            return _Value("None", nullable=True)
        made = self.new(nullable=bool(nullable) or not form.total or own_nulls)
        lines = [f"{made.text} = {expression}"]
        if form.checked:
            low, high = _RANGES[call.type]
            lines.append(f"if not {low} <= {made.text} <= {high}: {made.text} = None")
        elif call.type is Type.FLOAT and not form.total:
            lines.append(f"if {made.text} != {made.text}: {made.text} = None")
        self.write(made, lines, nullable)
        return made

    def write(self, made: _Value, lines: list[str], nullable: list[str]) -> None:
        """Write lines that make a value, which is None if any of `nullable` is."""
        if nullable:
            test = " or ".join(f"{text} is None" for text in dict.fromkeys(nullable))
            self.lines += [f"if {test}: {made.text} = None", "else:", *(f"    {line}" for line in lines)]
        else:
            self.lines += lines

    def expression(self, step: str | Helper, constants: dict[int, Any], values: list[_Value]) -> str:
        """Source of one step of a row form over its arguments."""
        texts = [value.text for value in values]
        made = step(*constants.values()) if constants and not isinstance(step, str) else step
        if isinstance(made, str):
            return made.format(*texts)
        self.helpers.append(made)
        return f"h{len(self.helpers) - 1}({', '.join(texts)})"

    def new(self, *, nullable: bool = True) -> _Value:
        return _Value(f"v{len(self.lines)}", nullable)
