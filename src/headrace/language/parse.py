"""SQL text to a typed tree.

sqlglot reads the text; of what it makes only the nodes listed here are understood, and everything else is refused with
its place. Each node is typed by the table of functions as it is built; parts made of constants alone are computed at once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import sqlglot.errors
from sqlglot import exp
from sqlglot.parser import Parser

from headrace.language.constants import check_constant, near_miss
from headrace.language.errors import ExpressionError, Kind
from headrace.language.forms import Form, Function
from headrace.language.functions import CASTS, FUNCTIONS
from headrace.language.row_kernels import GREATEST_INTEGER
from headrace.language.rows import compile_rows
from headrace.language.signatures import Match
from headrace.language.tokens import Tokens, tokenize
from headrace.language.tree import Call, Column, Literal, Node
from headrace.language.types import Type

MAX_DEPTH = 100

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
_CAST_TYPES: dict[exp.DType, Type] = {
    exp.DType.BIGINT: Type.INTEGER,
    exp.DType.INT: Type.INTEGER,
    exp.DType.DOUBLE: Type.FLOAT,
    exp.DType.FLOAT: Type.FLOAT,
    exp.DType.TEXT: Type.STRING,
    exp.DType.VARCHAR: Type.STRING,
    exp.DType.BOOLEAN: Type.BOOLEAN,
    exp.DType.DATE: Type.DATE,
    exp.DType.TIMESTAMP: Type.TIMESTAMP,
    exp.DType.TIMESTAMPTZ: Type.TIMESTAMP,
}
_ALIASES = {"pow": "power", "ceiling": "ceil", "char_length": "length", "len": "length", "mod": "modulo"}
"""Other spellings of functions."""
_WRITTEN_AS_OPERATORS = {
    name for name, function in FUNCTIONS.items() if function.written and "(" not in function.written
}
_CALLABLE = {
    name: function
    for name, function in FUNCTIONS.items()
    if name not in _WRITTEN_AS_OPERATORS or name in ("div", "concat")
} | {other: FUNCTIONS[name] for other, name in _ALIASES.items()}


@dataclass(frozen=True, slots=True)
class _Part:
    """A typed part of the expression and where it begins; `node` None is a NULL whose type is not known yet."""

    node: Node | None
    place: int
    depth: int = 1

    @property
    def type(self) -> Type | None:
        return None if self.node is None else self.node.type


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
    part = _Builder(tokens, columns).build(_syntax(tokens))
    if part.node is None:
        raise ExpressionError(
            "types",
            "NULL alone has no type",
            text=text,
            offset=part.place,
            fix="write CAST(NULL AS float), for example",
        )
    return part.node


def references(text: str) -> frozenset[str]:
    """Names of the columns that an expression uses, whatever their types; functions are checked, types are not."""
    tokens = tokenize(text)
    found: set[str] = set()
    for node in _syntax(tokens).walk():
        if isinstance(node, exp.Column):
            found.add(tokens.words[_column_index(tokens, node)].text)
        elif isinstance(node, exp.Anonymous):
            _named_function(tokens, node)
        elif type(node) not in _UNDERSTOOD:
            raise _refuse(tokens, node)
    return frozenset(found)


def _syntax(tokens: Tokens) -> exp.Expr:
    try:
        trees = Parser().parse(list(tokens.numbered), tokens.text)
    except sqlglot.errors.ParseError as error:
        raise tokens.error(*_explain(tokens, error)) from None
    tree = trees[0] if len(trees) == 1 else None
    if tree is None:
        raise tokens.error("this is not one expression", 0)
    return tree


def _explain(tokens: Tokens, error: sqlglot.errors.ParseError) -> tuple[str, int]:
    """The parser's complaint in our words, with the token it is about."""
    found = error.errors[0] if error.errors else {}
    before = len(str(found.get("start_context") or ""))
    index = next((i for i in range(len(tokens.words)) if tokens.words[i].end >= before), len(tokens.words) - 1)
    if "Required keyword" in str(found.get("description")):
        return f"something is missing after {tokens.words[index].text!r}", index
    return f"{tokens.words[index].text!r} is not expected here", index


def _first_index(tree: exp.Expr) -> int:
    """The token with which a node begins, as far as its leaves tell."""
    return min((index for node in tree.walk() if (index := _own_index(node)) is not None), default=0)


