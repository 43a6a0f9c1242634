"""What can be wrong with features, a label or a frame."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

from headrace.errors import CheckFailed, TroubleOutside, WrongUse
from headrace.language.row_kernels import timestamp_to_text


class FeatureError(WrongUse):
    """One mistake in the features, the request or the label of a definition."""

    code = "feature"

    def __init__(self, place: str, message: str, *, fix: str | None = None, **facts: Any) -> None:
        self.place = place
        """The key of the definition, `features.expressions.night`."""
        super().__init__(f"{place}: {message}", fix=fix, place=place, **facts)


class FeatureErrors(WrongUse):
    """Every mistake found, at once."""

    code = "features"

    def __init__(self, errors: Sequence[FeatureError]) -> None:
        self.errors = tuple(errors)
        super().__init__(
            "\n".join(str(error) for error in self.errors), errors=[error.to_dict() for error in self.errors]
        )


class DuplicateStaticKey(CheckFailed):
    """A static table holds two rows for one key, so a lookup has no single answer."""

    code = "duplicate-static-key"

    def __init__(self, *, lookup: str, source: str, key: Sequence[str], rows: int, distinct: int) -> None:
        super().__init__(
            f"lookup {lookup!r}: static table {source!r} has {rows:,} rows but {distinct:,} distinct keys "
            f"({', '.join(key)})",
            fix=f"set unique = {list(key)!r} in [sources.{source}] to quarantine the duplicates, or give the source an "
            "event_time so that the newest row known counts",
            lookup=lookup,
            source=source,
            key=list(key),
            rows=rows,
            distinct=distinct,
        )


class NoLabelledRows(CheckFailed):
    """Nothing is left to learn from."""

    code = "no-labelled-rows"

    def __init__(self, *, label: str, rows: int, unlabelled: int) -> None:
        super().__init__(
            f"no row of {rows:,} can be trained on: the label {label!r} is null, or never becomes known, in "
            f"{unlabelled:,} of them",
            fix="check the columns that the label uses; `headrace check` shows their nulls",
            label=label,
            rows=rows,
            unlabelled=unlabelled,
        )


class LabelKnownTooEarly(CheckFailed):
    """Nearly every label was known before its prediction was asked for."""

    code = "label-known-too-early"

    def __init__(self, *, label: str, time: str, rows: int, early: int) -> None:
        super().__init__(
            f"{early:,} of {rows:,} labels ({label!r}) were known at or before the prediction time {time!r}: "
            "there is nothing to predict",
            fix="correct [project] time, or the `known` of the columns that the label uses",
            label=label,
            time=time,
            rows=rows,
            early=early,
        )


class OneClass(CheckFailed):
    """Every label is the same."""

    code = "one-class"

    def __init__(self, *, label: str, level: str | None, rows: int) -> None:
        is_one = "is the same" if level is None else f"is {level}"
        super().__init__(
            f"every one of {rows:,} labels ({label!r}) {is_one}: expected at least two classes",
            fix="correct the label, or read rows of the other classes too",
            label=label,
            level=level,
            rows=rows,
        )


class LabelUnfit(CheckFailed):
    """The label's values do not fit the task."""

    code = "label-unfit"


class NullTime(CheckFailed):
    """Rows without a prediction time."""

    code = "null-time"

    def __init__(self, *, time: str, nulls: int, rows: int, first_row: int) -> None:
        super().__init__(
            f"prediction time {time!r} is null in {nulls:,} of {rows:,} rows (first: row {first_row})",
            fix=f'add a check `where = "{time} IS NOT NULL"` with on_fail = "quarantine" to the source',
            time=time,
            nulls=nulls,
            rows=rows,
            first_row=first_row,
        )


class CannotSplit(CheckFailed):
    """No holdout can be cut that leaves rows on both sides."""

    code = "cannot-split"


class FeatureUnknown(WrongUse):
    """A name that is no feature."""

    code = "feature-unknown"

    def __init__(self, name: str, names: Sequence[str]) -> None:
        close = get_close_matches(name, names, n=1)
        super().__init__(
            f"there is no column or feature {name!r}{f'; did you mean {close[0]!r}?' if close else ''}",
            fix="headrace features lists them all",
            name=name,
        )


class CertificateEmpty(WrongUse):
    """A certificate of no rows."""

    code = "certificate-empty"

    def __init__(self, rows: int) -> None:
        super().__init__(
            f"a certificate replays at least one row, found {rows:,}", fix="give --rows 1000, for example", rows=rows
        )


class NotMaterialized(WrongUse):
    """The online store holds nothing of a lookup or window."""

    code = "not-materialized"

    def __init__(self, model: str, step: str) -> None:
        super().__init__(
            f"the online store holds no values for {step!r} of model {model!r}",
            fix="type headrace materialize, or answer from history: --features history",
            model=model,
            step=step,
        )


class BeforeWatermark(WrongUse):
    """A prediction is asked for a time before the online values' watermark."""

    code = "before-watermark"

    def __init__(self, step: str, *, t_us: int, watermark_us: int) -> None:
        super().__init__(
            f"the prediction time is {timestamp_to_text(t_us)}, but the online values of {step!r} hold what was known "
            f"before {timestamp_to_text(watermark_us)}: they could carry the future into the features",
            fix="answer rows of the past from history: --features history",
            step=step,
            t_us=t_us,
            watermark_us=watermark_us,
        )


class WatermarkAhead(WrongUse):
    """Online values cannot hold what will become known."""

    code = "watermark-ahead"

    def __init__(self, *, until_us: int, now_us: int) -> None:
        super().__init__(
            f"the watermark {timestamp_to_text(until_us)} lies ahead of now, {timestamp_to_text(now_us)}",
            fix="leave --until out, or give an instant of the past",
            until_us=until_us,
            now_us=now_us,
        )


class OnlineStale(TroubleOutside):
    """The online values are older than [online] max_staleness allows."""

    code = "online-stale"

    def __init__(self, step: str, *, behind_us: int, limit_us: int) -> None:
        super().__init__(
            f"the online values of {step!r} are {behind_us / 1e6:,.0f} s older than the prediction time, "
            f"[online] max_staleness allows {limit_us / 1e6:,.0f} s",
            fix='type headrace materialize, raise max_staleness, or set on_stale = "null" to go on without them',
            step=step,
            behind_us=behind_us,
            limit_us=limit_us,
        )


class OnlineUnreadable(TroubleOutside):
    """What the online store holds is not of a form that this release knows."""

    code = "online-unreadable"

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"the online values cannot be read: {reason}",
            fix="use the release that wrote them, or type headrace materialize --anew",
            reason=reason,
        )
