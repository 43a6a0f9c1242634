"""What a column rule says of how values are written and in which unit: read, and held against itself."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from headrace.definition.check_sources import check_column, check_source_name
from headrace.definition.document import At, Document, listed, shown, suggestion
from headrace.definition.kinds import Fields
from headrace.definition.model import Rates, Source
from headrace.language.types import Type

_DATE, _CLOCK = "dmYyjbBaAe", "HIMSfpzTR"
_DIRECTIVE = re.compile(r"%(\.?.?)", re.DOTALL)
_NUMBERS = (Type.INTEGER, Type.DECIMAL, Type.FLOAT)


def reading_part(fields: Fields) -> dict[str, Any]:
    """The arguments of a `ColumnRule` that say how values are written; its type too, where they tell it."""
    at = fields.at
    declared = fields.get("type")
    type_ = None if declared is None else Type(declared)
    part = fields.only("decimal", "thousands", "places", "format", "codes")
    for name in ("unit", "zone"):
        value = fields.get(name)
        if isinstance(value, Fields):
            part[f"{name}_column"] = value.get("column")
        elif value is not None:
            part[name] = value
    told = _type_told(fields, type_, part)
    if told is not None and not at.key("type").is_broken:
        part["type"] = told
    _check_separators(fields)
    _check_places(fields)
    if "to" in fields.values:
        _check_units(fields, part)
        part["to"] = fields.get("to")
    elif part.get("unit_column") is not None and not at.key("to").is_broken:
        at.missing("to", expected="the one unit that all rows are converted to", fix='write to = "kg"')
    return part


def _type_told(fields: Fields, type_: Type | None, part: Mapping[str, Any]) -> Type | None:
    """The type that the way of writing tells; a declared one that it cannot be is noted."""
    wanted: list[tuple[str, tuple[Type, ...]]] = []
    if "format" in part:
        found = _format_type(part["format"], fields.at.key("format"))
        wanted.append(("format", (Type.DATE, Type.TIMESTAMP) if found is None else (found,)))
    if "to" in fields.values:
        wanted.append(("to", (Type.FLOAT,)))
    if "places" in part:
        wanted.append(("places", (Type.INTEGER,)))
    elif part.get("decimal", ".") != "." or "thousands" in part:
        key = "thousands" if "thousands" in part else "decimal"
        wanted.append((key, (Type.FLOAT, Type.INTEGER, Type.DECIMAL)))
    if part.get("zone_column") is not None:
        wanted.append(("zone", (Type.TIMESTAMP,)))
    for key, types in wanted:
        if type_ is not None and type_ not in types and not fields.at.key("type").is_broken:
            fields.at.key("type").wrong(
                f"`{key}` does not go with this type",
                expected=" or ".join(f'"{one}"' for one in types),
                found=f'"{type_}"',
                fix=f'write type = "{types[0]}", or take `{key}` out',
            )
    if type_ is not None or not wanted:
        return type_ or (Type.CATEGORY if part.get("codes") else None)
    return wanted[0][1][0]


def _format_type(text: str, at: At) -> Type | None:
    """Date or timestamp, by what a format has; None after noting what is wrong with it."""
    found = _DIRECTIVE.findall(text)
    unknown = next((one for one in found if one not in ("%", ".f") and one not in set(_DATE + _CLOCK)), None)
    if unknown is not None:
        at.wrong(
            f"formats have no %{unknown}",
            expected="%Y %y %m %d %b %B %a %A %j %e, %H %I %p %M %S %.f %z, and any text between",
            found=shown(text),
            fix="use one of these; %% is a percent sign",
        )
        return None
    has = set(found)
    if not (has & {"Y", "y"}) or not (has & {"j"} or (has & {"d", "e"} and has & {"m", "b", "B"})):
        fix = 'for example "%d.%m.%Y" or "%d.%m.%Y %H:%M"'
        at.wrong("the format does not tell a day", expected="year, month and day", found=shown(text), fix=fix)
        return None
    return Type.TIMESTAMP if has & set(_CLOCK) | has & {".f"} else Type.DATE


def _check_separators(fields: Fields) -> None:
    decimal, thousands = fields.get("decimal", "."), fields.get("thousands")
    if decimal == thousands:
        fix = f'write decimal = "{"," if decimal == "." else "."}" beside it'
        fields.at.key("thousands").wrong(
            "one sign cannot be both", expected="another sign than `decimal`", found=shown(thousands), fix=fix
        )


def _check_places(fields: Fields) -> None:
    other = next((key for key in ("to", "format", "codes") if key in fields.values), None)
    if "places" in fields.values and other is not None:
        fields.at.key("places").wrong(
            f"`{other}` does not go with `places`",
            expected="amounts that are counted as they are written",
            found=f"both `places` and `{other}`",
            fix=f"take one of them out; an expression can do the work of `{other}`",
        )


def _check_units(fields: Fields, part: Mapping[str, Any]) -> None:
    from headrace.definition.units import is_currency, units  # a table that few definitions need

    at, to, unit = fields.at, fields.get("to"), part.get("unit")
    if unit is None and part.get("unit_column") is None:
        if not at.key("unit").is_broken:
            at.missing("unit", expected="what the values are read in", fix='write unit = "mile" beside it')
        return
    named = [(name, key) for name, key in ((unit, "unit"), (to, "to")) if name is not None]
    for name, key in named:
        if name not in units() and not is_currency(name):
            _unknown_unit(name, at.key(key))
            return
    if unit is None:
        return
    first, second = (None if is_currency(name) else units()[name].dimension for name in (unit, to))
    if first != second:
        kinds = " and ".join(f"`{name}` is {_kind(name)}" for name, _ in named)
        from headrace.definition.units import near_unit

        guess = near_unit(unit, second) if second else None
        fix = f'did you mean unit = "{guess}"?' if guess else "name two units of one kind"
        at.key("to").wrong("the units are of two kinds", expected="one kind", found=kinds, fix=fix)


def _kind(unit: str) -> str:
    from headrace.definition.units import is_currency, units

    return "a currency" if is_currency(unit) else f"a unit of {units()[unit].dimension}"


def _unknown_unit(name: str, at: At) -> None:
    from headrace.definition.units import near_unit

    guess = near_unit(name)
    at.wrong(
        "there is no such unit",
        expected="a unit of length, mass, time, temperature, area, volume, speed, energy, power, pressure, data, "
        "angle or share, or the code of a currency",
        found=shown(name),
        fix=f'did you mean "{guess}"?' if guess else "docs/reference/units.md lists them; or convert in `derive`",
        code="unknown-name",
    )


def build_rates(fields: Fields) -> Rates | None:
    """[currencies]; None after noting what keeps it from being used."""
    at = fields.at
    given = [name for name in ("per_base", "value") if name in fields.values]
    if len(given) != 1:
        if not given and not at.is_broken:
            at.missing("per_base", expected="`per_base` or `value`: the rates", fix="write per_base = { USD = 1.08 }")
        elif given:
            at.key("value").wrong(
                "rates are said one way", expected="`per_base` or `value`", found="both", fix="take one out"
            )
        return None
    rates, source = fields.get(given[0]), fields.get("source")
    is_table = not isinstance(rates, str)
    if is_table != (source is None):
        fix = f'write {given[0]} = "rate"' if is_table else 'name it: source = "rates"'
        at.key(given[0]).wrong(
            "fixed rates need no source, dated ones are in a column of one",
            expected="a table of codes, or `source` and the name of a column",
            found="a table and `source`" if is_table else "a column and no `source`",
            fix=fix,
        )
        return None
    if at.is_broken or "base" not in fields.values:
        return None
    return Rates(
        base=fields.get("base"),
        per_base=given[0] == "per_base",
        fixed=rates if is_table else (),
        source=source,
        rate=None if is_table else rates,
        **({"max_age_us": fields.get("max_age")} if "max_age" in fields.values else {}),
        **fields.only("currency"),
    )


def attach_rates(
    sources: Sequence[Source], rates: Rates | None, names: Sequence[str], document: Document
) -> tuple[Source, ...]:
    """The sources, each that converts currencies with the rates; mistakes are noted in `document`."""
    if rates is not None and rates.source is not None:
        _check_rate_source(rates, sources, names, document.at("currencies"))
        dated = next((one.event_time for one in sources if one.name == rates.source), None)
        rates = msgspec.structs.replace(rates, time=dated or "")
    return tuple(_attached(source, rates, document) for source in sources)


def _check_rate_source(rates: Rates, sources: Sequence[Source], names: Sequence[str], at: At) -> None:
    if not check_source_name(rates.source or "", names, at.key("source")):
        return
    source = next((one for one in sources if one.name == rates.source), None)
    if source is None:
        return  # its own mistakes are noted there
    if source.event_time is None:
        at.key("source").wrong(
            "dated rates need their dates",
            expected=f"event_time in [sources.{source.name}]",
            found="none",
            fix='name the column with the day of the rate: event_time = "day"',
        )
    check_column(source, rates.currency, at.key("currency"))
    if rates.rate is not None:
        check_column(source, rates.rate, at.key("per_base" if rates.per_base else "value"))


def _attached(source: Source, rates: Rates | None, document: Document) -> Source:
    from headrace.definition.units import is_currency

    used = False
    for column, rule in source.columns:
        at = document.at("sources", source.name, "columns", column)
        for key, named in (("unit", rule.unit_column), ("zone", rule.zone_column)):
            if named is not None:
                _check_beside(source, column, named, at.key(key))
        if rule.to is None or at.is_broken or not is_currency(rule.to):
            continue
        used = True
        if rates is None:
            if not document.is_broken("currencies"):
                fix = 'write [currencies] with base = "EUR" and per_base = { USD = 1.08 }'
                at.key("to").wrong("no rate is known", expected="a section [currencies]", found="none", fix=fix)
            continue
        _check_currencies(source, rule.unit, rule.to, rates, at)
    return msgspec.structs.replace(source, rates=rates) if used and rates is not None else source


def _check_beside(source: Source, column: str, named: str, at: At) -> None:
    """Whether a column that others are read by is one that is read itself."""
    if named == column:
        at.wrong("a column cannot tell its own", expected="another column", found=shown(named), fix="name another")
    elif named in dict(source.derive) or named in {f"{j.name}_{c}" for j in source.joins for c in j.take}:
        at.wrong(
            f"`{named}` is derived or joined, and values are converted before that",
            expected="a column as read or renamed",
            found=f"`{named}`",
            fix="convert in `derive`, or read the column",
        )
    else:
        check_column(source, named, at)


def _check_currencies(source: Source, unit: str | None, to: str, rates: Rates, at: At) -> None:
    if rates.source is None:
        known = [rates.base, *(code for code, _ in rates.fixed)]
        for name, key in ((unit, "unit"), (to, "to")):
            if name is not None and name not in known:
                guess = suggestion(name, known)
                fix = f'did you mean "{guess}"?' if guess else f"add {name} to [currencies]"
                at.key(key).wrong(
                    "no rate of this currency is known", expected=listed(known), found=shown(name), fix=fix
                )
        return
    if source.name == rates.source:
        at.key("to").wrong(
            "rates cannot be converted by themselves", expected="no `to`", found=shown(to), fix="take it out"
        )
    elif source.event_time is None:
        at.key("to").wrong(
            "dated rates need the day of each row",
            expected=f"event_time in [sources.{source.name}]",
            found="none",
            fix='name the column with the instant: event_time = "…", or give [currencies] fixed rates',
        )
    elif source.event_time in dict(source.derive):
        at.key("to").wrong(
            f"`{source.event_time}` is derived, and values are converted before that",
            expected="an event_time that is read",
            found=f"`{source.event_time}`",
            fix="convert in `derive`, or name a column that is read",
        )