def _own_index(node: exp.Expr) -> int | None:
    text = node.name if isinstance(node, (exp.Identifier, exp.Literal, exp.Anonymous)) else ""
    digits = text.removeprefix("c").removeprefix("f")
    return int(digits) if digits.isdigit() else None


def _column_index(tokens: Tokens, column: exp.Column) -> int:
    if not isinstance(column.this, exp.Identifier) or column.args.get("table") is not None:
        raise _refuse(tokens, column)
    index = _own_index(column.this)
    if index is None:
        raise _refuse(tokens, column)
    return index


def _refuse(tokens: Tokens, node: exp.Expr) -> ExpressionError:
    if isinstance(node, exp.Alias):
        return tokens.error("an operator is missing, or there is a word too many", _first_index(node.args["alias"]))
    return tokens.error(f"{type(node).__name__.upper()} is not part of the language", _first_index(node))


def _named_function(tokens: Tokens, node: exp.Anonymous) -> Function:
    index = _own_index(node) or 0
    name = tokens.words[index].text
    function = _CALLABLE.get(name.lower())
    if function is None:
        raise ExpressionError(
            "unknown-function",
            f"there is no function {name!r}",
            text=tokens.text,
            offset=tokens.place(index),
            suggestion=near_miss(name.lower(), _CALLABLE),
            fix="see docs/reference/functions.md for the functions there are",
        )
    return function


