"""[features.encodings] → `Encoding`s; what one of them says and does not use is a mistake."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from headrace.definition.document import At
from headrace.definition.kinds import Fields
from headrace.definition.model import Encoding

_USED_BY = {
    "smoothing": ("target",),
    "buckets": ("hashed",),
    "ngrams": ("hashed",),
    "zone": ("cyclic",),
}
"""Key → the encodings that it says something of."""


def build_encodings(pairs: tuple[tuple[str, Any], ...], check_zone: Callable[[str, At], None]) -> tuple[Encoding, ...]:
    """Each input's encoding, as written; `check_zone(zone, at)` notes an unknown time zone."""
    return tuple(
        _encoding(name, said, check_zone) if isinstance(said, Fields) else Encoding(name=name, kinds=said)
        for name, said in pairs
    )


def _encoding(name: str, fields: Fields, check_zone: Callable[[str, At], None]) -> Encoding:
    at, kinds, values = fields.at, fields.get("as", ()), fields.values
    if not at.key("as").is_broken:
        for key, users in _USED_BY.items():
            if key in values and not set(users) & set(kinds):
                _unused(at, key, f'as = ["{users[0]}"]')
    if "min_rows" in values and kinds and not {"codes", "frequency", "target"} & set(kinds) and "group" not in values:
        _unused(at, "min_rows", 'as = ["codes"]')
    if "zone" in values:
        check_zone(values["zone"], at.key("zone"))
    for key, other in (("group", "take"), ("take", "group")):
        if key in values and other not in values and not at.key(other).is_broken:
            fix = 'write take = ["mean", "difference"]' if other == "take" else 'write group = "carrier"'
            at.missing(other, expected=f"`{other}` beside `{key}`", fix=fix)
    if values.get("group") == name:
        at.key("group").wrong(
            "a number is compared within the levels of another input",
            expected="another input",
            found=f"`{name}`",
            fix="name a category",
        )
    if not values and not at.is_broken:
        at.wrong("the table is empty", expected="at least `as` or `group`", found="{}", fix='write as = ["target"]')
    return Encoding(
        name=name, kinds=kinds, **fields.only("smoothing", "min_rows", "buckets", "ngrams", "zone", "group", "take")
    )


def _unused(at: At, key: str, what: str) -> None:
    at.key(key).wrong(
        f"`{key}` says nothing here", expected=f"{what} beside it", found="none", fix=f"take it out, or write {what}"
    )
