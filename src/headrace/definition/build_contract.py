"""The contract's part of a source as read → its rules, with what one section can answer alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from headrace.definition.document import At, listed, shown
from headrace.definition.kinds import Fields, instant_of
from headrace.definition.model import (
    Check,
    EqualSum,
    ForeignKey,
    Fresh,
    Match,
    OnFail,
    Repair,
    RowCount,
    SameDistribution,
)
from headrace.language.types import Type

_INSTANTS = (Type.DATE, Type.TIMESTAMP)
_TEXTS = (Type.STRING, Type.CATEGORY)


def build_fresh(fields: Fields) -> Fresh | None:
    """`fresh` of a source: a duration, or a table with one."""
    value = fields.get("fresh")
    if value is None:
        return None
    if "event_time" not in fields.values and not fields.at.key("event_time").is_broken:
        fields.at.key("fresh").wrong(
            "freshness is the age of the newest event_time",
            expected="event_time beside it",
            found="no event_time",
            fix='name the column: event_time = "…", or take `fresh` out',
        )
    if not isinstance(value, Fields):
        return Fresh(within_us=value)
    return None if value.get("within") is None else Fresh(within_us=value.get("within"), **value.only("on_fail"))


def build_match(fields: Fields) -> Match | None:
    """[sources.NAME.match]."""
    inner = fields.get("match")
    if inner is None:
        return None
    compared = {column for column, _ in inner.get("compare", ())}
    for i, columns in enumerate(inner.get("block", ())):
        for n, column in enumerate(columns):
            if compared and column not in compared:
                inner.at.key("block").item(i).item(n).wrong(
                    "only compared columns can say which rows are compared",
                    expected=listed(sorted(compared)),
                    found=shown(column),
                    fix=f'add it to `compare`, for example as {column} = "exact"',
                )
    if "compare" not in inner.values:
        return None  # it was said
    return Match(**inner.only("compare", "block", "threshold", "on_match"))


def check_bounds(fields: Fields) -> None:
    """Note bounds that no value, or none of the column's type, can keep."""
    type_ = fields.get("type")
    for key in ("min", "max"):
        _check_bound(fields, key, None if type_ is None else Type(type_))
    for low, high in (("min", "max"), ("min_length", "max_length")):
        least, most = fields.get(low), fields.get(high)
        if least is None or most is None or isinstance(least, str) is not isinstance(most, str):
            continue
        is_above = least > most
        if isinstance(least, str):
            first, last = instant_of(least), instant_of(most)
            is_above = first is not None and last is not None and first > last
        if is_above:
            fields.at.key(low).wrong(
                f"`{low}` is above `{high}`",
                expected=f"at most {_said(most)}",
                found=_said(least),
                fix="swap or correct them",
            )
    for key in ("min_length", "max_length"):
        if key in fields.values and type_ is not None and type_ not in _TEXTS:
            fix = "take it out, or set type to string"
            fields.at.key(key).wrong("only texts have a length", expected="a text column", found=f'"{type_}"', fix=fix)


def _check_bound(fields: Fields, key: str, type_: Type | None) -> None:
    value = fields.get(key)
    if value is None or type_ is None:
        return
    if isinstance(value, str) and type_ not in _INSTANTS:
        expected = "a number"
    elif not isinstance(value, str) and type_ in _INSTANTS:
        expected = 'a date or a time, such as "2026-01-31"'
    else:
        return
    fields.at.key(key).wrong(
        f"the bound is not of the column's type, {type_}",
        expected=expected,
        found=_said(value),
        fix="correct the bound or the type",
    )


def _said(value: float | str) -> str:
    return shown(value) if isinstance(value, str) else f"{value:g}"