class _Builder:
    """Types one expression, node by node."""

    def __init__(self, tokens: Tokens, columns: Mapping[str, Type]) -> None:
        self._tokens = tokens
        self._columns = columns

    def build(self, tree: exp.Expr) -> _Part:
        operator = _OPERATORS.get(type(tree))
        if operator is not None:
            return self._binary(tree, operator)
        method = _METHODS.get(type(tree))
        if method is None:
            raise _refuse(self._tokens, tree)
        return method(self, tree)

    # --- leaves ---

    def _column(self, tree: exp.Expr) -> _Part:
        assert isinstance(tree, exp.Column)
        index = _column_index(self._tokens, tree)
        name, place = self._tokens.words[index].text, self._tokens.place(index)
        if name not in self._columns:
            known = ", ".join(sorted(self._columns)[:30]) + (", …" if len(self._columns) > 30 else "")
            raise self._error(
                "unknown-column",
                f"there is no column {name!r} here",
                place,
                suggestion=near_miss(name, self._columns),
                fix=f"use one of: {known}" if known else "no column can be used here",
            )
        return _Part(Column(name, self._columns[name]), place)

    def _literal(self, tree: exp.Expr) -> _Part:
        index = int(tree.name)
        text, place = self._tokens.words[index].text, self._tokens.place(index)
        if tree.args["is_string"]:
            return _Part(Literal(text, Type.STRING), place)
        if text.isdigit():
            if len(text) > 19 or int(text) > GREATEST_INTEGER:
                raise self._error("constant", "this integer does not fit in 64 bits", place, fix="write it as 1e20")
            return _Part(Literal(int(text), Type.INTEGER), place)
        try:
            value = float(text)
        except ValueError:
            value = math.inf
        if math.isinf(value):
            raise self._error("constant", "this is not a number that a float holds", place)
        return _Part(Literal(value, Type.FLOAT), place)

    def _boolean(self, tree: exp.Expr) -> _Part:
        return _Part(Literal(bool(tree.this), Type.BOOLEAN), 0)

    def _null(self, tree: exp.Expr) -> _Part:
        return _Part(None, 0)

    # --- nodes ---

    def _paren(self, tree: exp.Expr) -> _Part:
        return self.build(tree.this)

    def _binary(self, tree: exp.Expr, operator: str) -> _Part:
        chain = [tree]  # a + b + c + … leans left: walk it without recursion
        while type(chain[-1].this) in _OPERATORS:
            chain.append(chain[-1].this)
        part = self.build(chain[-1].this)
        for node in reversed(chain):
            right = self.build(node.expression)
            part = self._call(_OPERATORS[type(node)], [part, right], part.place)
        return part

    def _negative(self, tree: exp.Expr) -> _Part:
        inner = tree.this
        if isinstance(inner, exp.Literal) and self._tokens.words[int(inner.name)].text == str(GREATEST_INTEGER + 1):
            return _Part(Literal(-GREATEST_INTEGER - 1, Type.INTEGER), self._tokens.place(int(inner.name)))
        part = self.build(inner)
        return self._call("negate", [part], part.place)

    def _not(self, tree: exp.Expr) -> _Part:
        part = self.build(tree.this)
        return self._call("not", [part], part.place)

    def _is(self, tree: exp.Expr) -> _Part:
        part = self.build(tree.this)
        if isinstance(tree.expression, exp.Null):
            return self._call("is_null", [part], part.place)
        if isinstance(tree.expression, exp.Boolean):
            truth = _Part(Literal(bool(tree.expression.this), Type.BOOLEAN), part.place)
            equal = self._call("equal", [part, truth], part.place)
            return self._call("coalesce", [equal, _Part(Literal(False, Type.BOOLEAN), part.place)], part.place)
        raise _refuse(self._tokens, tree)

    def _between(self, tree: exp.Expr) -> _Part:
        part, low, high = (self.build(tree.args[name]) for name in ("this", "low", "high"))
        above = self._call("greater_equal", [part, low], part.place)
        below = self._call("less_equal", [part, high], part.place)
        return self._call("and", [above, below], part.place)

    def _in(self, tree: exp.Expr) -> _Part:
        if not tree.expressions:
            raise _refuse(self._tokens, tree)
        part = self.build(tree.this)
        listed = [self.build(item) for item in tree.expressions]
        constants = [item for item in listed if isinstance(item.node, Literal) and item.node.value is not None]
        tests = [self._call("in", [part, *constants], part.place)] if constants else []
        tests += [self._call("equal", [part, item], part.place) for item in listed if item not in constants]
        found = tests[0]
        for test in tests[1:]:
            found = self._call("or", [found, test], part.place)
        return found

    def _case(self, tree: exp.Expr) -> _Part:
        subject = None if tree.this is None else self.build(tree.this)
        default = tree.args.get("default")
        part = _Part(None, 0) if default is None else self.build(default)
        for arm in reversed(tree.args["ifs"]):
            condition = self.build(arm.this)
            if subject is not None:
                condition = self._call("equal", [subject, condition], condition.place)
            part = self._call("if", [condition, self.build(arm.args["true"]), part], condition.place)
        return part

    def _cast(self, tree: exp.Expr) -> _Part:
        part = self.build(tree.this)
        to = tree.args["to"]
        wanted = _CAST_TYPES.get(to.this)
        if wanted is None or to.expressions:
            names = ", ".join(sorted(CASTS))
            raise self._error("types", "this is not a type one can cast to", part.place, fix=f"cast to one of: {names}")
        if part.node is None:
            return _Part(Literal(None, wanted), part.place)
        cast = self._call(CASTS[wanted], [part], part.place)
        if isinstance(cast.node, Literal) and cast.node.value is None:
            raise self._error("constant", f"this constant is no {wanted}", part.place)
        return cast

    def _named(self, tree: exp.Expr) -> _Part:
        assert isinstance(tree, exp.Anonymous)
        function = _named_function(self._tokens, tree)
        arguments = [self.build(argument) for argument in tree.expressions]
        return self._call(function.name, arguments, self._tokens.place(_own_index(tree) or 0))

    # --- calls ---

    def _call(self, name: str, arguments: Sequence[_Part], place: int) -> _Part:
        function = FUNCTIONS[name]
        self._check_arity(function, arguments, place)
        chosen: tuple[Form, Match, list[_Part]] | None = None
        for form in function.forms:
            filled = _with_defaults(form, arguments, place)
            match = form.signature.match([part.type for part in filled])
            if match is not None and (chosen is None or match.promotions < chosen[1].promotions):
                chosen = (form, match, filled)
        if chosen is None:
            raise self._no_form(function, arguments, place)
        form, match, filled = chosen
        if match.result is None:
            return _Part(None, place)
        nodes = tuple(_promote(part.node, type_) for part, type_ in zip(filled, match.types, strict=True))
        self._check_constants(function, form, nodes, filled)
        depth = 1 + max(part.depth for part in filled)
        if depth > MAX_DEPTH:
            raise self._error(
                "too-deep", f"an expression nests at most {MAX_DEPTH} deep", place, fix="split it into several features"
            )
        return _Part(_folded(Call(name, nodes, match.result)), place, depth)

    def _check_arity(self, function: Function, arguments: Sequence[_Part], place: int) -> None:
        rules = [form.signature for form in function.forms]
        if any(rule.least <= len(arguments) <= (rule.most or len(arguments)) for rule in rules):
            return
        least = min(rule.least for rule in rules)
        most = None if any(rule.most is None for rule in rules) else max(rule.most or 0 for rule in rules)
        wanted = f"at least {least}" if most is None else f"{least}" if least == most else f"{least} to {most}"
        raise self._error(
            "arity",
            f"{function.name} takes {wanted} argument{'' if wanted == '1' else 's'}, not {len(arguments)}",
            place,
        )

    def _no_form(self, function: Function, arguments: Sequence[_Part], place: int) -> ExpressionError:
        found = ", ".join("NULL" if part.type is None else part.type.value for part in arguments)
        accepted = "; ".join(form.signature.text.partition(" ->")[0] for form in function.forms)
        written = function.written or f"{function.name}(…)"
        return self._error(
            "types", f"{written} does not take ({found})", place, fix=f"give it one of: {accepted}; CAST changes a type"
        )

    def _check_constants(self, function: Function, form: Form, nodes: Sequence[Node], parts: Sequence[_Part]) -> None:
        for position, (node, part) in enumerate(zip(nodes, parts, strict=True)):
            parameter = form.signature.parameter(position)
            known = isinstance(node, Literal) and node.value is not None
            if parameter.constant and not known:
                raise self._error(
                    "constant", f"argument {position + 1} of {function.name} has to be a constant", part.place
                )
            if parameter.kind is not None and known and isinstance(node, Literal):
                mistake = check_constant(parameter.kind, node.value)
                if mistake is not None:
                    raise self._error("constant", mistake.message, part.place, suggestion=mistake.suggestion)

    def _error(
        self, kind: Kind, message: str, place: int, *, suggestion: str | None = None, fix: str | None = None
    ) -> ExpressionError:
        return ExpressionError(kind, message, text=self._tokens.text, offset=place, suggestion=suggestion, fix=fix)


