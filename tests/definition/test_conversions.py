"""How values are written and in which unit: read from the definition, mistakes told with a guess."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from headrace.definition.errors import Mistake
from headrace.definition.model import ColumnRule, Definition, Rates
from headrace.language.types import Type

Read = Callable[[str], Definition]
Mistakes = Callable[[str], tuple[Mistake, ...]]

HEAD = 'format = 1\n[project]\nrequest = ["y"]\n[sources.rows]\nread = "rows.csv"\n'
FX = '[currencies]\nbase = "EUR"\nper_base = { USD = 1.25 }\n'
DATED = (
    '[project]\nsource = "rows"\nrequest = ["y"]\n[currencies]\nbase = "EUR"\nper_base = "rate"\nsource = "fx"\n'
    '[sources.fx]\nread = "fx.csv"\nevent_time = "day"\n'
)
DATED_ROWS = (
    '[sources.rows]\nread = "rows.csv"\nevent_time = "at"\n[sources.rows.columns]\nx = { unit = "USD", to = "EUR" }\n'
)


def rule(read: Read, written: str) -> ColumnRule:
    return read(f"{HEAD}[sources.rows.columns]\nx = {{ {written} }}\n{FX}").sources[0].rule("x")


@pytest.mark.parametrize(
    ("written", "type_"),
    [
        ('unit = "mile", to = "km"', Type.FLOAT),
        ('decimal = ","', Type.FLOAT),
        ('thousands = "."\n, decimal = ","', Type.FLOAT),
        ('decimal = ",", type = "integer"', Type.INTEGER),
        ("places = 2", Type.INTEGER),
        ('places = 2, decimal = ","', Type.INTEGER),
        ('format = "%d.%m.%Y"', Type.DATE),
        ('format = "%d.%m.%y %H:%M"', Type.TIMESTAMP),
        ('zone = { column = "tz" }', Type.TIMESTAMP),
        ("codes = { M = 'male' }", Type.CATEGORY),
        ('unit = "EUR", to = "USD"', Type.FLOAT),
        ('unit = "anything"', None),
    ],
)
def test_the_way_of_writing_tells_the_type(read: Read, written: str, type_: Type | None) -> None:
    assert rule(read, written.replace("\n", "")).type == type_


def test_parts_are_read_as_they_are_written(read: Read) -> None:
    found = rule(read, 'unit = { column = "u" }, to = "kg", thousands = " ", decimal = ","')
    assert (found.unit, found.unit_column, found.to) == (None, "u", "kg")
    assert (found.decimal, found.thousands) == (",", " ")
    assert found.reads_text
    assert not rule(read, 'unit = "mile", to = "km"').reads_text


@pytest.mark.parametrize(
    ("written", "key", "message", "fix"),
    [
        ('unit = "mlie", to = "km"', "unit", "there is no such unit", 'did you mean "mile"?'),
        ('unit = "gallon", to = "litre"', "unit", "there is no such unit", 'did you mean "us_gallon"?'),
        ('unit = "mile", to = "kgg"', "to", "there is no such unit", 'did you mean "kg"?'),
        ('unit = "mile", to = "kg"', "to", "the units are of two kinds", "name two units of one kind"),
        ('unit = "EUR", to = "kg"', "to", "the units are of two kinds", "name two units of one kind"),
        ('to = "km"', "unit", "the key `unit` is missing", 'write unit = "mile" beside it'),
        ('unit = { column = "u" }', "to", "the key `to` is missing", 'write to = "kg"'),
        ('unit = "USB", to = "EUR"', "unit", "no rate of this currency is known", 'did you mean "USD"?'),
        ('type = "string", unit = "mile", to = "km"', "type", "`to` does not go with", 'write type = "float"'),
        ('type = "float", format = "%d.%m.%Y"', "type", "`format` does not go with", 'write type = "date"'),
        ('format = "%d.%m.%Q"', "format", "formats have no %Q", "use one of these"),
        ('format = "%d.%m."', "format", "the format does not tell a day", 'for example "%d.%m.%Y"'),
        ('thousands = "."', "thousands", "one sign cannot be both", 'write decimal = ","'),
        ('type = "float", places = 2', "type", "`places` does not go with this type", 'write type = "integer"'),
        ("places = 19", "places", "the number is out of bounds", "write a number within them"),
        ('places = 2, unit = "mile", to = "km"', "places", "`to` does not go with `places`", "take one of them out"),
        ('decimal = ";"', "decimal", "not one of the words", ""),
        ('zone = { column = "x" }', "zone", "a column cannot tell its own", "name another"),
        ('zone = { colunm = "tz" }', "zone.colunm", "there is no key `colunm` here", "did you mean `column`?"),
    ],
)
def test_a_mistake_is_told_at_its_key(mistakes: Mistakes, written: str, key: str, message: str, fix: str) -> None:
    [found] = mistakes(f"{HEAD}[sources.rows.columns]\nx = {{ {written} }}\n{FX}")
    assert found.key == f"sources.rows.columns.x.{key}"
    assert message in found.message
    assert fix in found.fix


def test_a_unit_that_is_derived_comes_too_late(mistakes: Mistakes) -> None:
    text = f'{HEAD}derive = {{ u = "y" }}\n[sources.rows.columns]\nx = {{ unit = {{ column = "u" }}, to = "kg" }}\n'
    [found] = mistakes(text)
    assert "derived or joined, and values are converted before that" in found.message


def test_rates_are_attached_to_the_sources_that_convert(read: Read) -> None:
    text = f"format = 1\n{DATED}{DATED_ROWS}"
    definition = read(text)
    fx, rows = definition.sources
    assert fx.rates is None
    assert rows.rates == Rates(base="EUR", per_base=True, source="fx", rate="rate", time="day")
    assert rows.needs == ("fx",)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('event_time = "at"', "", "dated rates need the day of each row"),
        ('event_time = "at"', 'event_time = "at"\nderive = { at = "day" }', "derived, and values are converted before"),
        ('event_time = "day"', "", "dated rates need their dates"),
        ('source = "fx"', 'source = "fy"', "there is no such source"),
        ('per_base = "rate"', "per_base = { USD = 1.1 }", "fixed rates need no source"),
        ('per_base = "rate"', 'per_base = "rate"\nvalue = "rate"', "rates are said one way"),
        ('per_base = "rate"', "", "the key `per_base` is missing"),
        ("[sources.fx]", '[sources.fx.join.a]\nsource = "rows"\nkey = "x"\ntake = "y"\n[sources.fx]', "in a circle"),
    ],
)
def test_rates_without_a_footing_are_told(mistakes: Mistakes, old: str, new: str, message: str) -> None:
    text = f"format = 1\n{DATED}{DATED_ROWS}"
    found = [mistake.message for mistake in mistakes(text.replace(old, new, 1))]
    assert any(message in one for one in found), found


def test_a_currency_without_rates_is_told(mistakes: Mistakes) -> None:
    [found] = mistakes(f'{HEAD}[sources.rows.columns]\nx = {{ unit = "USD", to = "EUR" }}\n')
    assert found.message == "no rate is known"
    assert "[currencies]" in found.fix
