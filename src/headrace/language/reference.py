"""The reference page of the functions, made from the table: ``docs/reference/functions.md``."""

from __future__ import annotations

from headrace.language.forms import Form, Function
from headrace.language.functions import FUNCTIONS
from headrace.language.signatures import KIND_TYPES, Parameter
from headrace.language.tokens import MAX_CHARACTERS, MAX_NESTING
from headrace.language.tree import MAX_DEPTH

_HEAD = f"""# Functions

Expressions are SQL: in `[features.expressions]`, `[sources.NAME.derive]`, `[[sources.NAME.checks]]` and `label`. Each
is checked against the types of the columns when the definition is read, and compiled twice: to a Polars expression for
history, to a Python function for one row. Both give the same value, to the bit.

Names of functions may be written in capitals, names of columns as they are; a column whose name is not a plain word
stands in double quotes, text in single quotes. An expression has at most {MAX_CHARACTERS:,} characters; parentheses
nest at most {MAX_NESTING} deep and calls {MAX_DEPTH}.

## Meaning

- A NaN that is read becomes null, and an operation that would give NaN gives null. Infinities stay. -0.0 is 0.0.
- A decimal is exact, with at most 12 digits before the point and 6 after it; what has more is null. `*` of decimals
  rounds to the sixth place, halves away from zero.
- An integer result outside 64 bits is null, as is a date or timestamp outside the years 1 to 9999 (UTC).
- A function is null when an argument is null, unless its entry says otherwise. AND, OR and NOT are three-valued.
- `/` always gives a float. Division by zero, by `/`, `div` or `%`, is null; `div` cuts toward zero, and `%` has the
  sign of its left side.
- An integer becomes a decimal or a float, and a decimal a float, where one is wanted; a category is text. Nothing else
  changes its type by itself.
- A number with a point is a float; where it meets decimals and has at most 6 places it is one: `amount * 1.19`.
- Text compares by code point. `round` takes halves away from zero.
- CAST (also `::` and TRY_CAST) gives null where it fails; a constant that fails is an error when the definition is
  read.
- A timestamp is an instant; a zone is an IANA name such as `'America/New_York'` and `'UTC'` when left out.
- CASE is written with `if`, BETWEEN with `>=` and `<=`, `IS TRUE` with `=` and `coalesce`.
- `exp`, `ln`, `sin` and their like are the C library's, so another operating system may differ in the last bit.
- `lower`, `upper`, `initcap`, `normalize`, `strip_accents`, `count_letters` and their like follow the edition of
  Unicode that the Python in use carries.
- `a LIKE b` matches the whole text, line feeds included; regular expressions match somewhere, take time linear in the
  text, and of several matches the leftmost counts, of those the one that the pattern names first.
- An example is what both forms give: a test computes each.

In the tables, `T` is any type, the same in every place; `O` likewise, of the types that have an order (all but
boolean); `A` is any type, each place its own; `…` means that an argument may be repeated; *italics* mark constants.
"""


def render() -> str:
    """The page."""
    groups: dict[str, list[Function]] = {}
    for function in FUNCTIONS.values():
        groups.setdefault(function.group, []).append(function)
    return "\n".join([_HEAD, *(_section(group, functions) for group, functions in groups.items())])


def _section(group: str, functions: list[Function]) -> str:
    lines = [f"## {group}", "", "| function | takes → gives | meaning | example |", "| --- | --- | --- | --- |"]
    for function in functions:
        types = "<br>".join(_types(form) for form in function.forms)
        lines.append(f"| {_written(function)} | {types} | {_cell(function.doc)} | `{_cell(function.example)}` |")
    return "\n".join([*lines, ""])


def _written(function: Function) -> str:
    return f"`{_cell(function.written or f'{function.name}(a)')}`"


def _types(form: Form) -> str:
    parameters = form.signature.parameters
    variable = next((parameter.word.strip("!.") for parameter in parameters if parameter.type is None), "")
    return f"{', '.join(map(_parameter, parameters))} → {form.signature.result or variable}".strip()


def _parameter(parameter: Parameter) -> str:
    if parameter.kind is None:
        word = parameter.word.lstrip("!").replace("...", "…")
        return f"*{word}*" if parameter.constant else word
    name = parameter.kind.rpartition("_")[2]
    default = "" if parameter.default is None else f" = {parameter.default}"
    return f"*{name}{default}*" if parameter.constant else f"{name} ({KIND_TYPES[parameter.kind]})"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
