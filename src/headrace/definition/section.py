"""A source's values as the text of its sections in `headrace.toml`."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_ESCAPED = re.compile("[\x7f]")


def source_section(name: str, values: Mapping[str, Any]) -> str:
    """`[sources.NAME]` with its tables below it.

    Examples
    --------
    >>> values = {"read": "a.csv", "columns": {"x": {"min": 0}}, "checks": [{"name": "c"}]}
    >>> print(source_section("orders", values), end="")
    [sources.orders]
    read = "a.csv"
    [sources.orders.columns]
    x = { min = 0 }
    [[sources.orders.checks]]
    name = "c"
    """
    path = f"sources.{key_text(name)}"
    plain = {key: value for key, value in values.items() if key not in ("columns", "checks")}
    lines = [f"[{path}]", *(f"{key_text(key)} = {value_text(value)}" for key, value in plain.items())]
    if values.get("columns"):
        lines.append(f"[{path}.columns]")
        lines += [f"{key_text(key)} = {value_text(value)}" for key, value in values["columns"].items()]
    for check in values.get("checks", ()):
        lines += [f"[[{path}.checks]]", *(f"{key_text(key)} = {value_text(value)}" for key, value in check.items())]
    return "\n".join(lines) + "\n"


def key_text(name: str) -> str:
    """A key, bare where TOML allows it."""
    return name if _BARE.fullmatch(name) else _text(name)


def _text(text: str) -> str:
    # JSON escapes as TOML does, but for DEL, which TOML wants escaped; and it leaves other characters as they are.
    return _ESCAPED.sub(lambda found: f"\\u{ord(found[0]):04x}", json.dumps(text, ensure_ascii=False))


def value_text(value: Any) -> str:
    """A text, number, boolean, array or inline table."""
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return (
            "{ " + ", ".join(f"{key_text(key)} = {value_text(item)}" for key, item in value.items()) + " }"
            if value
            else "{}"
        )
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(value_text, value)) + "]"
    return str(value)
