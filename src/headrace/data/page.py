"""The quality page of a run: what every source promised, what it brought, and what was done to every row.

Written for the person who knows the data, not for the one who wrote the contract: what needs a look comes first, in
plain words, and every picture has its figures beside it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Literal

from headrace.data.model import Association, ColumnProfile, Combined, Histogram, QualityReport, RuleResult
from headrace.language.types import Type
from headrace.pages.charts import small_bars, small_histogram
from headrace.pages.render import render
from headrace.pages.scale import short

if TYPE_CHECKING:
    from markupsafe import Markup

TOLD = 12
"""Things to look at that are told for one source; the page says how many more there are."""
DRAWN = 400
"""Columns of a source that get a card of their own; the rest are named in a table."""
_MUCH_NULL = 0.5
_LEAK = 0.9
"""A column that alone tells the label so well mostly knows it already."""
_MUCH_DRIFT = 0.2
_TEXTS = (Type.STRING, Type.CATEGORY)
_MEASURES = {
    "auc": "AUC of the column alone",
    "correlation": "correlation (Pearson)",
    "correlation_ratio": "correlation ratio",
    "cramers_v": "Cramér's V, bias-corrected",
}


@dataclass(frozen=True, slots=True)
class Note:
    """Something that a person should look at."""

    weight: Literal["bad", "warn", "soft"]
    text: str
    column: str | None = None
    fix: str = ""


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule's line in the table."""

    result: RuleResult
    share: float
    """Of the rows read, those that failed."""


@dataclass(frozen=True, slots=True)
class Card:
    """One column, in a picture and a few figures."""

    column: ColumnProfile
    anchor: str
    picture: Markup | None
    caption: str
    facts: tuple[tuple[str, str], ...]
    association: tuple[str, str, float] | None
    """Measure, figure, strength."""
    drift: float | None
    is_later: bool
    """Known only after a prediction is asked for, so that it may tell of the label what it likes."""
    flags: tuple[Note, ...]


@dataclass(frozen=True, slots=True)
class SourceView:
    """One source, as the page shows it."""

    report: QualityReport
    anchor: str
    notes: tuple[Note, ...]
    untold: int
    rules: tuple[Rule, ...]
    """Those that some row failed."""
    holding: tuple[RuleResult, ...]
    cards: tuple[Card, ...]
    rest: tuple[str, ...]
    """Names of columns without a card."""
    has_label: bool


def quality_page(
    project: str,
    reports: Sequence[QualityReport],
    associations: Mapping[str, Sequence[Association]] | None = None,
    *,
    label: str | None = None,
    later: Collection[str] = (),
    combined: Mapping[str, Combined] | None = None,
) -> str:
    """One HTML page for all sources.

    Parameters
    ----------
    project
        The project's name.
    reports
        One a source; at least one.
    associations
        Source → what its columns tell of the label.
    label
        What is predicted, as the definition says it.
    later
        Columns that the definition says are known only after a prediction is asked for.
    combined
        Source → how it was made from others.
    """
    views = [
        _source_view(report, number, (associations or {}).get(report.source, ()), later)
        for number, report in enumerate(reports)
    ]
    return render(
        "data/quality.html.j2",
        project=project,
        views=views,
        combined=combined or {},
        label=label,
        read=sum(r.read for r in reports),
        accepted=sum(r.accepted for r in reports),
        repaired=sum(r.repaired for r in reports),
        replayed=sum(r.replayed for r in reports),
        quarantined=sum(r.quarantined for r in reports),
        passed=all(r.passed for r in reports),
    )


