"""Personal data is found by kind in typed columns, and nothing else is taken for it."""

from __future__ import annotations

import datetime as dt
import random
import sqlite3
import string
import uuid
from collections.abc import Callable
from contextlib import closing

import polars as pl
import pytest
from stdnum import luhn
from stdnum.ar import cuit
from stdnum.be import nn
from stdnum.bg import egn
from stdnum.br import cpf
from stdnum.cn import ric
from stdnum.de import idnr
from stdnum.es import dni
from stdnum.fr import nir
from stdnum.it import codicefiscale
from stdnum.nl import bsn
from stdnum.no import fodselsnummer
from stdnum.pl import pesel
from stdnum.tr import tckimlik
from tests.examples import example_data

from headrace.data.identifiers import IDENTIFIERS
from headrace.data.personal import SHORTEST, find_personal, words_of
from headrace.language.types import Type
from headrace.language.values import type_of_dtype

Draw = Callable[[random.Random], str]


def digits(draw: random.Random, n: int) -> str:
    return "".join(draw.choices(string.digits, k=n))


def day(draw: random.Random) -> dt.date:
    return dt.date(1940, 1, 1) + dt.timedelta(days=draw.randrange(23_000))


def until_valid(make: Draw, is_valid: Callable[[str], bool]) -> Draw:
    def drawn(draw: random.Random) -> str:
        return next(text for text in iter(lambda: make(draw), None) if is_valid(text))

    return drawn


def born(form: str, tail: int, is_valid: Callable[[str], bool]) -> Draw:
    return until_valid(lambda draw: f"{day(draw):{form}}" + digits(draw, tail), is_valid)


def iban(draw: random.Random) -> str:
    account = "DE00" + digits(draw, 18)
    number = int("".join(str(int(c, 36)) for c in account[4:] + account[:4]))
    return f"DE{98 - number % 97:02d}{account[4:]}"


def nir_of(draw: random.Random) -> str:
    number = (
        f"{draw.choice('12')}{draw.randrange(40, 99)}{draw.randrange(1, 13):02d}{draw.randrange(1, 95):02d}"
        + digits(draw, 6)
    )
    return number + nir.calc_check_digits(number)


def nino(draw: random.Random) -> str:
    return draw.choice("ABCEGH") + draw.choice("ABCEGH") + digits(draw, 6) + draw.choice("ABCD")


def fiscal(draw: random.Random) -> str:
    letters = "".join(draw.choices("BCDFGLMNPRSTVZ", k=6))
    month, of_month = draw.choice("ABCDEHLMPRST"), draw.randrange(1, 29)
    text = f"{letters}{draw.randrange(40, 99)}{month}{of_month:02d}F{draw.randrange(100, 999)}"
    return text + codicefiscale.calc_check_digit(text)


def names(draw: random.Random) -> str:
    first = draw.choice(["Maria", "John", "Petra", "Ahmed", "Chloé", "Yuki", "Ivan", "Ana"])
    return f"{first} {draw.choice(['Smith', 'Nguyen', 'García', 'Okafor', 'Müller', 'Rossi'])}{draw.choice('aeiou')}"