_METHODS: dict[type[exp.Expr], Callable[[_Builder, Any], _Part]] = {
    exp.Column: _Builder._column,
    exp.Literal: _Builder._literal,
    exp.Boolean: _Builder._boolean,
    exp.Null: _Builder._null,
    exp.Paren: _Builder._paren,
    exp.Neg: _Builder._negative,
    exp.Not: _Builder._not,
    exp.Is: _Builder._is,
    exp.Between: _Builder._between,
    exp.In: _Builder._in,
    exp.Case: _Builder._case,
    exp.Cast: _Builder._cast,
    exp.TryCast: _Builder._cast,
    exp.Anonymous: _Builder._named,
}
_UNDERSTOOD = {*_METHODS, *_OPERATORS, exp.Identifier, exp.DataType, exp.If}


def _with_defaults(form: Form, arguments: Sequence[_Part], place: int) -> list[_Part]:
    filled = list(arguments)
    for parameter in form.signature.parameters[len(arguments) :]:
        if parameter.default is not None and parameter.type is not None:
            filled.append(_Part(Literal(parameter.default, parameter.type), place))
    return filled


def _promote(node: Node | None, wanted: Type | None) -> Node:
    """An argument in the type that its place wants."""
    type_ = Type.STRING if wanted is None else wanted
    if node is None:
        return Literal(None, type_)
    if node.type is Type.INTEGER and type_ is Type.FLOAT:
        return _folded(Call("to_float", (node,), Type.FLOAT))
    return node


def _folded(call: Call) -> Node:
    """The constant that a call of constants gives; infinities stay calls, since JSON has none."""
    if not all(isinstance(argument, Literal) for argument in call.arguments):
        return call
    value: Any = _constant(call)
    if isinstance(value, float) and math.isinf(value):
        return call
    return Literal(value, call.type)


@lru_cache(maxsize=256)
def _constant(call: Call) -> object:
    return compile_rows((), (("", call),))(())[0]