def _source_view(
    report: QualityReport, number: int, associations: Sequence[Association], later: Collection[str]
) -> SourceView:
    told = {one.column: one for one in associations}
    drift = dict(report.drift)
    rows = report.accepted + report.repaired + report.replayed
    cards = tuple(
        _card(
            column,
            f"s{number}-c{place}",
            rows,
            told.get(column.name),
            drift.get(column.name),
            is_later=column.name in later,
        )
        for place, column in enumerate(report.columns[:DRAWN])
    )
    notes = [*_report_notes(report), *(note for card in cards for note in card.flags)]
    notes.sort(key=lambda note: ("bad", "warn", "soft").index(note.weight))
    return SourceView(
        report=report,
        anchor=f"s{number}",
        notes=tuple(notes[:TOLD]),
        untold=max(0, len(notes) - TOLD),
        rules=tuple(
            Rule(rule, rule.failed / report.read if report.read else 0.0) for rule in report.rules if not rule.passed
        ),
        holding=tuple(rule for rule in report.rules if rule.passed),
        cards=cards,
        rest=tuple(column.name for column in report.columns[DRAWN:]),
        has_label=bool(associations),
    )


def _report_notes(report: QualityReport) -> list[Note]:
    """What rules, changes and warnings say, in words."""
    notes = [
        Note("bad", f"The rule {rule.rule} is broken: {_failed(rule, report.read)}.", rule.column)
        for rule in report.rules
        if not rule.passed and rule.on_fail == "fail"
    ]
    for change in report.changes:
        weight: Literal["bad", "warn", "soft"] = "bad" if change.policy == "fail" else "warn"
        if change.policy != "accept":
            notes.append(Note(weight, change.message, change.column, change.fix))
    notes += [Note("warn", warning[:1].upper() + warning[1:] + ".") for warning in report.warnings]
    if report.read and report.quarantined / report.read > 0.01:
        share = report.quarantined / report.read
        notes.append(
            Note("warn", f"{share:.1%} of the rows were set aside: {report.quarantined:,} of {report.read:,}.")
        )
    return notes


def _failed(rule: RuleResult, read: int) -> str:
    first = "" if rule.first_row is None else f", the first in row {rule.first_row:,}"
    return f"{rule.failed:,} of {read:,} rows{first}"


def _card(
    column: ColumnProfile,
    anchor: str,
    rows: int,
    association: Association | None,
    drift: float | None,
    *,
    is_later: bool,
) -> Card:
    picture, caption = _picture(column, rows)
    return Card(
        column=column,
        anchor=anchor,
        picture=picture,
        caption=caption,
        facts=tuple(_facts(column, rows)),
        association=None
        if association is None
        else (_MEASURES[association.measure], f"{association.value:.2f}", association.strength),
        drift=drift,
        is_later=is_later and association is not None,
        flags=tuple(_flags(column, rows, None if is_later else association, drift)),
    )


def _flags(column: ColumnProfile, rows: int, association: Association | None, drift: float | None) -> list[Note]:
    flags = []
    for one in column.personal[:1]:
        others = f" (or {column.personal[1].label})" if len(column.personal) > 1 else ""
        weight: Literal["warn", "soft"] = "soft" if one.confidence == "low" else "warn"
        sure = {"high": "holds", "medium": "likely holds", "low": "may hold"}[one.confidence]
        text = f"{column.name} {sure} personal data: {one.label}{others}. {one.evidence[:1].upper()}{one.evidence[1:]}."
        flags.append(Note(weight, text, column.name))
    if rows and column.nulls == rows:
        flags.append(Note("warn", f"{column.name} has no value at all.", column.name))
    elif rows and column.nulls / rows > _MUCH_NULL:
        flags.append(Note("soft", f"{column.name} is missing in {column.nulls / rows:.0%} of the rows.", column.name))
    elif column.distinct == 1 and rows > 1:
        flags.append(Note("soft", f"{column.name} has the same value in every row that has one.", column.name))
    if association is not None and association.strength >= _LEAK:
        text = (
            f"{column.name} alone tells the label almost entirely ({_MEASURES[association.measure]} "
            f"{association.value:.2f}): is it really known when a prediction is asked for?"
        )
        flags.append(Note("warn", text, column.name))
    if drift is not None and drift >= _MUCH_DRIFT:
        text = f"{column.name} has changed since the last snapshot: {drift:.0%} of its values lie elsewhere."
        flags.append(Note("soft", text, column.name))
    return flags