KINDS: dict[str, tuple[str, Draw]] = {
    "email": ("c1", lambda d: f"{digits(d, 4)}.x@mail{d.randrange(9)}.example.org"),
    "ip-address": ("c2", lambda d: ".".join(str(d.randrange(256)) for _ in range(4))),
    "mac-address": ("c3", lambda d: ":".join(f"{d.randrange(256):02x}" for _ in range(6))),
    "uuid": ("device_id", lambda d: str(uuid.UUID(int=d.getrandbits(128)))),
    "imei": ("c4", lambda d: (t := "35" + digits(d, 12)) + luhn.calc_check_digit(t)),
    "phone": ("c5", lambda d: f"+44 20 {digits(d, 4)} {digits(d, 4)}"),
    "iban": ("c6", iban),
    "credit-card": ("c7", lambda d: (t := "4" + digits(d, 14)) + luhn.calc_check_digit(t)),
    "us-ssn": ("c8", lambda d: f"{d.randrange(100, 665)}-{d.randrange(10, 99)}-{d.randrange(1000, 9999)}"),
    "gb-nino": ("national_insurance", nino),
    "fr-nir": ("c9", nir_of),
    "de-idnr": ("c10", until_valid(lambda d: str(d.randrange(1, 10)) + digits(d, 10), idnr.is_valid)),
    "it-codice-fiscale": ("c11", fiscal),
    "es-dni": ("c12", lambda d: (t := digits(d, 8)) + dni.calc_check_digit(t)),
    "pl-pesel": ("c13", born("%y%m%d", 5, pesel.is_valid)),
    "nl-bsn": ("c14", until_valid(lambda d: digits(d, 9), bsn.is_valid)),
    "no-fodselsnummer": ("c15", born("%d%m%y", 5, fodselsnummer.is_valid)),
    "be-nn": ("c16", born("%y%m%d", 5, nn.is_valid)),
    "bg-egn": ("c17", born("%y%m%d", 4, egn.is_valid)),
    "br-cpf": (
        "c18",
        until_valid(lambda d: f"{digits(d, 3)}.{digits(d, 3)}.{digits(d, 3)}-{digits(d, 2)}", cpf.is_valid),
    ),
    "ar-cuit": ("c19", until_valid(lambda d: f"20-{digits(d, 8)}-{digits(d, 1)}", cuit.is_valid)),
    "cn-ric": ("c20", until_valid(lambda d: f"110101{day(d):%Y%m%d}{digits(d, 4)}", ric.is_valid)),
    "tr-tckimlik": ("c21", until_valid(lambda d: str(d.randrange(1, 10)) + digits(d, 10), tckimlik.is_valid)),
    "name": ("customerName", names),
    "birth-date": ("dob", lambda d: day(d).isoformat()),
    "street-address": ("street", lambda d: f"{d.randrange(1, 400)} Elm Street {d.choice('ABC')}"),
    "postal-code": ("zip_code", lambda d: digits(d, 5)),
}
"""Kind → a column's name, which mostly says nothing, and a value of the kind."""
ROWS = 120


def test_every_kind_is_found_by_its_values() -> None:
    """Of 100 columns, at least 95: with a tenth of the values mistyped, and blanks."""
    tried, missed = 0, []
    for seed in range(3):
        draw = random.Random(seed)
        for kind, (column, make) in KINDS.items():
            values = [make(draw) if draw.random() > 0.06 else "n/a" for _ in range(ROWS)]
            values = [f" {text}" if draw.random() < 0.02 else text for text in values]
            frame = pl.DataFrame({column: values, "customer_id": range(ROWS)})
            found = find_personal(frame, {column: Type.STRING, "customer_id": Type.INTEGER})
            tried += 1
            if kind not in [one.kind for one in found.get(column, ())]:
                missed.append(kind)
    assert len(missed) <= 0.05 * tried, f"missed {missed} of {tried}"


def test_numbers_stored_as_numbers_are_found_without_their_leading_zeros() -> None:
    draw = random.Random(1)
    for kind, type_ in (("nl-bsn", Type.INTEGER), ("credit-card", Type.INTEGER), ("imei", Type.FLOAT)):
        numbers = pl.Series([int(KINDS[kind][1](draw)) for _ in range(ROWS)])
        frame = pl.DataFrame({"c": numbers.cast(pl.Float64) if type_ is Type.FLOAT else numbers})
        assert kind in [one.kind for one in find_personal(frame, {"c": type_}).get("c", ())]


def test_evidence_and_names_hold_no_value() -> None:
    draw = random.Random(2)
    for column, make in KINDS.values():
        values = [make(draw) for _ in range(50)]
        for one in find_personal(pl.DataFrame({column: values}), {column: Type.STRING}).get(column, ()):
            assert not any(text in one.evidence or text in one.label for text in values)
            assert 0 < one.share <= 1


