"""SQL text to a typed tree.

sqlglot reads the text; of what it makes only the nodes listed here are understood, everything else is refused with its
place. Each node is typed by the table of functions as it is built, and what is made of constants alone is computed at
once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlglot import exp
from sqlglot.tokenizer_core import TokenType

from headrace.language.calls import constants_of
from headrace.language.constants import check_constant, near_miss
from headrace.language.errors import ExpressionError, Kind
from headrace.language.forms import Form, Function
from headrace.language.functions import CASTS, FUNCTIONS
from headrace.language.parts import Part, exact, exact_if_met, exact_result, folded, promoted
from headrace.language.row_decimals import text_to_decimal
from headrace.language.row_kernels import GREATEST_INTEGER
from headrace.language.signatures import Match, Signature
from headrace.language.syntax import column_index, first_index, index_of, named_function, read_syntax, refusal
from headrace.language.tokens import Tokens, tokenize
from headrace.language.tree import MAX_DEPTH, MAX_SIZE, Call, Column, Literal, Node
from headrace.language.types import Type

_OPERATORS: dict[type[exp.Expr], str] = {
    exp.Add: "add",
    exp.Sub: "subtract",
    exp.Mul: "multiply",
    exp.Div: "divide",
    exp.IntDiv: "div",
    exp.Mod: "modulo",
    exp.EQ: "equal",
    exp.NEQ: "not_equal",
    exp.LT: "less",
    exp.LTE: "less_equal",
    exp.GT: "greater",
    exp.GTE: "greater_equal",
    exp.And: "and",
    exp.Or: "or",
    exp.DPipe: "concat",
}
_ASSOCIATIVE = frozenset({exp.And, exp.Or, exp.DPipe})
"""Chains of these are built as balanced trees, so that a long one is not a deep one."""
_CAST_TYPES: dict[exp.DType, Type] = {
    exp.DType.BIGINT: Type.INTEGER,
    exp.DType.INT: Type.INTEGER,
    exp.DType.DOUBLE: Type.FLOAT,
    exp.DType.FLOAT: Type.FLOAT,
    exp.DType.DECIMAL: Type.DECIMAL,
    exp.DType.TEXT: Type.STRING,
    exp.DType.VARCHAR: Type.STRING,
    exp.DType.BOOLEAN: Type.BOOLEAN,
    exp.DType.DATE: Type.DATE,
    exp.DType.TIMESTAMP: Type.TIMESTAMP,
    exp.DType.TIMESTAMPTZ: Type.TIMESTAMP,
}
_CONSTANTS: dict[TokenType, bool | None] = {TokenType.TRUE: True, TokenType.FALSE: False, TokenType.NULL: None}


def parse(text: str, columns: Mapping[str, Type]) -> Node:
    """The typed tree of an expression over columns of the given types.

    Raises
    ------
    ExpressionError : with `kind`, `offset`, `caret()` and, for a near miss, `suggestion`.

    Examples
    --------
    >>> parse("distance > 1000", {"distance": Type.FLOAT}).type
    <Type.BOOLEAN: 'boolean'>
    """
    tokens = tokenize(text)
    part = _Builder(tokens, columns).build(read_syntax(tokens))
    if part.node is None:
        message, fix = "NULL alone has no type", "write CAST(NULL AS float), for example"
        raise ExpressionError("types", message, text=text, offset=part.place, fix=fix)
    return part.node


def references(text: str) -> frozenset[str]:
    """Names of the columns that an expression uses, whatever their types.

    Raises
    ------
    ExpressionError : for wrong syntax and unknown functions; types and numbers of arguments are not looked at.

    Examples
    --------
    >>> sorted(references("hour(sched_dep_at) + lag"))
    ['lag', 'sched_dep_at']
    """
    tokens = tokenize(text)
    found: set[str] = set()
    for node in read_syntax(tokens).walk():
        if isinstance(node, exp.Column):
            word = tokens.words[column_index(tokens, node)]
            if word.token_type not in _CONSTANTS:
                found.add(word.text)
        elif isinstance(node, exp.Anonymous):
            named_function(tokens, node)
        elif type(node) not in _UNDERSTOOD:
            raise refusal(tokens, node)
    return frozenset(found)


class _Builder:
    """Types one expression, node by node."""

    def __init__(self, tokens: Tokens, columns: Mapping[str, Type]) -> None:
        self._tokens = tokens
        self._columns = columns
        self._level = 0

    def build(self, tree: exp.Expr) -> Part:
        method = _METHODS.get(type(tree))
        if method is None:
            raise refusal(self._tokens, tree)
        if self._level > MAX_DEPTH:
            raise self._too_deep(self._tokens.place(first_index(tree)))
        self._level += 1
        part = method(self, tree)
        self._level -= 1
        return part

    # --- leaves ------------------------------------------------------------------------------------------------------

    def column(self, tree: exp.Column) -> Part:
        index = column_index(self._tokens, tree)
        word, place = self._tokens.words[index], self._tokens.place(index)
        if word.token_type in _CONSTANTS:
            value = _CONSTANTS[word.token_type]
            return Part(None if value is None else Literal(value, Type.BOOLEAN), place)
        if word.text not in self._columns:
            known = ", ".join(sorted(self._columns)[:30]) + (", …" if len(self._columns) > 30 else "")
            raise self._error(
                "unknown-column",
                f"there is no column {word.text!r} here",
                place,
                suggestion=near_miss(word.text, self._columns),
                fix=f"use one of: {known}" if known else "no column can be used here",
            )
        return Part(Column(word.text, self._columns[word.text]), place)

    def literal(self, tree: exp.Literal) -> Part:
        index = int(tree.name)
        text, place = self._tokens.words[index].text, self._tokens.place(index)
        if tree.args["is_string"]:
            return Part(Literal(text, Type.STRING), place)
        if text.isdigit():
            if len(text) > 19 or int(text) > GREATEST_INTEGER:
                raise self._error(
                    "constant", "this integer does not fit in 64 bits", place, fix=f"write it as {text}.0"
                )
            return Part(Literal(int(text), Type.INTEGER), place)
        try:
            value = float(text)
        except ValueError:
            value = math.inf
        if math.isinf(value):
            raise self._error("constant", "this is not a number that a float holds", place)
        return Part(Literal(value, Type.FLOAT), place, exact=text_to_decimal(text))

    # --- nodes -------------------------------------------------------------------------------------------------------

    def parenthesis(self, tree: exp.Paren) -> Part:
        return self.build(tree.this)

    def binary(self, tree: exp.Expr) -> Part:
        chain = [tree]  # a + b + c + … leans left: walk it without recursion
        while type(chain[-1].this) in _OPERATORS:
            chain.append(chain[-1].this)
        part = self.build(chain[-1].this)
        while chain:
            node = chain.pop()
            row = [part, self.build(node.expression)]
            while type(node) in _ASSOCIATIVE and chain and type(chain[-1]) is type(node):
                row.append(self.build(chain.pop().expression))
            part = self._balanced(_OPERATORS[type(node)], row)
        return part

    def _balanced(self, operator: str, row: list[Part]) -> Part:
        while len(row) > 1:
            pairs = [row[at : at + 2] for at in range(0, len(row), 2)]
            row = [self._call(operator, pair, pair[0].place) if len(pair) == 2 else pair[0] for pair in pairs]
        return row[0]

    def negative(self, tree: exp.Neg) -> Part:
        if isinstance(tree.this, exp.Literal):  # the least integer is the one whose magnitude is not an integer
            index = int(tree.this.name)
            if self._tokens.words[index].text == str(GREATEST_INTEGER + 1):
                return Part(Literal(-GREATEST_INTEGER - 1, Type.INTEGER), self._tokens.place(index))
        part = self.build(tree.this)
        return self._call("negate", [part], part.place)

    def opposite(self, tree: exp.Not) -> Part:
        part = self.build(tree.this)
        return self._call("not", [part], part.place)

    def is_something(self, tree: exp.Is) -> Part:
        part = self.build(tree.this)
        if isinstance(tree.expression, exp.Null):
            return self._call("is_null", [part], part.place)
        if isinstance(tree.expression, exp.Boolean):
            truth = Part(Literal(bool(tree.expression.this), Type.BOOLEAN), part.place)
            equal = self._call("equal", [part, truth], part.place)
            return self._call("coalesce", [equal, Part(Literal(False, Type.BOOLEAN), part.place)], part.place)
        raise refusal(self._tokens, tree)

    def between(self, tree: exp.Between) -> Part:
        part, low, high = (self.build(tree.args[name]) for name in ("this", "low", "high"))
        above = self._call("greater_equal", [part, low], part.place)
        below = self._call("less_equal", [part, high], part.place)
        return self._call("and", [above, below], part.place)

    def like(self, tree: exp.Like | exp.ILike) -> Part:
        part, pattern = self.build(tree.this), self.build(tree.expression)
        if isinstance(tree, exp.ILike):
            part, pattern = (self._call("lower", [one], one.place) for one in (part, pattern))
        found = self._call("like", [part, pattern], part.place)
        return self._call("not", [found], part.place) if tree.args.get("negate") else found

    def is_in(self, tree: exp.In) -> Part:
        if not tree.expressions:
            raise refusal(self._tokens, tree)
        part = self.build(tree.this)
        listed = [self.build(item) for item in tree.expressions]
        constants = [item for item in listed if item.is_constant]
        tests = [self._call("in", [part, *constants], part.place)] if constants else []
        tests += [self._call("equal", [part, item], part.place) for item in listed if not item.is_constant]
        return self._balanced("or", tests)

    def case(self, tree: exp.Case) -> Part:
        subject = None if tree.this is None else self.build(tree.this)
        default = tree.args.get("default")
        arms = tree.args["ifs"]
        values = [self.build(arm.args["true"]) for arm in arms]
        *values, part = exact_if_met([*values, Part(None, 0) if default is None else self.build(default)])
        for arm, value in zip(reversed(arms), reversed(values), strict=True):
            condition = self.build(arm.this)
            if subject is not None:
                condition = self._call("equal", [subject, condition], condition.place)
            part = self._call("if", [condition, value, part], condition.place)
        return part

    def cast(self, tree: exp.Cast) -> Part:
        part = self.build(tree.this)
        to = tree.args["to"]
        wanted = _CAST_TYPES.get(to.this) if isinstance(to, exp.DataType) and not to.expressions else None
        if wanted is None:
            names = ", ".join(sorted(CASTS)) + ", without a length or precision"
            raise self._error("types", "this is not a type to cast to", part.place, fix=f"cast to one of: {names}")
        if part.node is None:
            return Part(Literal(None, wanted), part.place)
        if wanted is Type.DECIMAL and part.exact is not None:
            return Part(Literal(part.exact, wanted), part.place)
        cast = self._call(CASTS[wanted], [part], part.place)
        if part.is_constant and isinstance(cast.node, Literal) and cast.node.value is None:
            raise self._error("constant", f"this constant cannot be read as {wanted}", part.place)
        return cast

    def named(self, tree: exp.Anonymous) -> Part:
        function = named_function(self._tokens, tree)
        arguments = [self.build(argument) for argument in tree.expressions]
        return self._call(function.name, arguments, self._tokens.place(index_of(tree) or 0))

    # --- calls -------------------------------------------------------------------------------------------------------

    def _call(self, name: str, arguments: Sequence[Part], place: int) -> Part:
        function = FUNCTIONS[name]
        self._check_arity(function, arguments, place)
        form, match, parts = self._chosen(function, arguments, place)
        if match.result is None:
            return Part(None, place)
        parts = [*arguments, *parts[len(arguments) :]]
        nodes = tuple(self._promoted(part, type_) for part, type_ in zip(parts, match.types, strict=True))
        self._check_constants(function, form, nodes, parts)
        depth, size = 1 + max((part.depth for part in parts), default=0), 1 + sum(part.size for part in parts)
        if depth > MAX_DEPTH:
            raise self._too_deep(place)
        if size > MAX_SIZE:
            fix = "split it into several features"
            raise self._error("too-long", f"an expression has at most {MAX_SIZE} parts", place, fix=fix)
        return Part(folded(Call(name, nodes, match.result)), place, depth, size, exact_result(name, arguments))

    def _promoted(self, part: Part, wanted: Type | None) -> Node:
        """An argument in the type that its place wants."""
        node = promoted(part, wanted)
        if part.is_constant and isinstance(node, Literal) and node.value is None:
            fix = "write it with a point, and the decimals beside it become floats"
            raise self._error("constant", "this integer has too many digits for a decimal", part.place, fix=fix)
        return node

    def _check_arity(self, function: Function, arguments: Sequence[Part], place: int) -> None:
        rules = [form.signature for form in function.forms]
        if any(rule.least <= len(arguments) <= (rule.most or len(arguments)) for rule in rules):
            return
        least = min(rule.least for rule in rules)
        most = None if any(rule.most is None for rule in rules) else max(rule.most or 0 for rule in rules)
        wanted = f"at least {least}" if most is None else f"{least}" if least == most else f"{least} to {most}"
        noun = "argument" if wanted == "1" else "arguments"
        raise self._error("arity", f"{function.name} takes {wanted} {noun}, not {len(arguments)}", place)

    def _chosen(self, function: Function, arguments: Sequence[Part], place: int) -> tuple[Form, Match, Sequence[Part]]:
        """The form that the arguments meet with the fewest promotions, the first of equals, and its arguments."""
        for given in (exact_if_met(arguments), exact(arguments)):
            chosen: tuple[Form, Match, Sequence[Part]] | None = None
            for form in function.forms:
                parts = [*given, *_defaults(form, len(given), place)]
                match = form.signature.match([part.type for part in parts])
                if match is not None and (chosen is None or match.promotions < chosen[1].promotions):
                    chosen = (form, match, parts)
            if chosen is not None:
                return chosen
        found = ", ".join("NULL" if part.type is None else part.type.value for part in arguments)
        accepted = " or ".join(dict.fromkeys(_described(form.signature) for form in function.forms))
        written = f"{function.name}(…)" if function.is_callable else function.written
        fix = f"give it {accepted}; CAST changes a type"
        types = {part.type for part in arguments}
        if Type.STRING in types and types & {Type.TIMESTAMP, Type.DATE}:
            fix = f"write TIMESTAMP '2013-01-31T05:00:00Z' or DATE '2013-01-31' for a time; {fix}"
        raise self._error("types", f"{written} does not take ({found})", place, fix=fix)

    def _check_constants(self, function: Function, form: Form, nodes: Sequence[Node], parts: Sequence[Part]) -> None:
        for position, (node, part) in enumerate(zip(nodes, parts, strict=True)):
            parameter = form.signature.parameter(position)
            value = node.value if isinstance(node, Literal) else None
            if parameter.constant and value is None:
                message = f"argument {position + 1} of {function.name} has to be a constant"
                raise self._error("constant", message, part.place)
            if parameter.kind is not None and value is not None:
                mistake = check_constant(parameter.kind, value)
                if mistake is not None:
                    raise self._error("constant", mistake.message, part.place, suggestion=mistake.suggestion)
        if form.check is not None:
            constants = constants_of(Call(function.name, tuple(nodes), nodes[0].type), form)
            complaint = form.check(*constants.values())
            if complaint is not None:
                raise self._error("constant", complaint, parts[max(constants)].place)

    def _too_deep(self, place: int) -> ExpressionError:
        fix = "split it into several features"
        return self._error("too-deep", f"an expression nests at most {MAX_DEPTH} deep", place, fix=fix)

    def _error(
        self, kind: Kind, message: str, place: int, *, suggestion: str | None = None, fix: str | None = None
    ) -> ExpressionError:
        return ExpressionError(kind, message, text=self._tokens.text, offset=place, suggestion=suggestion, fix=fix)


_METHODS: dict[type[exp.Expr], Callable[[_Builder, Any], Part]] = {
    **dict.fromkeys(_OPERATORS, _Builder.binary),
    exp.Column: _Builder.column,
    exp.Literal: _Builder.literal,
    exp.Paren: _Builder.parenthesis,
    exp.Neg: _Builder.negative,
    exp.Not: _Builder.opposite,
    exp.Is: _Builder.is_something,
    exp.Between: _Builder.between,
    exp.In: _Builder.is_in,
    exp.Like: _Builder.like,
    exp.ILike: _Builder.like,
    exp.Case: _Builder.case,
    exp.Cast: _Builder.cast,
    exp.TryCast: _Builder.cast,
    exp.Anonymous: _Builder.named,
}
_UNDERSTOOD = {*_METHODS, exp.Identifier, exp.DataType, exp.If, exp.Null, exp.Boolean}


def _described(rule: Signature) -> str:
    words = [parameter.word for parameter in rule.parameters]
    if not any(parameter.type is None for parameter in rule.parameters):
        return f"({', '.join(words)})"
    others = [parameter.type.value for parameter in rule.parameters if parameter.type is not None]
    one = "one type" if Type.BOOLEAN in rule.allowed else "one type that has an order"
    return f"arguments of {one}{' after a ' if others else ''}{', '.join(others)}"


def _defaults(form: Form, given: int, place: int) -> list[Part]:
    """What stands for the arguments that may be left out."""
    return [
        Part(Literal(parameter.default, parameter.type), place)
        for parameter in form.signature.parameters[given:]
        if parameter.default is not None and parameter.type is not None
    ]
