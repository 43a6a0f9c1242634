"""How entries of the table are written."""

from __future__ import annotations

from headrace.language import row_kernels as k
from headrace.language.forms import Check, Columns, Form, Function, Helper, Row
from headrace.language.signatures import signature
from headrace.language.zones import DAY


def form(
    rule: str,
    columns: Columns,
    row: Row,
    *,
    checked: bool = False,
    total: bool = False,
    takes_unsettled: bool = False,
    check: Check | None = None,
) -> Form:
    """A form of a type rule; `headrace.language.forms.Form` says what the marks mean."""
    return Form(signature(rule), columns, row, checked, total, takes_unsettled, check)


def function(
    name: str, doc: str, *forms: Form, written: str | None = None, own_nulls: bool = False, example: str = ""
) -> Function:
    """An entry; `example` is an expression, an arrow and what it gives."""
    return Function(name, "", doc, forms, written, own_nulls, example)


def float_form(columns: Columns, row: Row) -> Form:
    """A function of one float, to whose columns form NaN is as good as null."""
    return form("float -> float", columns, row, takes_unsettled=True)


def part(
    name: str, doc: str, *of_day: str | Helper, result: str = "integer", family: str = "times", example: str = ""
) -> Function:
    """A part of the date: of a wall clock, and of a date."""
    of_wall = (k.wall_in, f"{{0}} // {DAY}", *of_day)
    return function(
        name,
        doc,
        form(f"timestamp !zone=UTC -> {result}", f"{family}:{name}", of_wall),
        form(f"date -> {result}", f"{family}:{name}_of_date", of_day, total=True),
        example=example,
    )


def clock(
    name: str, doc: str, of_wall: str, result: str = "integer", *, family: str = "times", example: str = ""
) -> Function:
    """A part of the wall clock."""
    parts = form(f"timestamp !zone=UTC -> {result}", f"{family}:{name}", (k.wall_in, of_wall))
    return function(name, doc, parts, example=example)
