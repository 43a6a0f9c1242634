"""Sections as read → the objects of `headrace.definition.model`, with the checks that one section can answer alone."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from headrace.definition.build_contract import build_checks, build_fresh, build_match, check_bounds, repair_and_on_fail
from headrace.definition.build_encodings import build_encodings
from headrace.definition.combines import build_combine
from headrace.definition.conversions import reading_part
from headrace.definition.document import At, listed, shown, suggestion
from headrace.definition.formats import format_part
from headrace.definition.kinds import Fields
from headrace.definition.locations import DATABASES, check_address, check_headers, check_web_address, source_format
from headrace.definition.model import (
    DECAYED,
    WITHOUT_VALUE,
    ColumnRule,
    Costs,
    EvaluationPlan,
    Features,
    Join,
    Known,
    Lookup,
    Online,
    Project,
    SchemaPolicy,
    Selection,
    Serving,
    Source,
    Split,
    Stores,
    Trust,
    Window,
)
from headrace.definition.quantities import Amounts, Money, parse_duration

_US = {"m": 60_000_000, "h": 3_600_000_000, "d": 86_400_000_000}


def hop_us(width_us: int) -> int:
    """How far the old edge of a window moves at a time: 1 day from 12 days, 1 hour from 12 hours, else 5 minutes."""
    if width_us >= 12 * _US["d"]:
        return _US["d"]
    return _US["h"] if width_us >= 12 * _US["h"] else 5 * _US["m"]


def project_name(fields: Fields, folder: str) -> str:
    """The name given, else one made from the folder's."""
    name: str | None = fields.get("name")
    if name is not None:
        return name
    made = name_from(folder)
    if not made and not fields.at.key("name").is_broken:
        fields.at.missing("name", expected="a name, as the folder's does not serve", fix='write name = "delays"')
    return made or "project"