def _picture(column: ColumnProfile, rows: int) -> tuple[Markup | None, str]:
    """A chart, and what it is of; None where there is nothing to draw."""
    if column.type in (*_TEXTS, Type.BOOLEAN) and column.top and not _is_all_different(column, rows):
        shown = column.top[:5]
        bars = [
            (level, count / rows if rows else 0.0, _percent(count / rows if rows else 0.0)) for level, count in shown
        ]
        told = ", ".join(f"{level} {figure}" for level, _, figure in bars)
        return small_bars(f"{column.name}, most frequent: {told}", bars), "most frequent values"
    if column.histogram is None:
        return None, ""
    return _bars(column, column.histogram), _CAPTIONS[column.histogram.kind]


_CAPTIONS = {"number": "how the numbers lie", "time": "how many rows when", "length": "length of the texts"}


def _bars(column: ColumnProfile, found: Histogram) -> Markup:
    name, last = column.name, found.edges[-1]
    if column.quantiles and not found.above:
        last = min(last, column.quantiles[-1])  # bars of several whole numbers reach beyond the greatest
    low, high = _edge(found.edges[0], found), _edge(last, found)
    counts = [found.below, *found.counts, found.above] if found.below or found.above else list(found.counts)
    beyond = {0, len(counts) - 1} if len(counts) > len(found.counts) else set()
    total = sum(counts) or 1
    fullest = max(range(len(found.counts)), key=lambda n: found.counts[n], default=0)
    by = f" by {found.bucket}" if found.bucket else ""
    title = (
        f"{name}: {len(found.counts)} bars from {low} to {high}{by}; the fullest "
        f"is {_edge(found.edges[fullest], found)} to {_edge(found.edges[fullest + 1], found)} with "
        f"{_percent(found.counts[fullest] / total)}"
    )
    if beyond:
        title += f"; {_percent(found.below / total)} lie below and {_percent(found.above / total)} above"
        low, high = f"below {low}", f"above {high}"
    return small_histogram(title, counts, low=low, high=high, highlight=sorted(beyond))


def _edge(value: float, found: Histogram) -> str:
    if found.kind == "time":
        instant = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=value)
        return f"{instant:%Y-%m-%d %H:%M}" if found.bucket == "hour" else f"{instant:%Y-%m-%d}"
    if found.kind == "length":
        return f"{value + 0.5:,.0f}"
    return short(round(value + 0.5) if value % 1 == 0.5 else value)


def _facts(column: ColumnProfile, rows: int) -> list[tuple[str, str]]:
    facts = [("missing", _percent(column.nulls / rows) if rows else "—")]
    if column.distinct is not None:
        error = column.distinct_error
        text = f"{column.distinct:,}" if error is None else f"≈ {column.distinct:,} ± {100 * error:.1f} %"
        facts.append(("different", "all" if _is_all_different(column, rows) else text))
    if column.quantiles:
        least, _, median, _, greatest = column.quantiles
        facts += [("median", short(median)), ("from", short(least)), ("to", short(greatest))]
        if column.mean is not None:
            facts.append(("mean", short(column.mean)))
    elif column.minimum is not None and column.type in (Type.DATE, Type.TIMESTAMP):
        facts += [("from", _day(column.minimum)), ("to", _day(column.maximum or ""))]
    return facts


def _day(text: str) -> str:
    """An instant to the minute: seconds tell a reader nothing here."""
    return text.replace("T", " ")[:16]


def _is_all_different(column: ColumnProfile, rows: int) -> bool:
    return rows > 1 and column.distinct_error is None and column.distinct == rows - column.nulls


def _percent(share: float) -> str:
    if share in (0, 1):
        return f"{share:.0%}"
    return "< 0.1 %" if share < 0.001 else "> 99.9 %" if share > 0.999 else f"{100 * share:.3g} %"
