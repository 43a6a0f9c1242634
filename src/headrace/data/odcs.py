"""The contract of a source as an Open Data Contract Standard document (3.1.0), and back.

What the standard has words for is written in them: types, bounds, lengths, patterns, required, keys, foreign keys,
counts, rules in SQL, freshness. What it has none for (repairs, units, what happens to a row) is kept in custom
properties, so that a contract that was exported and is imported again is the same. Works on the definition's own
tables, as TOML gives them, and on YAML's: plain values in, plain values out.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from headrace.data.errors import ContractUnreadable
from headrace.language.row_decimals import DIGITS, PLACES
from headrace.language.types import Type

VERSION: Final = "v3.1.0"
READS: Final = ("v3.0.0", "v3.0.1", "v3.0.2", "v3.1.0", "v3.2.0")
OURS: Final = "headrace"
"""The custom property that holds what the standard has no word for."""
Values = dict[str, Any]

_LOGICAL = {
    Type.STRING: "string", Type.CATEGORY: "string", Type.INTEGER: "integer", Type.FLOAT: "number",
    Type.DECIMAL: "number", Type.BOOLEAN: "boolean", Type.DATE: "date", Type.TIMESTAMP: "timestamp",
    Type.DURATION: "number",
}  # fmt: skip
_TYPES = {
    "string": "string", "integer": "integer", "number": "float", "boolean": "boolean", "date": "date",
    "timestamp": "timestamp",
}  # fmt: skip
_OPTIONS = {"min": "minimum", "max": "maximum", "min_length": "minLength", "max_length": "maxLength"}
_FORMATS = {"csv", "parquet", "json", "delta", "avro"}
_UNITS = {"d": "d", "h": "h", "m": "min", "s": "s"}
_SQL = re.compile(r"SELECT COUNT\(\*\) FROM \S+ WHERE NOT COALESCE\(\((?P<where>.*)\), FALSE\)", re.DOTALL)


class Imported(NamedTuple):
    """A source as it would stand in the definition, and what of the document was not taken over."""

    name: str
    values: Values
    left_out: tuple[str, ...]


def to_odcs(project: str, name: str, source: Mapping[str, Any], types: Mapping[str, Type]) -> Values:
    """The document of one source.

    Parameters
    ----------
    source
        `[sources.NAME]` as written.
    types
        The frozen types, after `rename`.
    """
    columns = source.get("columns", {})
    key = _listed(source.get("unique", []))
    as_read = {new: old for old, new in source.get("rename", {}).items()}
    properties = [
        _property(column, columns.get(column, {}), types.get(column), key, as_read)
        for column in dict.fromkeys([*types, *columns])
    ]
    quality: list[Values] = []
    table: Values = {"name": name, "physicalType": "table", "logicalType": "object", "properties": properties}
    for check in source.get("checks", []):
        _write_check(check, name, table, quality)
    if len(key) > 1:
        quality.append({"type": "library", "metric": "duplicateValues", "mustBe": 0, "arguments": {"properties": key}})
    if quality:
        table["quality"] = quality
    rest = {key: value for key, value in source.items() if key not in ("columns", "checks")}
    document: Values = {
        "apiVersion": VERSION,
        "kind": "DataContract",
        "id": f"{project}.{name}",
        "name": name,
        "version": "1.0.0",
        "status": "active",
        "schema": [table],
    }
    if server := _server(source):
        document["servers"] = [server]
    if fresh := source.get("fresh"):
        within = fresh if isinstance(fresh, str) else fresh["within"]
        document["slaProperties"] = [_latency(within, f"{name}.{source['event_time']}")]
    document["customProperties"] = _custom(rest)
    return _plain(document)  # type: ignore[no-any-return]  # a mapping stays one


def _listed(value: str | Sequence[str]) -> list[str]:
    return [value] if isinstance(value, str) else list(value)


def _custom(value: Values) -> list[Values]:
    return [{"property": OURS, "value": value}]


def _plain(value: Any) -> Any:
    """The same with TOML's dates as ISO 8601 text."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value.isoformat() if isinstance(value, dt.date | dt.time) else value


