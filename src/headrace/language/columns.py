"""A typed tree as a Polars expression: the form for history.

Inside an expression a float may be NaN where the language has null, and -0.0 where it has 0.0: functions to which that
is all one (`Form.takes_unsettled`) are left to it; it is settled before any other function sees it, and at the end.
Polars itself is of two minds about zeros: where an operand is one value it leaves out `+ 0.0`, which else makes 0.0 of
-0.0.
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
    expression, is_settled = _expression(node)
    if node.type is Type.DECIMAL:
        from headrace.language.column_decimals import shown

        return shown(expression)
    return expression if is_settled else _settled(expression)


def _expression(node: Node) -> tuple[pl.Expr, bool]:
    """The expression of a node, and whether its values are settled."""
    from headrace.language import column_kernels

    if isinstance(node, Column):
        return column_kernels.read(node.name, node.type), node.type is not Type.FLOAT
    if isinstance(node, Literal):
        return column_kernels.literal(node.value, node.type), True
    return _call(node), node.type is not Type.FLOAT


def _call(call: Call) -> pl.Expr:
    from headrace.language.column_batches import apply

    form = form_of(call)
    constants = constants_of(call, form)
    arguments: list[Any] = []
    for position, argument in enumerate(call.arguments):
        if position in constants:
            arguments.append(constants[position])
            continue
        expression, is_settled = _expression(argument)
        arguments.append(expression if is_settled or form.takes_unsettled else _settled(expression))
    return apply(columns_form(form), call.type, arguments)


def _settled(expression: pl.Expr) -> pl.Expr:
    from headrace.language.column_batches import settled

    return settled(expression)