def repair_and_on_fail(fields: Fields) -> dict[str, Any]:
    """`repair` and `on_fail` of a column, which belong together."""
    repairs = tuple(found for item in fields.get("repair", ()) if (found := _repair(item, fields)) is not None)
    for how in {repair.how for n, repair in enumerate(repairs) if repair.how in {r.how for r in repairs[:n]}}:
        fields.at.key("repair").wrong(
            "one repair, written twice", expected="each once", found=shown(how), fix="take one out", code="duplicate"
        )
    on_fail = _on_fail(fields, has_repair="repair" in fields.values or fields.at.key("repair").is_broken)
    return {"repair": repairs, **({} if on_fail is None else {"on_fail": on_fail})}


def _on_fail(fields: Fields, *, has_repair: bool) -> OnFail | None:
    """What `on_fail` says; `repair` when it is left out and there is one."""
    said: OnFail | None = fields.get("on_fail")
    if said == "repair" and not has_repair:
        fields.at.missing("repair", expected="how such a cell is mended", fix='write repair = "clip" or another repair')
    elif said not in (None, "repair") and has_repair:
        fields.at.key("on_fail").wrong(
            "there is a repair, and it is not used",
            expected='on_fail = "repair"',
            found=shown(said),
            fix='write "repair", or take `repair` out; what it cannot mend is quarantined',
        )
    return "repair" if said is None and has_repair else said


def _repair(item: str | Fields, column: Fields) -> Repair | None:
    at = column.at.key("repair")
    if isinstance(item, str):
        needed = {"clip": ("min", "max"), "truncate": ("max_length",)}.get(item)
        if needed is not None and not any(key in column.values or column.at.key(key).is_broken for key in needed):
            at.wrong(
                f"there is nothing to {item} to",
                expected=f"{listed(needed)} beside it",
                found="none",
                fix=f"write {needed[-1]} = …, or take the repair out",
            )
        return Repair(how=item)  # type: ignore[arg-type]  # one of the grammar's words
    if len(item.values) != 1:
        if not item.at.is_broken:
            item.at.wrong(
                "a repair is one thing",
                expected="`default` or `recode`",
                found=listed(item.values) if item.values else "none",
                fix='for several write a list: repair = ["strip", { default = "unknown" }]',
            )
        return None
    if "default" in item.values:
        return Repair(how="default", default=item.values["default"])
    return Repair(how="recode", recode=item.values["recode"])


class _Kind(NamedTuple):
    """One kind of check, told by the key that only it has."""

    into: str
    """The source's field that it goes to."""
    build: Callable[[Fields], Any]
    others: tuple[str, ...] = ()
    """Further keys that belong to it."""


def build_checks(found: Sequence[Fields]) -> dict[str, Any]:
    """The named rules by the source's field that they belong to."""
    rules: dict[str, tuple[Any, ...]] = {}
    names: set[str] = set()
    for fields in found:
        name, kind = fields.get("name"), _kind_of(fields)
        if name is None or kind is None:
            continue
        if name in names:
            fields.at.key("name").wrong(
                "two checks have one name",
                expected="names that differ",
                found=shown(name),
                fix="rename one",
                code="duplicate",
            )
        names.add(name)
        rule = kind.build(fields)
        if rule is not None:
            rules[kind.into] = (*rules.get(kind.into, ()), rule)
    return rules


def _kind_of(fields: Fields) -> _Kind | None:
    at = fields.at
    given = [key for key in _KINDS if key in fields.values or at.key(key).is_broken]
    if not given:
        at.missing("where", expected=f"one of {listed(_KINDS)}", fix='write where = "distance > 0"')
        return None
    if len(given) > 1:
        at.key(given[1]).wrong(
            "a check is one rule",
            expected=f"one of {listed(_KINDS)}",
            found=listed(given),
            fix="write a check for each",
        )
        return None
    kind = _KINDS[given[0]]
    for key in {key for other in _KINDS.values() for key in other.others} - set(kind.others):
        if key in fields.values:
            owner = next(name for name, other in _KINDS.items() if key in other.others)
            at.key(key).wrong(
                f"`{key}` belongs to `{owner}`",
                expected=f"`{owner}` beside it",
                found=f"`{given[0]}`",
                fix="take it out",
            )
    if kind.into not in ("checks", "foreign_keys") and fields.get("on_fail") in ("quarantine", "repair"):
        at.key("on_fail").wrong(
            "a rule of the whole table can set no row aside",
            expected='"fail" or "warn"',
            found=shown(fields.get("on_fail")),
            fix='write "warn" to go on all the same',
        )
        return None
    return None if at.key(given[0]).is_broken else kind