def _property(
    name: str, rule: Mapping[str, Any], locked: Type | None, key: Sequence[str], as_read: Mapping[str, str]
) -> Values:
    type_ = Type(rule["type"]) if "type" in rule else locked
    made: Values = {"name": name}
    if name in as_read:
        made["physicalName"] = as_read[name]
    if type_ is not None:
        made["logicalType"] = _LOGICAL[type_]
    if type_ is Type.DECIMAL:
        made["physicalType"] = f"decimal({DIGITS},{PLACES})"
    rest = dict(rule)
    options = {theirs: rest.pop(ours) for ours, theirs in _OPTIONS.items() if ours in rule}
    if "pattern" in rest:
        options["pattern"] = f"^(?:{rest.pop('pattern')})$"
    if options:
        made["logicalTypeOptions"] = options
    if rest.pop("not_null", False) or name in key:
        made["required"] = True
    if [name] == list(key):
        made["unique"] = True
    if name in key:
        made |= {"primaryKey": True, "primaryKeyPosition": list(key).index(name) + 1}
    quality = []
    if "allowed" in rest:
        values = {"validValues": rest.pop("allowed")}
        quality.append({"type": "library", "metric": "invalidValues", "mustBe": 0, "arguments": values})
    if "max_null" in rest:
        share = round(100 * rest["max_null"], 10)
        quality.append({"type": "library", "metric": "nullValues", "unit": "percent", "mustBeLessOrEqualTo": share})
    if quality:
        made["quality"] = quality
    if rule.get("not_null") and name in key:
        rest["not_null"] = True
    if rest or rule == {}:
        made["customProperties"] = _custom({"rule": rest} if rule else {"undeclared": True})
    return made


def _write_check(check: Mapping[str, Any], name: str, table: Values, quality: list[Values]) -> None:
    on_fail = check.get("on_fail", "fail")
    made: Values = {"name": check["name"], "severity": "error" if on_fail == "fail" else "warning"}
    if "foreign_key" in check:
        pairs = check["foreign_key"]
        ours, theirs = [f"{name}.{column}" for column in pairs], list(pairs.values())
        ends = {"from": ours[0], "to": theirs[0]} if len(pairs) == 1 else {"from": ours, "to": theirs}
        rest = {key: value for key, value in check.items() if key != "foreign_key"}
        table.setdefault("relationships", []).append({"type": "foreignKey", **ends, "customProperties": _custom(rest)})
        return
    if "rows" in check:
        low, high = check["rows"].get("min"), check["rows"].get("max")
        made |= {"type": "library", "metric": "rowCount"}
        if low is not None and high is not None:
            made["mustBeBetween"] = [low, high]
        else:
            made |= {"mustBeGreaterOrEqualTo": low} if high is None else {"mustBeLessOrEqualTo": high}
    elif "where" in check:
        # text for others to run: we never do
        query = f"SELECT COUNT(*) FROM {name} WHERE NOT COALESCE(({check['where']}), FALSE)"  # noqa: S608
        made |= {"type": "sql", "query": query, "mustBe": 0}
    else:
        made |= {"type": "custom", "engine": OURS, "implementation": dict(check)}
    rest = {key: value for key, value in check.items() if key not in ("name", "rows", "where")}
    if rest and made["type"] != "custom":
        made["customProperties"] = _custom(rest)
    quality.append(made)


def _server(source: Mapping[str, Any]) -> Values | None:
    """Where the files are, for tools that read them; None for what is no file."""
    read = _listed(source.get("read", []))
    if len(read) != 1 or "://" in read[0] or "${" in read[0]:
        return None
    plain = read[0].removesuffix(".gz").removesuffix(".zst")
    format_ = source.get("format") or {"ndjson": "json", "jsonl": "json"}.get(
        plain.rpartition(".")[2], plain.rpartition(".")[2]
    )
    if format_ not in _FORMATS:
        return None
    return {"server": "local", "type": "local", "path": read[0], "format": format_}


def _latency(within: str, element: str) -> Values:
    number, unit = re.fullmatch(r"([0-9]+)([a-z]+)", within).groups()  # type: ignore[union-attr]  # a checked duration
    value = int(number)
    if unit == "w":
        value, unit = 7 * value, "d"
    if unit == "ms":
        return {"property": "latency", "value": value / 1000, "unit": "s", "element": element}
    return {"property": "latency", "value": value, "unit": _UNITS[unit], "element": element}


