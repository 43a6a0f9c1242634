"""What sources say of one another and of their own columns, as far as it can be judged before data is read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from headrace.definition.build_contract import check_at
from headrace.definition.document import At, Document, listed, shown, suggestion
from headrace.definition.expressions import columns_at, place_of
from headrace.definition.model import Join, Source
from headrace.definition.order import ordered


def check_sources(sources: Sequence[Source], names: Sequence[str], document: Document) -> tuple[Source, ...]:
    """The sources with `derive` in an order in which it can be computed; mistakes are noted in `document`."""
    by_name = {source.name: source for source in sources}
    checked = tuple(_check_source(source, by_name, names, document.at("sources", source.name)) for source in sources)
    _check_join_circles(sources, document)
    return checked


def check_source_name(name: str, names: Sequence[str], at: At) -> bool:
    """Whether a source of that name is declared; notes it when not."""
    if not name or name in names:
        return bool(name)
    guess = suggestion(name, names)
    fix = f'did you mean "{guess}"?' if guess else f"write a section [sources.{name}]"
    at.wrong("there is no such source", expected=listed(names), found=shown(name), fix=fix, code="unknown-name")
    return False


def check_column(source: Source, column: str, at: At, character: int | None = None) -> bool:
    """Whether a column may be there: all that can be told without the data is what `rename` took away."""
    renamed = dict(source.rename)
    if column not in renamed or column in renamed.values() or column in made_columns(source):
        return True
    at.wrong(
        f"the column `{column}` of source {source.name} was renamed",
        expected=f"`{renamed[column]}`",
        found=f"`{column}`",
        fix=f"use `{renamed[column]}`, or take the renaming out",
        code="unknown-name",
        character=character,
    )
    return False


def made_columns(source: Source) -> set[str]:
    """The columns that the definition adds: joined and derived."""
    joined = {f"{join.name}_{column}" for join in source.joins for column in join.take}
    return joined | {name for name, _ in source.derive}


def _check_source(source: Source, by_name: Mapping[str, Source], names: Sequence[str], at: At) -> Source:
    _check_rename(source, at)
    for join in source.joins:
        _check_join(source, join, by_name, names, at.key("join", join.name))
    for i, column in enumerate(source.unique):
        check_column(source, column, at.key("unique").item(i))
    if source.event_time is not None:
        check_column(source, source.event_time, at.key("event_time"))
    if source.incremental is not None and source.incremental.column is not None:
        check_column(source, source.incremental.column, at.key("incremental", "column"))
    if source.known is not None:
        check_column(source, source.known.after, at.key("known"))
    for column, _ in () if source.match is None else source.match.compare:
        check_column(source, column, at.key("match", "compare", column))
    for column, rule in source.columns:
        inner = at.key("columns", column)
        if check_column(source, column, inner) and rule.known is not None:
            check_column(source, rule.known.after, inner.key("known"))
        if rule.repair and column in made_columns(source):
            inner.key("repair").wrong(
                f"`{column}` is made by the definition, and would not agree with what it is made of",
                expected="a column as read",
                found=shown(column),
                fix="repair the columns that it is made of",
            )
    for i, where in _checks_as_written(at):
        _check_expression(source, where, at.key("checks", i, "where"))
    _check_named_rules(source, by_name, names, at)
    return msgspec.structs.replace(source, derive=_ordered_derive(source, at))


def _check_named_rules(source: Source, by_name: Mapping[str, Source], names: Sequence[str], at: At) -> None:
    for check in source.checks:
        for column, text in check.repair:
            inner = check_at(at, check.name).key("repair", column)
            _check_expression(source, text, inner)
            if column in made_columns(source):
                inner.wrong(
                    f"`{column}` is made by the definition",
                    expected="a column as read",
                    found=shown(column),
                    fix="repair the columns that it is made of",
                )
            else:
                check_column(source, column, inner)
    for rule in source.foreign_keys:
        for here, there in rule.key:
            inner = check_at(at, rule.name).key("foreign_key", here)
            check_column(source, here, inner)
            _check_other(rule.source, there, by_name, names, inner)
    for total in source.equal_sums:
        inner = check_at(at, total.name)
        check_column(source, total.column, inner.key("sum"))
        if total.source == source.name:
            inner.key("equals").wrong(
                "a sum is compared with another source's",
                expected="another source",
                found=shown(total.source),
                fix='compare columns row by row: where = "…"',
            )
        else:
            _check_other(total.source, total.equals, by_name, names, inner.key("equals"))
    for same in source.distributions:
        for i, column in enumerate(same.columns):
            check_column(source, column, check_at(at, same.name).key("distribution").item(i))


def _check_other(name: str, column: str, by_name: Mapping[str, Source], names: Sequence[str], at: At) -> None:
    """Note a column of another source that cannot be there."""
    if check_source_name(name, names, at) and (other := by_name.get(name)) is not None:
        check_column(other, column, at)


def _checks_as_written(at: At) -> Iterable[tuple[int, str]]:
    source = at.document.table["sources"][at.path[-1]]  # type: ignore[index]
    checks = source.get("checks")
    for i, check in enumerate(checks if isinstance(checks, list) else ()):
        if isinstance(check, dict) and isinstance(check.get("where"), str) and check["where"]:
            yield i, check["where"]


def _check_expression(source: Source, text: str, at: At) -> frozenset[str] | None:
    uses = columns_at(text, at)
    for column in sorted(uses or ()):
        check_column(source, column, at, place_of(column, text))
    return uses


def _check_rename(source: Source, at: At) -> None:
    taken: dict[str, str] = {}
    for old, new in source.rename:
        if new in taken:
            at.key("rename", old).wrong(
                "two columns get one name",
                expected="names that differ",
                found=f"`{taken[new]}` and `{old}` → `{new}`",
                fix="rename one of them otherwise",
                code="duplicate",
            )
        taken[new] = old


def _check_join(source: Source, join: Join, by_name: Mapping[str, Source], names: Sequence[str], at: At) -> None:
    if at.key("source").is_broken or not check_source_name(join.source, names, at.key("source")):
        return
    if join.source == source.name:
        fix = "derive the columns instead, or name another source"
        at.key("source").wrong(
            "a source cannot join itself", expected="another source", found=shown(join.source), fix=fix
        )
        return
    derived = dict(source.derive)
    for column in (here for here, _ in join.key):
        if column in derived:
            at.key("key").wrong(
                f"`{column}` is derived, and joins come before `derive`",
                expected="a column as read, renamed or joined",
                found=f"`{column}`",
                fix="join by the columns that it is derived from",
            )
        elif not at.key("key").is_broken:
            check_column(source, column, at.key("key"))
    for column in join.take:
        if f"{join.name}_{column}" in derived:
            at.key("take").wrong(
                f"`{join.name}_{column}` is derived as well",
                expected="names that differ",
                found=f"`{join.name}_{column}`",
                fix="rename the join or the derived column",
                code="duplicate",
            )
    other = by_name.get(join.source)
    if other is None:
        return  # its own mistakes are noted there
    if other.event_time is not None:
        at.key("source").wrong(
            f"source {other.name} has event_time: which of its rows holds depends on the instant",
            expected="a static source (one without event_time)",
            found=shown(other.name),
            fix="use it in [features.lookups.…], or take its event_time out",
        )
    for column in [*(there for _, there in join.key), *join.take]:
        check_column(other, column, at)


def _check_join_circles(sources: Sequence[Source], document: Document) -> None:
    needs = {
        source.name: [name for name in (*source.members, *source.needs) if name != source.name] for source in sources
    }
    _, circles = ordered(list(needs), needs)
    for circle in circles:
        first = next(source for source in sources if source.name == circle[0])
        at = document.at("sources", first.name)
        join = next((join for join in first.joins if join.source in circle), None)
        rules = [rule.name for rule in first.foreign_keys if rule.source in circle]
        rules += [rule.name for rule in first.equal_sums if rule.source in circle]
        beside = at.key("from") if set(first.members) & set(circle) else at
        place = at.key("join", join.name) if join else check_at(at, rules[0]) if rules else beside
        place.wrong(
            "the sources need one another in a circle",
            expected="needs that end somewhere",
            found=" → ".join([*circle, circle[0]]),
            fix="take one of these out",
            code="circle",
        )


def _ordered_derive(source: Source, at: At) -> tuple[tuple[str, str], ...]:
    texts = dict(source.derive)
    needs: dict[str, frozenset[str]] = {}
    for name, text in source.derive:
        inner = at.key("derive", name)
        uses = columns_at(text, inner) or frozenset()
        needs[name] = uses
        for column in sorted(uses):
            check_column(source, column, inner, place_of(column, text))
    order, circles = ordered(list(texts), needs)
    for circle in circles:
        at.key("derive", circle[0]).wrong(
            "the column is derived from itself",
            expected="an expression over other columns",
            found=" → ".join([*circle, circle[0]]),
            fix="give the derived column a name of its own" if len(circle) == 1 else "break the circle",
            code="circle",
        )
    return tuple((name, texts[name]) for name in order)
