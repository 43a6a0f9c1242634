"""What a column's values cannot be read without, beside themselves."""

from __future__ import annotations

from headrace.definition.model import ColumnRule, Source


def converted_columns(source: Source) -> list[str]:
    """The columns that change their unit."""
    return [name for name, rule in source.columns if rule.to is not None]


def needed_beside(source: Source, rule: ColumnRule) -> tuple[str, ...]:
    """The columns that tell the unit, the zone and, for dated rates, the instant of a column's values."""
    from headrace.definition.units import is_currency  # a table that few definitions need

    needed = [name for name in (rule.unit_column, rule.zone_column) if name is not None]
    is_dated = source.rates is not None and source.rates.source is not None
    if is_dated and source.event_time is not None and rule.to is not None and is_currency(rule.to):
        needed.append(source.event_time)
    return tuple(needed)
