"""The `headrace.toml` of a packed server: whom it trusts, how it serves, where its stores are, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import msgspec

from headrace.definition.model import Online, Serving
from headrace.definition.positions import toml_key, toml_string

Value: TypeAlias = str | int | bool | tuple[str, ...] | dict[str, int]


@dataclass(frozen=True, slots=True)
class ServingDefinition:
    """What a prediction server goes by."""

    project: str
    objects: str
    """As `[stores] objects`."""
    online: str | None
    """As `[stores] online`; None: nothing that is served reads there."""
    serving: Serving
    reads: Online
    signers: tuple[str, ...]
    """Public keys whose packages are loaded."""


def serving_toml(definition: ServingDefinition) -> str:
    """The text; `headrace.definition.reader.read_serving` reads it back without a loss."""
    stores: dict[str, Value] = {"objects": definition.objects}
    if definition.online is not None:
        stores["online"] = definition.online
    sections: dict[str, dict[str, Value]] = {
        "project": {"name": definition.project},
        "stores": stores,
        "online": _changed(definition.reads, Online()),
        "trust": {"signers": definition.signers},
        "serving": _serving(definition.serving),
    }
    lines = ["format = 1"]
    for name, values in sections.items():
        if values:
            lines += [
                "",
                f"[{toml_key(name)}]",
                *(f"{toml_key(key)} = {_text(value)}" for key, value in values.items()),
            ]
    return "\n".join(lines) + "\n"


def _changed(section: msgspec.Struct, usual: msgspec.Struct) -> dict[str, Value]:
    """What differs from what is so when left out; instants become durations."""
    found: Mapping[str, Value] = msgspec.structs.asdict(section)
    before = msgspec.structs.asdict(usual)
    return {
        name.removesuffix("_us"): _duration(value) if name.endswith("_us") and isinstance(value, int) else value
        for name, value in found.items()
        if value != before[name]
    }


def _serving(serving: Serving) -> dict[str, Value]:
    values = _changed(serving, Serving())
    if serving.most_workers is not None:
        del values["most_workers"]
        values["workers"] = {"min": serving.workers, "max": serving.most_workers}
    return values


def _duration(us: int) -> str:
    for unit, size in (("h", 3_600_000_000), ("m", 60_000_000), ("s", 1_000_000)):
        if us % size == 0:
            return f"{us // size}{unit}"
    return f"{us // 1000}ms"


def _text(value: Value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        return toml_string(value)
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{toml_key(key)} = {each}" for key, each in value.items()) + " }"
    return "[" + ", ".join(toml_string(each) for each in value) + "]"