def from_odcs(document: Any) -> list[Imported]:
    """The sources of a document, one for each table of its schema.

    Raises
    ------
    ContractUnreadable : the document is no data contract, of a version that is not known, or without a schema.
    """
    if not isinstance(document, Mapping) or document.get("kind") != "DataContract":
        raise ContractUnreadable("it is no data contract: kind must be DataContract")
    if document.get("apiVersion") not in READS:
        raise ContractUnreadable(f"apiVersion is none of {', '.join(READS)}")
    tables = document.get("schema")
    if not isinstance(tables, list) or not tables or not all(isinstance(one, Mapping) for one in tables):
        raise ContractUnreadable("it has no schema")
    return [_imported(document, table) for table in tables]


def _imported(document: Mapping[str, Any], table: Mapping[str, Any]) -> Imported:
    name = re.sub(r"[^A-Za-z0-9_]+", "_", str(table.get("name", "rows"))).strip("_") or "rows"
    name = name if name[0].isalpha() else f"s_{name}"
    left: list[str] = []
    ours = _ours(document)
    values: Values = dict(ours) if ours else _read_from(document)
    columns: Values = {}
    keys: list[tuple[int, str]] = []
    for one in table.get("properties") or []:
        column = str(one.get("name"))
        if one.get("primaryKey") or one.get("unique"):
            keys.append((int(one.get("primaryKeyPosition") or 0), column))
        rule = _rule(one, column, left, is_ours=bool(ours))
        if rule:
            columns[column] = rule
        if not ours and one.get("physicalName") not in (None, column):
            values.setdefault("rename", {})[one["physicalName"]] = column
    if keys and not ours:
        values["unique"] = [column for _, column in sorted(keys)]
    if not ours:
        _read_sla(document, values, left)
    checks = [check for one in table.get("quality") or [] if (check := _check(one, left, len(left))) is not None]
    checks += [_foreign_key(one) for one in table.get("relationships") or []]
    if columns:
        values["columns"] = columns
    if checks:
        values["checks"] = checks
    return Imported(name, values, tuple(left))


def _ours(holder: Mapping[str, Any]) -> Values:
    """What an export of ours has kept in a custom property."""
    for one in holder.get("customProperties") or []:
        if one.get("property") == OURS and isinstance(one.get("value"), Mapping):
            return dict(one["value"])
    return {}


def _read_from(document: Mapping[str, Any]) -> Values:
    for server in document.get("servers") or []:
        place = server.get("path") or server.get("location")
        if place:
            return {"read": str(place).replace("{model}", str(document["schema"][0].get("name")))}
    return {"read": f"data/{document['schema'][0].get('name', 'rows')}.csv"}


def _rule(one: Mapping[str, Any], column: str, left: list[str], *, is_ours: bool) -> Values:
    kept = _ours(one)
    if kept.get("undeclared"):
        return {}
    rest, rule = dict(kept.get("rule", {})), Values()
    logical = one.get("logicalType")
    if "type" in rest:
        rule["type"] = rest.pop("type")
    elif logical in _TYPES and not is_ours:
        rule["type"] = "decimal" if logical == "number" and _is_exact(one.get("physicalType")) else _TYPES[logical]
    elif logical is not None and logical not in _TYPES:
        left.append(f"{column}: logicalType {logical}")
    options = one.get("logicalTypeOptions") or {}
    for ours, theirs in _OPTIONS.items():
        if theirs in options:
            rule[ours] = options[theirs]
    if "pattern" in options:
        rule["pattern"] = _whole(str(options["pattern"]))
    left += [f"{column}: {name}" for name in options if name not in (*_OPTIONS.values(), "pattern")]
    if one.get("required") and not one.get("primaryKey"):
        rule["not_null"] = True
    for quality in one.get("quality") or []:
        metric, arguments = quality.get("metric") or quality.get("rule"), quality.get("arguments") or {}
        if metric == "invalidValues" and quality.get("mustBe") == 0 and "validValues" in arguments:
            rule["allowed"] = [str(value) for value in arguments["validValues"]]
        elif metric == "nullValues" and quality.get("mustBe") == 0:
            rule["not_null"] = True
        elif metric == "nullValues" and quality.get("unit") == "percent" and "mustBeLessOrEqualTo" in quality:
            rule["max_null"] = rest.pop("max_null", quality["mustBeLessOrEqualTo"] / 100)
        else:
            left.append(f"{column}: quality {metric or quality.get('type')}")
    return rule | rest