def _check(fields: Fields) -> Check:
    on_fail = _on_fail(fields, has_repair="repair" in fields.values or fields.at.key("repair").is_broken)
    return Check(
        **fields.only("name", "where"),
        repair=fields.get("repair", ()),
        **({} if on_fail is None else {"on_fail": on_fail}),
    )


def _foreign_key(fields: Fields) -> ForeignKey | None:
    at = fields.at.key("foreign_key")
    pairs = [(here, *there.split(".", 1)) for here, there in fields.values["foreign_key"]]
    if not pairs:
        at.wrong("the table is empty", expected="at least one column", found="{}", fix='{ customer = "customers.id" }')
        return None
    if len({source for _, source, _ in pairs}) > 1:
        fix = "write a check for each source"
        at.wrong("a key is of one source", expected="one", found=listed(s for _, s, _ in pairs), fix=fix)
        return None
    if fields.get("on_fail") == "repair":
        fix = 'write "quarantine": rows without a partner are set aside'
        fields.at.key("on_fail").wrong(
            "nothing says which key would be right",
            expected='"fail", "quarantine" or "warn"',
            found='"repair"',
            fix=fix,
        )
        return None
    key = tuple((here, there) for here, _, there in pairs)
    return ForeignKey(source=pairs[0][1], key=key, **fields.only("name", "on_fail"))


def _row_count(fields: Fields) -> RowCount | None:
    rows: Fields = fields.values["rows"]
    least, most = rows.get("min"), rows.get("max")
    if least is None and most is None:
        if not rows.at.is_broken:
            rows.at.missing("min", expected="`min`, `max` or both", fix="write rows = { min = 1000 }")
        return None
    if least is not None and most is not None and least > most:
        rows.at.key("min").wrong(
            "`min` is above `max`", expected=f"at most {most}", found=f"{least}", fix="swap or correct them"
        )
    return RowCount(min=least, max=most, **fields.only("name", "on_fail"))


def _equal_sum(fields: Fields) -> EqualSum | None:
    equals = fields.get("equals")
    if equals is None:
        if not fields.at.key("equals").is_broken:
            fields.at.missing("equals", expected="the other column", fix='write equals = "billing.amount"')
        return None
    source, column = equals.split(".", 1)
    given = fields.only("name", "tolerance", "on_fail")
    return EqualSum(column=fields.values["sum"], source=source, equals=column, **given)


def _distribution(fields: Fields) -> SameDistribution:
    return SameDistribution(columns=fields.values["distribution"], **fields.only("name", "threshold", "on_fail"))


_KINDS = {
    "where": _Kind("checks", _check, ("repair",)),
    "foreign_key": _Kind("foreign_keys", _foreign_key),
    "rows": _Kind("row_counts", _row_count),
    "sum": _Kind("equal_sums", _equal_sum, ("equals", "tolerance")),
    "distribution": _Kind("distributions", _distribution, ("threshold",)),
}


def check_at(at: At, name: str) -> At:
    """Where the check of a name is written: `at` is its source."""
    written = at.document.table["sources"][at.path[-1]].get("checks")  # type: ignore[index]
    for i, check in enumerate(written if isinstance(written, list) else ()):
        if isinstance(check, dict) and check.get("name") == name:
            return at.key("checks", i)
    return at.key("checks")
