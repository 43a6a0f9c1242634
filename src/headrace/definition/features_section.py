"""Features as the text of their sections in `headrace.toml`, to be copied."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from headrace.definition.model import Encoding, Features, Window
from headrace.definition.section import key_text, value_text

_PLAIN = Encoding(name="")


def features_section(features: Features) -> str:
    """`[features.…]` of expressions, windows and encodings; empty when there are none.

    Examples
    --------
    >>> print(features_section(Features(expressions=(("far", "distance > 1000"),))), end="")
    [features.expressions]
    far = "distance > 1000"
    """
    lines: list[str] = []
    if features.expressions:
        lines += ["[features.expressions]", *_pairs(dict(features.expressions))]
    for window in features.windows:
        lines += [f"[features.windows.{key_text(window.name)}]", *_pairs(_window(window))]
    if features.encodings:
        encodings = {encoding.name: _encoding(encoding) for encoding in features.encodings}
        lines += ["[features.encodings]", *_pairs(encodings)]
    return "".join(f"{line}\n" for line in lines)


def _pairs(values: Mapping[str, Any]) -> list[str]:
    return [f"{key_text(name)} = {value_text(value)}" for name, value in values.items()]


def _window(window: Window) -> dict[str, Any]:
    same = all(here == there for here, there in window.key)
    said = {
        "source": window.source,
        "key": [here for here, _ in window.key] if same else dict(window.key),
        "value": window.value,
        "where": window.where,
        "over": window.over_text,
        "half_life": window.half_life_text,
        "take": window.take,
    }
    return {name: value for name, value in said.items() if value}


def _encoding(encoding: Encoding) -> Any:
    names = {"kinds": "as"}
    plain, own = msgspec.structs.asdict(_PLAIN), msgspec.structs.asdict(encoding)
    said = {names.get(name, name): value for name, value in own.items() if name != "name" and value != plain[name]}
    return list(encoding.kinds) if said.keys() == {"as"} else said