def _is_exact(physical: object) -> bool:
    """Whether a physical type is an exact number of at most six places: `decimal(18, 6)`, `NUMERIC(12,2)`."""
    found = re.fullmatch(r"(?i)(?:decimal|numeric|number)\s*\(\s*(\d{1,3})\s*,\s*(\d{1,3})\s*\)", str(physical))
    return found is not None and int(found[2]) <= PLACES and int(found[1]) - int(found[2]) <= DIGITS - PLACES


def _whole(pattern: str) -> str:
    """A pattern that may match anywhere as one that matches the whole text."""
    if (found := re.fullmatch(r"\^\(\?:(.*)\)\$", pattern, re.DOTALL)) is not None:
        return found[1]
    begin, end = pattern.startswith("^"), pattern.endswith("$") and not pattern.endswith("\\$")
    inner = pattern[1 if begin else 0 : -1 if end else None]
    if begin and end and "|" not in inner:
        return inner
    return f"{'' if begin else '.*'}(?:{inner}){'' if end else '.*'}"


def _check(one: Mapping[str, Any], left: list[str], number: int) -> Values | None:
    kind, metric = one.get("type", "library"), one.get("metric") or one.get("rule")
    name = re.sub(r"[^A-Za-z0-9_]+", "_", str(one.get("name") or metric or "rule")).strip("_")
    name = name if name[:1].isalpha() else f"rule_{number}"
    check: Values = {"name": name}
    if kind == "custom" and one.get("engine") == OURS and isinstance(one.get("implementation"), Mapping):
        return dict(one["implementation"])
    if metric == "rowCount" and (rows := _bounds(one)):
        check["rows"] = rows
    elif kind == "sql" and one.get("mustBe") == 0 and (found := _SQL.fullmatch(str(one.get("query")))) is not None:
        check["where"] = found["where"]
    elif metric == "duplicateValues" and one.get("mustBe") == 0:
        return None  # the key says so
    else:
        left.append(f"quality {one.get('name') or metric or kind}")
        return None
    kept = _ours(one)
    if not kept and one.get("severity") in ("warning", "info"):
        kept = {"on_fail": "warn"}
    return check | kept


def _bounds(one: Mapping[str, Any]) -> Values:
    if "mustBeBetween" in one:
        low, high = one["mustBeBetween"]
        return {"min": low, "max": high}
    found = {"min": one.get("mustBeGreaterOrEqualTo"), "max": one.get("mustBeLessOrEqualTo")}
    if "mustBeGreaterThan" in one:
        found["min"] = one["mustBeGreaterThan"] + 1
    if "mustBeLessThan" in one:
        found["max"] = one["mustBeLessThan"] - 1
    if "mustBe" in one:
        found = {"min": one["mustBe"], "max": one["mustBe"]}
    return {key: value for key, value in found.items() if value is not None}


def _foreign_key(one: Mapping[str, Any]) -> Values:
    ours, theirs = _listed(one["from"]), _listed(one["to"])
    pairs = {here.rpartition(".")[2]: there for here, there in zip(ours, theirs, strict=True)}
    kept = _ours(one)
    check = {"name": kept.pop("name", f"known_{next(iter(pairs))}"), "foreign_key": pairs}
    return check | kept


def _read_sla(document: Mapping[str, Any], values: Values, left: list[str]) -> None:
    units = {"d": "d", "day": "d", "days": "d", "h": "h", "hour": "h", "hours": "h", "min": "m", "m": "m", "s": "s"}
    for one in document.get("slaProperties") or []:
        unit, element = units.get(str(one.get("unit"))), str(one.get("element") or "")
        whole = isinstance(one.get("value"), int)
        if one.get("property") in ("latency", "freshness") and unit and "." in element and whole:
            values |= {"event_time": element.rpartition(".")[2], "fresh": f"{one['value']}{unit}"}
        else:
            left.append(f"slaProperties {one.get('property')}")
