"""A typed tree as a Polars expression: the form for history.

Inside an expression a float may be NaN where the language has null: the functions that hand NaN on (`Form.takes_nan`)
are left to do so, and NaN becomes null before any other function sees it, and at the end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from headrace.language.calls import constants_of, form_of
from headrace.language.forms import columns_form
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
    expression, may_be_nan = _expression(node)
    return _without_nan(node, expression) if may_be_nan else expression


def _expression(node: Node) -> tuple[pl.Expr, bool]:
    """The expression of a node, and whether it may be NaN where the language has null."""
    from headrace.language import column_kernels

    if isinstance(node, Column):
        return column_kernels.read(node.name, node.type), node.type is Type.FLOAT
    if isinstance(node, Literal):
        return column_kernels.literal(node.value, node.type), False
    return _call(node)


def _call(call: Call) -> tuple[pl.Expr, bool]:
    from headrace.language.column_batches import apply

    form = form_of(call)
    constants = constants_of(call, form)
    arguments: list[Any] = []
    any_nan = False
    for position, argument in enumerate(call.arguments):
        if position in constants:
            arguments.append(constants[position])
            continue
        expression, may_be_nan = _expression(argument)
        if may_be_nan and not form.takes_nan:
            expression, may_be_nan = _without_nan(argument, expression), False
        any_nan = any_nan or may_be_nan
        arguments.append(expression)
    result = apply(columns_form(form), call.type, arguments)
    return result, call.type is Type.FLOAT and (any_nan or not form.total)


def _without_nan(node: Node, expression: pl.Expr) -> pl.Expr:
    from headrace.language.column_batches import without_nan

    # fill_nan names its argument three times: good for a column, but it would triple an expression at every level
    return expression.fill_nan(None) if isinstance(node, Column) else without_nan(expression)
