"""One entity from several sources: the part of a source that says so, read and held against the other sources."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from headrace.definition.check_sources import check_column, check_source_name
from headrace.definition.document import At, Document, listed, shown, suggestion
from headrace.definition.expressions import columns_at, place_of
from headrace.definition.kinds import Fields
from headrace.definition.model import Combine, Source, Survive

_OF_READING = ("read", "format", "query", "separator", "missing", "rename")
_OF_COMBINING = ("key", "combine", "map", "survive")
_BY_TIME = ("most_recent", "earliest")


def build_combine(fields: Fields) -> Combine | None:
    """What [sources.NAME] says with `from`; None for a source that is read."""
    at = fields.at
    if "from" not in fields.values:
        for name in _OF_COMBINING if not at.key("from").is_broken else ():
            if name in fields.values:
                at.key(name).wrong(
                    f"`{name}` is for sources that combine others",
                    expected="`from` beside it",
                    found="`read`" if "read" in fields.values else "no `from`",
                    fix='write from = ["crm", "billing"], or take it out',
                )
        return None
    for name in _OF_READING:
        if name in fields.values:
            at.key(name).wrong(
                f"`{name}` is for sources that are read",
                expected="`from` without it",
                found=f"`from` and `{name}`",
                fix="take one out" if name == "read" else "say it in the sources that `from` names",
            )
    if "key" not in fields.values and not at.key("key").is_broken:
        at.missing("key", expected="the columns that tell which rows are one entity", fix='write key = "customer_id"')
    survive = tuple((column, _survive(rule)) for column, rule in fields.get("survive", ()))
    extra = {"how": fields.get("combine")} if "combine" in fields.values else {}
    return Combine(
        members=fields.get("from"),
        key=fields.get("key", ()),
        map=fields.get("map", ()),
        survive=survive,
        **extra,
    )


def _survive(value: str | Fields) -> Survive:
    if not isinstance(value, Fields):
        return Survive(rule=value)  # type: ignore[arg-type]  # one of the choice's words
    rule, at = value.get("rule", "rank"), value.at
    for key, rules in (("by", _BY_TIME), ("order", ("rank",)), ("null_wins", ("rank", "most_recent", "earliest"))):
        if key in value.values and rule not in rules and not at.key("rule").is_broken:
            at.key(key).wrong(
                f"`{key}` does not go with this rule",
                expected=" or ".join(f'rule = "{one}"' for one in rules),
                found=f'"{rule}"',
                fix="take it out",
            )
    return Survive(**value.only("rule", "by", "order", "null_wins"))


def check_combines(sources: Sequence[Source], names: Sequence[str], document: Document) -> None:
    """Note what combined sources say of others that cannot be."""
    by_name = {source.name: source for source in sources}
    for source in sources:
        if source.combine is not None:
            _check(source, source.combine, by_name, names, document.at("sources", source.name))


def _check(source: Source, combine: Combine, by_name: Mapping[str, Source], names: Sequence[str], at: At) -> None:
    others = [name for name in names if name != source.name]
    for i, member in enumerate(combine.members):
        if member == source.name:
            fix = "name the sources that are read"
            at.key("from").item(i).wrong(
                "a source cannot be made from itself", expected="other sources", found=shown(member), fix=fix
            )
        else:
            check_source_name(member, others, at.key("from").item(i))
    for member, columns in combine.map if not at.key("from").is_broken else ():
        _check_map(member, columns, combine, by_name, at.key("map", member))
    for i, column in enumerate(combine.key):
        if column.startswith("_"):
            at.key("key").item(i).wrong(
                "names that begin with _ are ours",
                expected="another name",
                found=f"`{column}`",
                fix="map it to another name",
            )
    for column, rule in combine.survive:
        _check_survive(column, rule, combine, by_name, at.key("survive", column))
    if source.rates is not None and source.rates.source in combine.members:
        at.key("from").wrong(
            "the rates are no rows of an entity",
            expected="other sources",
            found=shown(source.rates.source),
            fix="take it out",
        )


def _check_map(
    member: str, columns: Sequence[tuple[str, str]], combine: Combine, by_name: Mapping[str, Source], at: At
) -> None:
    if member not in combine.members:
        guess = suggestion(member, combine.members)
        fix = f'did you mean "{guess}"?' if guess else f'add "{member}" to `from`, or take this out'
        at.wrong(
            "the source is not one of `from`",
            expected=listed(combine.members),
            found=shown(member),
            fix=fix,
            code="unknown-name",
        )
        return
    for column, text in columns:
        inner = at.key(column)
        for use in sorted(columns_at(text, inner) or ()):
            if member in by_name:
                check_column(by_name[member], use, inner, place_of(use, text))


def _check_survive(column: str, rule: Survive, combine: Combine, by_name: Mapping[str, Source], at: At) -> None:
    if column in combine.key:
        at.wrong(
            "rows of one entity are equal in its key",
            expected="a column that is not the key",
            found=f"`{column}`",
            fix="take it out",
        )
    for i, member in enumerate(rule.order):
        if member not in combine.members:
            guess = suggestion(member, combine.members)
            at.key("order").item(i).wrong(
                "the source is not one of `from`",
                expected=listed(combine.members),
                found=shown(member),
                fix=f'did you mean "{guess}"?' if guess else "name sources of `from` only",
                code="unknown-name",
            )
    if rule.rule not in _BY_TIME or rule.by is not None:
        return
    timeless = [name for name in combine.members if name in by_name and by_name[name].event_time is None]
    if timeless:
        at.wrong(
            f"{rule.rule} needs an instant, and source {timeless[0]} has no event_time",
            expected="event_time in every source of `from`, or `by`",
            found=f'"{rule.rule}"',
            fix=f'write {{ rule = "{rule.rule}", by = "updated_at" }}, a column that every source has or maps',
        )
