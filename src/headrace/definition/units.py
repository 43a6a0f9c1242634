"""Units of measurement and the exact way from one to another of its dimension.

Every factor is a definition, not a measurement, and is held as a fraction: the International System of Units (SI
Brochure, 9th edition), the yard and pound agreement of 1959 and what follows from it (NIST Special Publication 811,
appendix B), binary prefixes by IEC 80000-13. Units of which there are several under one name (gallon, ton, horsepower)
are here under the name that tells which.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from functools import cache
from typing import NamedTuple


class Unit(NamedTuple):
    """A unit: a value of x in it is `x * scale + offset` in the base unit of its dimension."""

    dimension: str
    scale: Fraction
    offset: Fraction


class Conversion(NamedTuple):
    """From one unit to another: `(x * times + plus) / over`.

    All three are integers wherever they fit into a float, so that a whole number is rounded once, at the division."""

    times: float
    plus: float
    over: float


_INCH, _POUND, _GRAVITY = Fraction("0.0254"), Fraction("0.45359237"), Fraction("9.80665")
_GALLON, _IMPERIAL_GALLON = 231 * _INCH**3 * 1000, Fraction("4.54609")
_FOOT, _MILE = 12 * _INCH, 63_360 * _INCH

_TABLE: dict[str, dict[str, str | int | Fraction]] = {
    "length": {
        "metre m meter": 1,
        "kilometre km kilometer": 1000,
        "decimetre dm decimeter": "0.1",
        "centimetre cm centimeter": "0.01",
        "millimetre mm millimeter": "0.001",
        "micrometre um µm micrometer": "1e-6",
        "inch in": _INCH,
        "foot ft": _FOOT,
        "yard yd": 3 * _FOOT,
        "mile mi": _MILE,
        "nautical_mile nmi": 1852,
    },
    "mass": {
        "kilogram kg": 1,
        "gram g": "0.001",
        "milligram mg": "1e-6",
        "microgram ug µg": "1e-9",
        "tonne t": 1000,
        "pound lb": _POUND,
        "ounce oz": _POUND / 16,
        "stone st": 14 * _POUND,
        "short_ton": 2000 * _POUND,
        "long_ton": 2240 * _POUND,
    },
    "time": {
        "second s sec": 1,
        "millisecond ms": "0.001",
        "microsecond us µs": "1e-6",
        "nanosecond ns": "1e-9",
        "minute min": 60,
        "hour h hr": 3600,
        "day d": 86_400,
        "week": 604_800,
    },
    "area": {
        "square_metre m2 m² sqm square_meter": 1,
        "square_kilometre km2 km² square_kilometer": 1_000_000,
        "square_centimetre cm2 cm² square_centimeter": "0.0001",
        "square_millimetre mm2 mm² square_millimeter": "1e-6",
        "are": 100,
        "hectare ha": 10_000,
        "square_inch in2 sqin": _INCH**2,
        "square_foot ft2 sqft": _FOOT**2,
        "square_yard yd2 sqyd": (3 * _FOOT) ** 2,
        "square_mile mi2 sqmi": _MILE**2,
        "acre": _MILE**2 / 640,
    },
    "volume": {
        "litre l L liter": 1,
        "millilitre ml mL milliliter": "0.001",
        "centilitre cl cL centiliter": "0.01",
        "decilitre dl dL deciliter": "0.1",
        "hectolitre hl hL hectoliter": 100,
        "cubic_metre m3 m³ cubic_meter": 1000,
        "cubic_centimetre cm3 cm³ cubic_centimeter": "0.001",
        "cubic_inch in3": _INCH**3 * 1000,
        "cubic_foot ft3": _FOOT**3 * 1000,
        "us_gallon": _GALLON,
        "us_quart": _GALLON / 4,
        "us_pint": _GALLON / 8,
        "us_cup": _GALLON / 16,
        "us_fluid_ounce": _GALLON / 128,
        "imperial_gallon": _IMPERIAL_GALLON,
        "imperial_pint": _IMPERIAL_GALLON / 8,
        "imperial_fluid_ounce": _IMPERIAL_GALLON / 160,
        "oil_barrel": 42 * _GALLON,
    },
    "speed": {
        "metre_per_second m/s mps": 1,
        "kilometre_per_hour km/h kmh kph": Fraction(1000, 3600),
        "mile_per_hour mph mi/h": _MILE / 3600,
        "foot_per_second ft/s fps": _FOOT,
        "knot kn kt": Fraction(1852, 3600),
    },
    "energy": {
        "joule J": 1,
        "kilojoule kJ": 1000,
        "megajoule MJ": 1_000_000,
        "gigajoule GJ": 10**9,
        "watt_hour Wh": 3600,
        "kilowatt_hour kWh": 3_600_000,
        "megawatt_hour MWh": 3_600_000_000,
        "gigawatt_hour GWh": 3_600_000_000_000,
        "calorie cal": "4.184",
        "kilocalorie kcal": 4184,
        "btu BTU": "1055.05585262",
    },
    "power": {
        "watt W": 1,
        "milliwatt mW": "0.001",
        "kilowatt kW": 1000,
        "megawatt MW": 1_000_000,
        "gigawatt GW": 10**9,
        "mechanical_horsepower hp": 550 * _FOOT * _POUND * _GRAVITY,
        "metric_horsepower PS": 75 * _GRAVITY,
    },
    "pressure": {
        "pascal Pa": 1,
        "hectopascal hPa": 100,
        "kilopascal kPa": 1000,
        "megapascal MPa": 1_000_000,
        "bar": 100_000,
        "millibar mbar mb": 100,
        "atmosphere atm": 101_325,
        "psi": _POUND * _GRAVITY / _INCH**2,
    },
    "data": {
        "byte B": 1,
        "bit": Fraction(1, 8),
        "kilobyte kB": 10**3,
        "megabyte MB": 10**6,
        "gigabyte GB": 10**9,
        "terabyte TB": 10**12,
        "petabyte PB": 10**15,
        "kibibyte KiB": 2**10,
        "mebibyte MiB": 2**20,
        "gibibyte GiB": 2**30,
        "tebibyte TiB": 2**40,
        "pebibyte PiB": 2**50,
        "kilobit kbit": Fraction(10**3, 8),
        "megabit Mbit": Fraction(10**6, 8),
        "gigabit Gbit": Fraction(10**9, 8),
    },
    "angle": {
        "degree deg °": 1,
        "radian rad": 180 / Fraction(math.pi),
        "arcminute arcmin": Fraction(1, 60),
        "arcsecond arcsec": Fraction(1, 3600),
        "turn revolution": 360,
        "gradian gon": Fraction(9, 10),
    },
    "share": {
        "share ratio fraction": 1,
        "percent % pct": "0.01",
        "permille ‰": "0.001",
        "basis_point bp bps": "0.0001",
        "ppm": "1e-6",
    },
}
"""Dimension → names of a unit, its own first → what one of it is in the dimension's base."""
_TEMPERATURES = {
    "kelvin K": (Fraction(1), Fraction(0)),
    "celsius degC °C C": (Fraction(1), Fraction("273.15")),
    "fahrenheit degF °F F": (Fraction(5, 9), Fraction("459.67") * 5 / 9),
    "rankine degR": (Fraction(5, 9), Fraction(0)),
}
_PLURALS = {"foot": "feet", "inch": "inches", "square_foot": "square_feet", "square_inch": "square_inches"}
_PLURALS |= {"cubic_foot": "cubic_feet", "cubic_inch": "cubic_inches", "us_fluid_ounce": "us_fluid_ounces"}
_WHICH = {
    "gallon": "us_gallon",
    "gal": "us_gallon",
    "pint": "us_pint",
    "quart": "us_quart",
    "cup": "us_cup",
    "barrel": "oil_barrel",
    "bbl": "oil_barrel",
    "ton": "tonne",
    "horsepower": "mechanical_horsepower",
}
"""Names that several units have → the one to ask about."""

