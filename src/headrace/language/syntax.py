"""Tokens to the SQL parser's tree, whose leaves are numbers of tokens, and the questions one asks of such a tree."""

from __future__ import annotations

import sqlglot.errors
from sqlglot import exp
from sqlglot.parser import Parser

from headrace.language.constants import near_miss
from headrace.language.errors import ExpressionError
from headrace.language.forms import Function
from headrace.language.functions import FUNCTIONS
from headrace.language.tokens import Tokens, too_deep

_QUOTED = 'correct the expression; a column whose name is not one plain word stands in double quotes: "sq ft"'
_SPELLINGS = {
    "pow": "power",
    "ceiling": "ceil",
    "char_length": "length",
    "len": "length",
    "mod": "modulo",
    "lpad": "pad_left",
    "rpad": "pad_right",
    "ltrim": "trim_left",
    "rtrim": "trim_right",
    "strpos": "position",
    "ascii": "code_point",
    "ifnull": "coalesce",
    "nvl": "coalesce",
    "zeroifnull": "zero_if_null",
    "nullifzero": "null_if_zero",
    "substr": "substring",
    "instr": "position",
    "edit_distance": "levenshtein",
    "similarity": "trigram_similarity",
    "popcount": "bit_count",
    "regexp_like": "regexp_matches",
    "regexp_substr": "regexp_extract",
    "dayofyear": "day_of_year",
    "weekofyear": "iso_week",
    "datediff": "date_diff",
    "datetrunc": "date_trunc",
    "unix_timestamp": "epoch_seconds",
    "from_unixtime": "from_epoch",
}
"""Other names that people give to functions."""


def read_syntax(tokens: Tokens) -> exp.Expr:
    """The parser's tree of one expression."""
    try:
        trees = Parser().parse(list(tokens.numbered), tokens.text)
    except sqlglot.errors.ParseError as error:
        raise tokens.error(*_explained(tokens, error)) from None
    except RecursionError:  # `tokens` bounds the nesting; this is for a caller that is deep in the stack itself
        raise too_deep(tokens, 0) from None
    if len(trees) != 1 or trees[0] is None:
        raise tokens.error("this is not one expression", 0)
    return trees[0]


def _explained(tokens: Tokens, error: sqlglot.errors.ParseError) -> tuple[str, int]:
    """The parser's complaint in our words, with the token it is about."""
    found = error.errors[0] if error.errors else {}
    offset = len(str(found.get("start_context") or ""))
    index = next((i for i, word in enumerate(tokens.words) if word.end >= offset), len(tokens.words) - 1)
    if "Required keyword" in str(found.get("description")):
        return f"something is missing after {tokens.words[index].text!r}", index
    return f"{tokens.words[index].text!r} is not expected here", index


def index_of(node: exp.Expr) -> int | None:
    """The token that a leaf or a function's name stands for."""
    if not isinstance(node, (exp.Identifier, exp.Literal, exp.Anonymous)):
        return None
    digits = node.name.lstrip("cf")
    return int(digits) if digits.isdigit() else None


def first_index(tree: exp.Expr) -> int:
    """The token with which a node begins, as far as its leaves tell."""
    return min((index for node in tree.walk() if (index := index_of(node)) is not None), default=0)


def column_index(tokens: Tokens, column: exp.Column) -> int:
    """The token of a plain column name."""
    index = index_of(column.this)
    if index is None or column.args.get("table") is not None:
        raise refusal(tokens, column)
    return index


def refusal(tokens: Tokens, node: exp.Expr) -> ExpressionError:
    """The error for a node that SQL has and the language has not."""
    if isinstance(node, exp.Alias):
        return tokens.error(
            "an operator is missing, or there is a word too many", first_index(node.args["alias"]), fix=_QUOTED
        )
    return tokens.error(f"{type(node).__name__.upper()} is not part of the language", first_index(node))


def named_function(tokens: Tokens, call: exp.Anonymous) -> Function:
    """The function that a call names."""
    index = index_of(call) or 0
    name = tokens.words[index].text
    function = FUNCTIONS.get(_SPELLINGS.get(name.lower(), name.lower()))
    if function is not None and function.is_callable:
        return function
    known = [name for name, function in FUNCTIONS.items() if function.is_callable]
    raise ExpressionError(
        "unknown-function",
        f"there is no function {name!r}",
        text=tokens.text,
        offset=tokens.place(index),
        suggestion=near_miss(name, known) or near_miss(name, _SPELLINGS),
        fix="see the reference page of functions for those there are",
    )