@pytest.mark.parametrize("name", ["flights", "weather", "planes", "airports", "airlines"])
def test_the_flights_tables_hold_none(name: str) -> None:
    data = example_data("flights")
    if name in ("airports", "airlines"):
        with closing(sqlite3.connect(data / "reference.db")) as database:
            frame = pl.read_database(f"SELECT * FROM {name}", database)
    elif name == "flights":
        frame = pl.read_csv(data / "flights" / "2013-0*.csv", null_values="NA", infer_schema_length=None)
    else:
        frame = (
            pl.read_parquet(data / "weather.parquet")
            if name == "weather"
            else pl.read_ndjson(data / "planes.ndjson", infer_schema_length=None)
        )
    fields = {column: type_ for column, dtype in frame.schema.items() if (type_ := type_of_dtype(dtype)) is not None}
    assert find_personal(frame, fields) == {}


def test_chance_passes_of_a_checksum_are_no_evidence() -> None:
    """Random and consecutive numbers of every length: one in ten passes, or none."""
    draw = random.Random(3)
    columns = {f"r{n}": [digits(draw, n) for _ in range(ROWS)] for n in range(4, 20)}
    columns |= {f"s{n}": [str(10**n + 7 * i) for i in range(ROWS)] for n in range(4, 19)}
    columns |= {f"d{n}": [f"{day(draw):%Y%m%d}{digits(draw, n)}" for _ in range(ROWS)] for n in range(8)}
    frame = pl.DataFrame(columns)
    assert find_personal(frame, dict.fromkeys(columns, Type.STRING)) == {}


def test_a_name_alone_is_no_evidence() -> None:
    frame = pl.DataFrame({"email": ["yes", "no"], "phone": ["1", "2"], "name": ["Lyon Airport", "Bologna Airport"]})
    assert find_personal(frame, dict.fromkeys(frame.columns, Type.STRING)) == {}


def test_coordinates_are_personal_only_where_they_are_somebodys() -> None:
    places = {"lat": [40.71234, 41.00051, 39.99981], "lon": [-74.00611, -73.91112, -75.00001]}
    fields = {"lat": Type.FLOAT, "lon": Type.FLOAT}
    assert find_personal(pl.DataFrame(places), fields) == {}
    rides = pl.DataFrame({**places, "rider_key": [1, 2, 3]})
    found = find_personal(rides, {**fields, "rider_key": Type.INTEGER})
    assert {name: one[0].kind for name, one in found.items()} == {"lat": "coordinates", "lon": "coordinates"}


def test_names_of_columns_become_words() -> None:
    assert words_of("customerEMail2") == "_customer_email_2_"
    assert words_of("Date of birth") == "_date_of_birth_"
    assert words_of("IBAN") == "_iban_"


def test_every_kind_has_its_checksum() -> None:
    """The modules are there: they are imported only when values have the shape."""
    import importlib

    for one in IDENTIFIERS:
        if one.module:
            assert callable(importlib.import_module(f"stdnum.{one.module}").is_valid)


def test_no_kind_that_its_shape_alone_tells_is_shorter_than_what_is_looked_at() -> None:
    draw = random.Random(4)
    for one in IDENTIFIERS:
        if one.chance < 1.0 and one.kind != "ip-address":
            short = pl.Series(
                ["".join(draw.choices("0123456789AX@.-:/ +", k=draw.randint(1, SHORTEST - 1))) for _ in range(5_000)]
            )
            assert not short.str.contains(rf"^(?:{one.pattern})$").any(), one.kind


def test_measurements_are_no_identifiers_and_whole_numbers_stored_as_floats_are() -> None:
    draw = random.Random(4)
    numbers = [f"{draw.randrange(10**9):09}" for _ in range(200_000)]
    valid = [float(number) for number in numbers if bsn.is_valid(number)][:300]
    found = find_personal(pl.DataFrame({"bsn": valid}), {"bsn": Type.FLOAT})
    assert [one.kind for one in found["bsn"]][:1] == ["nl-bsn"]
    measured = [value / 1e5 for value in valid]
    assert not find_personal(pl.DataFrame({"bsn": measured}), {"bsn": Type.FLOAT})