def name_from(text: str) -> str:
    """`text` with what a project's name may not hold made "-"; empty when nothing is left."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-._")[:100]


def build_project(fields: Fields, folder: str, sources: Sequence[str]) -> Project:
    """[project]; `sources` are the names that the file declares, whether or not they could be read."""
    at = fields.at
    name = project_name(fields, folder)
    source = fields.get("source")
    if source is None:
        if len(sources) > 1 and not at.key("source").is_broken:
            at.missing("source", expected="the source whose rows are predicted", fix=f'write source = "{sources[0]}"')
        source = sources[0] if sources else ""
    if "positive" in fields.values and fields.get("task") in ("multiclass", "regression"):
        at.key("positive").wrong(
            "`positive` is for binary labels",
            expected='task = "binary"',
            found=f'"{fields.get("task")}"',
            fix="take it out",
        )
    return Project(name=name, source=source, **fields.only("task", "key", "time", "label", "positive", "request"))


def build_source(name: str, fields: Fields) -> Source:
    """[sources.NAME]."""
    at = fields.at
    read = fields.get("read", ())
    for i, url in enumerate(read):
        check_address(url, at.key("read").item(i))
        check_web_address(url, at.key("read").item(i))
    _check_web(fields, read)
    format_ = fields.get("format")
    if read and not at.key("read").is_broken and not at.key("format").is_broken:
        format_ = source_format(read, format_, at)
        _check_query(fields, format_, read)
    if "known" in fields.values and "event_time" not in fields.values and not at.key("event_time").is_broken:
        at.key("known").wrong(
            "a static table has no `known`: without event_time its rows hold for all time",
            expected="event_time beside it",
            found="no event_time",
            fix='name the column: event_time = "…", or take `known` out',
        )
    combine = build_combine(fields)
    more = fields.only(
        "query", "headers", "max_size", "missing", "event_time", "unique", "on_duplicate", "rename", "derive"
    )
    if combine is not None:
        more["missing"] = ()  # the sources that it is made from have seen to them
    return Source(
        name=name,
        read=read,
        format="combined" if combine is not None else format_ or "csv",
        combine=combine,
        known=_known(fields),
        joins=tuple(_join(join, inner) for join, inner in fields.get("join", ())),
        columns=tuple((column, _column_rule(inner)) for column, inner in fields.get("columns", ())),
        fresh=build_fresh(fields),
        match=build_match(fields),
        **format_part(fields, format_),
        schema=_schema(fields),
        **build_checks(fields.get("checks", ())),
        **more,
    )


def _check_web(fields: Fields, read: Sequence[str]) -> None:
    """`headers` and `max_size` are for files on web servers; a reference may lead to one."""
    check_headers(fields.get("headers", ()), fields.at.key("headers"))
    if any(url.startswith(("http://", "https://", "${")) for url in read):
        return
    for key in ("headers", "max_size"):
        if key in fields.values:
            found = shown(read[0]) if read else "no `read`"
            fields.at.key(key).wrong(
                f"`{key}` is for files on web servers", expected='read = "https://…"', found=found, fix="take it out"
            )


def _schema(fields: Fields) -> SchemaPolicy:
    inner: Fields | None = fields.get("schema")
    return SchemaPolicy() if inner is None else SchemaPolicy(**inner.only("additive", "breaking", "semantic"))


def _check_query(fields: Fields, format_: str | None, read: Sequence[str]) -> None:
    at = fields.at
    if format_ in DATABASES:
        if "query" not in fields.values and not at.key("query").is_broken:
            at.missing("query", expected="the SQL query that gives the rows", fix='write query = "SELECT … FROM …"')
        if len(read) > 1:
            at.key("read").wrong(
                "a query reads one database", expected="one address", found=f"{len(read)}", fix="split it"
            )
    elif "query" in fields.values and format_ is not None:
        fix = "take `query` out; choose and derive columns below"
        at.key("query").wrong("only databases are queried", expected="no query", found=f'format "{format_}"', fix=fix)


def _known(fields: Fields) -> Known | None:
    value = fields.get("known")
    if isinstance(value, Fields):
        after = value.get("after")
        return None if after is None else Known(after=after, delay_us=value.get("delay", 0))
    return None if value is None else Known(after=value)


def _column_rule(fields: Fields) -> ColumnRule:
    at = fields.at
    check_bounds(fields)
    if isinstance(zone := fields.get("zone"), str):
        check_zone(zone, at.key("zone"))
    if (pattern := fields.get("pattern")) is not None:
        _check_pattern(pattern, at.key("pattern"))
    plain = (
        "min",
        "max",
        "min_length",
        "max_length",
        "monotone",
        "not_null",
        "allowed",
        "pattern",
        "max_null",
        "missing",
    )
    return ColumnRule(known=_known(fields), **reading_part(fields), **repair_and_on_fail(fields), **fields.only(*plain))


def check_zone(zone: str, at: At) -> None:
    """Note a zone that the IANA database does not have."""
    from zoneinfo import ZoneInfo, available_timezones  # not for every command that reads a definition

    try:
        ZoneInfo(zone)
    except (KeyError, ValueError, OSError):
        guess = suggestion(zone, available_timezones())
        fix = f'did you mean "{guess}"?' if guess else 'name a region and a city: "Europe/Paris"'
        at.wrong(
            "there is no such time zone", expected="a name of the IANA time zone database", found=shown(zone), fix=fix
        )


def _check_pattern(pattern: str, at: At) -> None:
    # The engine runs in linear time, so it has neither of these; the rest of its syntax is judged when data is read.
    without_escapes = re.sub(r"\\[^1-9]", "", pattern)
    without_classes = re.sub(r"\[\^?\]?[^\]]*\]", "", without_escapes)
    if match := re.search(r"\(\?<?[=!]|\\[1-9]", without_classes):
        at.wrong(
            "patterns have no look-around and no back-references: they are matched in linear time",
            expected="a pattern without them",
            found=match[0],
            fix="say it without, or as a [[checks]] expression",
        )


def _join(name: str, fields: Fields) -> Join:
    return Join(name=name, source=fields.get("source", ""), key=fields.get("key", ()), take=fields.get("take", ()))


def build_features(fields: Fields) -> Features:
    """[features]; expressions are in the order as written."""
    lookups = tuple(
        Lookup(
            name=name,
            source=inner.get("source", ""),
            key=inner.get("key", ()),
            take=inner.get("take", ()),
            max_age_us=inner.get("max_age"),
        )
        for name, inner in fields.get("lookups", ())
    )
    windows = tuple(_window(name, inner) for name, inner in fields.get("windows", ()))
    encodings = build_encodings(fields.get("encodings", ()), check_zone)
    return Features(lookups=lookups, windows=windows, encodings=encodings, **fields.only("expressions", "drop", "auto"))


def _window(name: str, fields: Fields) -> Window:
    over, half_life = _widths(fields, "over"), _widths(fields, "half_life")
    take = fields.get("take", ())
    if take:
        _check_spans(take, fields)
    valued = [aggregate for aggregate in take if aggregate not in WITHOUT_VALUE]
    if valued and fields.get("value") is None and not fields.at.key("value").is_broken:
        fields.at.missing(
            "value",
            expected=f"the column that {valued[0]} is of",
            fix=f'write value = "dep_delay", or take only {listed(sorted(WITHOUT_VALUE))}',
        )
    return Window(
        name=name,
        source=fields.get("source", ""),
        key=fields.get("key", ()),
        value=fields.get("value"),
        where=fields.get("where"),
        over_us=tuple(over.values()),
        over_text=tuple(over),
        half_life_us=tuple(half_life.values()),
        half_life_text=tuple(half_life),
        take=take,
    )


def _widths(fields: Fields, key: str) -> dict[str, int]:
    """Widths, or half-lives, as written and in microseconds; those that cannot be are left out."""
    found: dict[str, int] = {}
    at = fields.at.key(key)
    for i, text in enumerate(fields.get(key, ())):
        width = _width(text, at.item(i))
        if width in found.values():
            at.key(i).wrong(
                "one width, written twice",
                expected="widths that differ",
                found=shown(text),
                fix="take one out",
                code="duplicate",
            )
        elif width is not None:
            found[text] = width
    return found


def _check_spans(take: Sequence[str], fields: Fields) -> None:
    """`over` and `half_life` are there when an aggregate needs them, and only then."""
    decayed = [aggregate for aggregate in take if aggregate in DECAYED]
    others = [aggregate for aggregate in take if aggregate not in DECAYED]
    for key, users, fix in (
        ("over", others, 'over = ["1h", "24h"]'),
        ("half_life", decayed, 'half_life = ["1h", "1d"]'),
    ):
        at = fields.at.key(key)
        if at.is_broken:
            continue
        if users and not fields.get(key):
            fields.at.missing(key, expected=f"one or more durations for {users[0]}", fix=f"write {fix}")
        if fields.get(key) and not users:
            at.wrong(
                f"nothing that is taken has `{key}`",
                expected=f"no `{key}`, or an aggregate that has one",
                found=listed(take),
                fix=f'take "decayed_mean" too, or take `{key}` out' if key == "half_life" else f"take `{key}` out",
            )


def _width(text: str, at: At) -> int | None:
    width = parse_duration(text)
    if width is None:
        at.wrong(
            "the duration cannot be read",
            expected='a whole number and s, m, h, d or w, such as "24h"',
            found=shown(text),
            fix='for example "1h"',
        )
        return None
    hop = hop_us(width)
    if width == 0 or width % hop:
        steps = {_US["d"]: "whole days from 12 days on", _US["h"]: "whole hours from 12 hours on"}
        at.wrong(
            "a window is made of whole tiles",
            expected=steps.get(hop, "a multiple of 5 minutes (whole hours from 12 h on, whole days from 12 d on)"),
            found=shown(text),
            fix=f'the next larger is "{_next_width(width, hop)}"',
        )
        return None
    return width


def _next_width(width: int, hop: int) -> str:
    rounded = max(1, -(-width // hop)) * hop
    unit = next(unit for unit in ("d", "h", "m") if rounded % _US[unit] == 0)
    return f"{rounded // _US[unit]}{unit}"


def build_split(fields: Fields, project: Project) -> Split:
    """[split]: by time when the project has one."""
    at = fields.at
    by: Any = fields.get("by") or ("time" if project.time or "time" in fields.values else "random")
    if by == "time" and not project.time and "time" not in fields.values and not at.document.is_broken("project"):
        at.key("by").wrong(
            "a split by time needs a time",
            expected="project.time",
            found="none",
            fix='set [project] time, or [split] time, or by = "random"',
        )
    group = fields.get("group")
    if by == "group" and group is None and not at.key("group").is_broken:
        at.missing("group", expected="the column whose rows stay together", fix='write group = "customer"')
    if group is not None and by not in ("group", "time") and not at.key("by").is_broken:
        at.key("group").wrong(
            "`group` is for a split by group or by time",
            expected='by = "group" or by = "time"',
            found=f'"{by}"',
            fix="take one out",
        )
    if "embargo" in fields.values and by != "time" and not at.key("by").is_broken:
        at.key("embargo").wrong(
            "`embargo` is for a split by time", expected='by = "time"', found=f'"{by}"', fix="take one out"
        )
    if "time" in fields.values and by != "time" and not at.key("by").is_broken:
        at.key("time").wrong(
            "`time` is for a split by time", expected='by = "time"', found=f'"{by}"', fix="take one out"
        )
    return Split(
        by=by,
        embargo_us=fields.get("embargo") or 0,
        is_open=by == "random" and "by" not in fields.values and not at.key("by").is_broken,
        **fields.only("group", "time", "holdout", "folds", "seed", "trust"),
        few="folds" not in fields.values,
    )


_COSTS_OF = {"binary": ("false_positive", "false_negative"), "multiclass": ("matrix",), "regression": ("over", "under")}


def build_costs(fields: Fields, project: Project) -> Costs:
    """[costs]: the amounts of one task, all in one currency."""
    _check_costs(fields.at, project)
    currencies = _currencies(fields)
    currency = currencies[0][1] if currencies else "USD"
    for where, found in currencies:
        if found != currency:
            where.wrong("two currencies", expected=f"{currency}, as above", found=found, fix="convert one of them")
    keys = ("false_positive", "false_negative", "over", "under", "reject")
    single = {key: fields.values[key].amount for key in keys if isinstance(fields.values.get(key), Money)}
    matrix, columns = [], []
    for name, cost in fields.get("matrix", ()):
        truth, answer = map(str.strip, name.split(">", 1))
        if truth == answer:
            fields.at.key("matrix", name).wrong(
                "a right answer costs nothing",
                expected="two classes, truth and another answer",
                found=f"`{truth}` twice",
                fix="take it out",
            )
        if isinstance(cost, Amounts):
            columns.append((f"{truth}>{answer}", cost.column))
        else:
            matrix.append((truth, answer, cost.amount))
    columns += [(key, cost.column) for key, cost in fields.values.items() if isinstance(cost, Amounts)]
    if fields.get("capacity") and fields.get("volume") is None and project.time is None:
        fields.at.key("capacity").wrong(
            "how many a day are asked for is not known",
            expected="[costs] volume, or [project] time, of which the rows' own rate is taken",
            found="neither",
            fix='write volume = "10k / day"',
        )
    return Costs(
        currency=currency,
        matrix=tuple(matrix),
        amounts=tuple(columns),
        volume_per_month=fields.get("volume"),
        capacity_per_day=fields.get("capacity"),
        retrain_us=fields.get("retrain") or None,
        served=fields.get("served", "request"),
        **single,
    )


def _check_costs(at: At, project: Project) -> None:
    written = {
        key for keys in _COSTS_OF.values() for key in keys if at.document.has("costs", key) or at.key(key).is_broken
    }
    given = [task for task, keys in _COSTS_OF.items() if written & set(keys)]
    if not given:
        fix = 'for a binary task: false_positive = "4 USD" and false_negative = "60 USD"'
        at.wrong(
            "no wrong answer has a price", expected="the costs of one task", found="none", fix=fix, code="missing-key"
        )
    elif len(given) > 1:
        found = " and ".join(given)
        at.wrong("costs of two kinds of task", expected="those of the project's task", found=found, fix="keep one kind")
    elif project.task is not None and given[0] != project.task:
        keys = " and ".join(f"`{key}`" for key in _COSTS_OF[project.task])
        at.wrong(f"the task is {project.task}", expected=keys, found=f"costs of a {given[0]} task", fix=f"give {keys}")
    else:
        for key in _COSTS_OF[given[0]]:
            if key not in written:
                at.missing(key, expected="both costs: the decision is their balance", fix=f'write {key} = "4 USD"')
        for key, tasks in (("capacity", ("binary",)), ("reject", ("binary", "multiclass"))):
            if at.document.has("costs", key) and given[0] not in tasks:
                at.key(key).wrong(
                    f"`{key}` is for {' and '.join(tasks)} tasks",
                    expected="an answer that is acted on",
                    found=f"costs of a {given[0]} task",
                    fix="take it out",
                )


def _currencies(fields: Fields) -> list[tuple[At, str]]:
    """Every currency, in the order as written."""
    found: list[tuple[At, str]] = []
    for key, value in fields.values.items():
        if isinstance(value, Money | Amounts) and value.currency is not None:
            found.append((fields.at.key(key), value.currency))
        elif key == "matrix":
            found += [(fields.at.key(key, name), cost.currency) for name, cost in value if cost.currency is not None]
    return found


def build_selection(fields: Fields, has_costs: bool) -> Selection:
    """[selection]: by money when there are costs."""
    at = fields.at
    rule: Any = fields.get("rule") or ("least_cost" if has_costs else "best_metric")
    if rule == "least_cost" and not has_costs:
        at.key("rule").wrong(
            "least_cost needs costs", expected="a section [costs]", found="none", fix='add it, or rule = "best_metric"'
        )
    if "within" in fields.values and rule != "cheapest_within" and not at.key("rule").is_broken:
        at.key("within").wrong(
            "`within` is for cheapest_within",
            expected='rule = "cheapest_within"',
            found=f'"{rule}"',
            fix="take one out",
        )
    if fields.get("within") == "interval":
        return Selection(rule=rule, interval=True)
    return Selection(rule=rule, **fields.only("within"))


def build_evaluation(fields: Fields, project: Project) -> EvaluationPlan:
    """[evaluation]: fairness is about who is acted on, so of two classes."""
    if fields.get("fairness") and project.task not in (None, "binary"):
        fields.at.key("fairness").wrong(
            "groups are compared by how many of each are acted on",
            expected="a binary task",
            found=f"a {project.task} task",
            fix="name them in `segments`",
        )
    return EvaluationPlan(**fields.only("coverage", "segments", "fairness", "nested"))


def build_stores(fields: Fields) -> Stores:
    """[stores]."""
    at = fields.at
    if catalog := fields.get("catalog"):
        check_address(
            catalog, at.key("catalog"), ("file", "postgresql"), "a path, file:///PATH or postgresql://HOST/DATABASE"
        )
    if objects := fields.get("objects"):
        check_address(objects, at.key("objects"), ("file", "s3"), "a path, file:///PATH or s3://BUCKET/PREFIX")
    if online := fields.get("online"):
        check_address(online, at.key("online"), ("file", "redis", "rediss"), "a path, file:///PATH or redis://HOST/0")
    return Stores(**fields.only("catalog", "objects", "online"))


def build_online(fields: Fields) -> Online:
    """[online]."""
    return Online(max_staleness_us=fields.get("max_staleness"), **fields.only("on_stale"))


def build_serving(fields: Fields, project: Project) -> Serving:
    """[serving]."""
    for name in fields.get("sticky", ()):
        if project.request and name not in project.request and name not in project.key:
            fields.at.key("sticky").wrong(
                f"{name!r} is no column that a request carries",
                expected=f"one of {', '.join(project.request)}",
                found=name,
                fix="take it out, or add it to [project] request",
                code="sticky-not-sent",
            )
    for name, other in (
        ("certificate", "certificate_key"),
        ("certificate_key", "certificate"),
        ("clients", "certificate"),
    ):
        if fields.get(name) is not None and fields.get(other) is None:
            fields.at.key(name).wrong(
                f"{name} stands alone",
                expected=f"{other} beside it",
                found="none",
                fix=f"add {other}, or take {name} out",
                code="tls-incomplete",
            )
    return Serving(
        **fields.only("host", "port", "grpc_port", "batch", "certificate", "certificate_key", "clients", "tls"),
        **_workers(fields),
        **fields.only("hosts", "sticky", "log", "on_full"),
        max_stale_us=fields.get("max_stale", Serving().max_stale_us),
        drain_us=fields.get("drain", 0),
        p99_us=fields.get("p99", Serving().p99_us),
    )


def _workers(fields: Fields) -> dict[str, Any]:
    found = fields.get("workers")
    if not isinstance(found, Fields):
        return fields.only("workers")
    least, most = found.get("min", 1), found.get("max", found.get("min", 1))
    if least > most:
        found.at.key("max").wrong(
            "the most is less than the fewest",
            expected=f"{least} or more",
            found=str(most),
            fix="write the larger number as max",
            code="workers-crossed",
        )
    return {"workers": least, "most_workers": most}


def build_trust(fields: Fields) -> Trust:
    """[trust]."""
    return Trust(**fields.only("signers"))
