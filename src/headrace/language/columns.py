"""A typed tree as a Polars expression: the form for history."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from headrace.language.functions import columns_form, constants_of, form_of
from headrace.language.tree import Call, Column, Literal, Node
from headrace.language.types import Type

if TYPE_CHECKING:
    import polars as pl


def to_polars(node: Node) -> pl.Expr:
    """The expression that computes `node` over columns of the types that the tree names.

    Examples
    --------
    >>> import polars as pl
    >>> from headrace.language.parse import parse
    >>> tree = parse("ln(distance + 1)", {"distance": Type.FLOAT})
    >>> pl.DataFrame({"distance": [0.0, -2.0, None]}).select(x=to_polars(tree))["x"].to_list()
    [0.0, None, None]
    """
    from headrace.language import column_kernels

    if isinstance(node, Column):
        return column_kernels.read(node.name, node.type)
    if isinstance(node, Literal):
        return column_kernels.literal(node.value, node.type)
    return _call(node)


def _call(call: Call) -> pl.Expr:
    form = form_of(call)
    constants = constants_of(call, form)
    arguments: list[Any] = [
        constants[position] if position in constants else to_polars(argument)
        for position, argument in enumerate(call.arguments)
    ]
    expression: pl.Expr = columns_form(form)(*arguments)
    return expression.fill_nan(None) if call.type is Type.FLOAT and not form.total else expression