CURRENCY = r"[A-Z]{3}"
"""The form of an ISO 4217 code."""


@cache
def units() -> dict[str, Unit]:
    """Every name of every unit."""
    found: dict[str, Unit] = {}
    for dimension, of_dimension in _TABLE.items():
        for names, scale in of_dimension.items():
            found |= dict.fromkeys(_spellings(names), Unit(dimension, Fraction(scale), Fraction(0)))
    for names, (scale, offset) in _TEMPERATURES.items():
        found |= dict.fromkeys(_spellings(names), Unit("temperature", scale, offset))
    return found


def _spellings(names: str) -> list[str]:
    """The names of a unit and the plurals of those that are words."""
    words = names.split()
    plurals = [_PLURALS.get(word, f"{word}s") for word in words if len(word) > 3 and word.replace("_", "").isalpha()]
    return [*words, *plurals]


def is_currency(name: str) -> bool:
    """Whether a name is taken for a currency's code: of the form of one, and no unit of the table."""
    return re.fullmatch(CURRENCY, name) is not None and name not in units()


def near_unit(name: str, dimension: str | None = None) -> str | None:
    """The unit that a name was probably meant to be."""
    if name in _WHICH:
        return _WHICH[name]
    known = {one.casefold(): one for one, unit in units().items() if dimension in (None, unit.dimension)}
    folded = name.strip().casefold().replace(" ", "_")
    if folded in known:
        return known[folded]
    close = difflib.get_close_matches(folded, known, n=1, cutoff=0.65)
    return known[close[0]] if close else None


def conversion(unit: str, to: str) -> Conversion:
    """How a value of one unit is written in another of the same dimension.

    Examples
    --------
    >>> conversion("mile", "km")
    Conversion(times=25146.0, plus=0.0, over=15625.0)
    >>> conversion("fahrenheit", "celsius")
    Conversion(times=5.0, plus=-160.0, over=9.0)
    """
    first, second = units()[unit], units()[to]
    if first.dimension != second.dimension:
        raise ValueError(f"{unit} is a unit of {first.dimension}, {to} of {second.dimension}")
    slope, shift = first.scale / second.scale, (first.offset - second.offset) / second.scale
    over = math.lcm(slope.denominator, shift.denominator)
    parts = (slope * over, shift * over, Fraction(over))
    if all(Fraction(float(part)) == part for part in parts):
        return Conversion(*map(float, parts))
    return Conversion(float(slope), float(shift), 1.0)


def names_of(dimension: str) -> list[str]:
    """Every name of the units of a dimension."""
    return [name for name, unit in units().items() if unit.dimension == dimension]


def rows() -> Iterator[tuple[str, list[str], str]]:
    """For people: dimension, names, and what one unit is in the first of its dimension."""
    for dimension, of_dimension in _TABLE.items():
        base = next(iter(of_dimension)).split()[0]
        for names, scale in of_dimension.items():
            yield dimension, names.split(), f"{_written(Fraction(scale))} {base}"
    for names in _TEMPERATURES:
        way = conversion(names.split()[0], "kelvin")
        yield "temperature", names.split(), f"(x × {way.times:g} + {way.plus:g}) / {way.over:g} kelvin"


def _written(scale: Fraction) -> str:
    digits = next((n for n in range(22) if (scale * 10**n).denominator == 1), None)
    return (
        f"{scale.numerator}/{scale.denominator}"
        if digits is None
        else f"{Decimal(scale.numerator) / scale.denominator:f}"
    )
