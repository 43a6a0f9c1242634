"""A labelled table with planted duplicates: people and companies, and what happens to them on their way into a system.

Names are drawn as often as they are borne: from the census lists inside the PyPI package `names`, and short forms from
the package `nicknames`, so both must be in the environment that `--names` points to.
"""

from __future__ import annotations

import csv
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import accumulate
from pathlib import Path

import polars as pl

PLANTED = 0.25
"""Share of the entities that have further rows."""
COMPANIES = 0.12

_STREETS = (
    "Oak", "Maple", "Cedar", "Pine", "Elm", "Washington", "Lake", "Hill", "Park", "Main", "Church", "High", "Mill",
    "River", "Spring", "Ridge", "Forest", "Meadow", "Sunset", "Lincoln", "Jackson", "Franklin", "Jefferson",
    "Madison", "Walnut", "Chestnut", "Highland", "Dogwood", "Hickory", "Willow", "Poplar", "Birch", "Laurel",
    "Magnolia", "Cherry", "Cypress", "Valley", "Prospect", "Center", "Union", "School", "Railroad", "Pleasant",
    "Academy", "College", "Market", "Bridge",
)  # fmt: skip
_ENDS = ("Street", "Avenue", "Road", "Drive", "Lane", "Court", "Place", "Boulevard")
_CITIES = (
    "New York", "Los Angeles", "Chicago", "Houston", "Phoenix", "Philadelphia", "San Antonio", "San Diego",
    "Dallas", "San Jose", "Austin", "Jacksonville", "Fort Worth", "Columbus", "Charlotte", "Indianapolis",
    "San Francisco", "Seattle", "Denver", "Boston", "El Paso", "Nashville", "Detroit", "Oklahoma City", "Portland",
    "Las Vegas", "Memphis", "Louisville", "Baltimore", "Milwaukee", "Albuquerque", "Tucson", "Fresno",
    "Sacramento", "Kansas City", "Mesa", "Atlanta", "Omaha", "Colorado Springs", "Raleigh", "Miami", "Oakland",
    "Minneapolis", "Tulsa", "Wichita", "Arlington", "Cleveland", "New Orleans", "Tampa", "Honolulu",
)  # fmt: skip
_TRADES = (
    "Logistics", "Foods", "Software", "Energy", "Partners", "Consulting", "Plumbing", "Motors", "Dental",
    "Textiles", "Media", "Farms", "Labs",
)  # fmt: skip
_FORMS = ("Inc.", "LLC", "Ltd", "Corp.", "Co.")
_HOSTS = ("gmail.com", "yahoo.com", "hotmail.com", "outlook.com", "aol.com", "icloud.com")
_SCANNED = {"l": "1", "o": "0", "m": "rn", "e": "c", "i": "l", "s": "5", "b": "6", "u": "v", "g": "q", "a": "o"}


@dataclass
class Row:
    """One row as a system holds it; None is missing."""

    given: str | None
    surname: str | None
    email: str | None
    phone: str | None
    born: date | None
    street: str | None
    city: str | None

    def name(self) -> str | None:
        """The whole name, in one field."""
        return " ".join(part for part in (self.given, self.surname) if part) or None


class Names:
    """Names and how often they are borne."""

    def __init__(self, site_packages: Path) -> None:
        folder = site_packages / "names"
        self._surnames = _weighted(folder / "dist.all.last")
        self._given = [_weighted(folder / f"dist.{sex}.first") for sex in ("female", "male")]
        self.short: dict[str, list[str]] = {}
        with (site_packages / "nicknames" / "names.csv").open(encoding="utf-8") as file:
            for line in csv.DictReader(file):
                self.short.setdefault(line["name1"].title(), []).append(line["name2"].title())

    def surname(self, rng: random.Random) -> str:
        return rng.choices(self._surnames[0], cum_weights=self._surnames[1])[0]

    def given(self, rng: random.Random) -> str:
        names, weights = self._given[rng.random() < 0.5]
        return rng.choices(names, cum_weights=weights)[0]


def _weighted(path: Path) -> tuple[list[str], list[float]]:
    lines = [line.split() for line in path.read_text().splitlines() if line.strip()]
    return [line[0].title() for line in lines], list(accumulate(max(float(line[1]), 0.0005) for line in lines))


def planted(rows: int, seed: int, site_packages: Path) -> pl.DataFrame:
    """A table of about `rows` rows; `entity` is the truth."""
    rng, names = random.Random(seed), Names(site_packages)
    made: list[tuple[int, Row]] = []
    entity = 0
    household: Row | None = None
    while len(made) < rows:
        original = _company(rng, names) if rng.random() < COMPANIES else _person(rng, names, household)
        household = original if original.born and rng.random() < 0.15 else None
        made.append((entity, original))
        if rng.random() < PLANTED:
            copies = rng.choices((1, 2, 3), weights=(75, 18, 7))[0]
            made += [(entity, _corrupted(rng, names, original)) for _ in range(copies)]
        entity += 1
    rng.shuffle(made)
    held = [
        {
            "entity": number,
            "name": row.name(),
            "given": row.given,
            "surname": row.surname,
            "email": row.email,
            "phone": row.phone,
            "born": row.born,
            "street": row.street,
            "city": row.city,
        }
        for number, row in made
    ]
    return pl.DataFrame(held, infer_schema_length=None).with_columns(pl.col("born").cast(pl.Date))


def _person(rng: random.Random, names: Names, household: Row | None) -> Row:
    given, surname = names.given(rng), names.surname(rng)
    street, city, phone = _street(rng), _city(rng), _phone(rng)
    if household is not None:  # of one family: shares the address, often the telephone, mostly the name
        street, city = household.street or street, household.city or city
        surname = (household.surname or surname) if rng.random() < 0.8 else surname
        phone = (household.phone or phone) if rng.random() < 0.4 else phone
    born = date(1935, 1, 1) + timedelta(days=rng.randrange(70 * 365))
    row = Row(given, surname, _email(rng, given, surname), phone, born, street, city)
    for field, share in (("email", 0.2), ("phone", 0.2), ("born", 0.1), ("street", 0.1), ("city", 0.03)):
        if rng.random() < share:
            setattr(row, field, None)
    return row


def _company(rng: random.Random, names: Names) -> Row:
    name = f"{names.surname(rng)} {rng.choice(_TRADES)}"
    host = name.lower().replace(" ", "") + rng.choice((".com", ".net", ".org"))
    email = None if rng.random() < 0.2 else f"{rng.choice(('info', 'sales', 'office', 'contact'))}@{host}"
    return Row(None, f"{name} {rng.choice(_FORMS)}", email, _phone(rng), None, _street(rng), _city(rng))


def _email(rng: random.Random, given: str, surname: str) -> str:
    forms = (f"{given}.{surname}", f"{given[0]}{surname}", f"{given}{surname}", f"{surname}.{given[0]}")
    digits = str(rng.randrange(1, 1000)) if rng.random() < 0.6 else ""
    return f"{rng.choice(forms).lower()}{digits}@{rng.choice(_HOSTS)}"


def _phone(rng: random.Random) -> str:
    area, exchange, line = rng.randrange(201, 990), rng.randrange(200, 1000), rng.randrange(10_000)
    return rng.choice(("({}) {}-{:04}", "{}-{}-{:04}", "+1 {} {} {:04}", "{}{}{:04}")).format(area, exchange, line)


def _street(rng: random.Random) -> str:
    return f"{rng.randrange(1, 2000)} {rng.choice(_STREETS)} {rng.choice(_ENDS)}"


def _city(rng: random.Random) -> str:
    return rng.choices(_CITIES, weights=[1 / (n + 3) for n in range(len(_CITIES))])[0]


def _corrupted(rng: random.Random, names: Names, original: Row) -> Row:
    row = Row(**vars(original))
    for change in rng.choices(_CHANGES, weights=_OFTEN, k=rng.choices((0, 1, 2, 3, 4), weights=(8, 34, 32, 18, 8))[0]):
        change(rng, names, row)
    if row.phone is not None and rng.random() < 0.5:
        digits = "".join(c for c in row.phone if c.isdigit())
        row.phone = digits[-10:-7] + " " + digits[-7:-4] + " " + digits[-4:]
    return row


def _typo(rng: random.Random, text: str) -> str:
    if len(text) < 3:
        return text
    at, letter = rng.randrange(1, len(text) - 1), rng.choice("abcdefghijklmnopqrstuvwxyz")
    return rng.choice(
        (
            text[:at] + text[at + 1 :],
            text[:at] + letter + text[at:],
            text[:at] + letter + text[at + 1 :],
            text[:at] + text[at + 1] + text[at] + text[at + 2 :],
        )
    )


def _change_typo(rng: random.Random, _: Names, row: Row) -> None:
    field = rng.choice(("given", "surname", "surname", "email", "street", "city"))
    if (value := getattr(row, field)) is not None:
        setattr(row, field, _typo(rng, value))


def _change_scan(rng: random.Random, _: Names, row: Row) -> None:
    field = rng.choice(("given", "surname", "street", "email"))
    value = getattr(row, field)
    if value is not None and (places := [n for n, c in enumerate(value) if c in _SCANNED]):
        at = rng.choice(places)
        setattr(row, field, value[:at] + _SCANNED[value[at]] + value[at + 1 :])


def _change_swap(_: random.Random, __: Names, row: Row) -> None:
    if row.given and row.surname:
        row.given, row.surname = row.surname, row.given


def _change_missing(rng: random.Random, _: Names, row: Row) -> None:
    setattr(row, rng.choice(("email", "phone", "born", "street", "city", "given")), None)
    if row.name() is None:
        row.surname = "Unknown"


def _change_short(rng: random.Random, names: Names, row: Row) -> None:
    if row.given in names.short:
        row.given = rng.choice(names.short[row.given])
    elif row.given and rng.random() < 0.3:
        row.given = row.given[0] + "."


def _change_moved(rng: random.Random, _: Names, row: Row) -> None:
    row.street = _street(rng)
    row.city = _city(rng) if rng.random() < 0.5 else row.city
    row.phone = _phone(rng) if rng.random() < 0.5 else row.phone


def _change_surname(rng: random.Random, names: Names, row: Row) -> None:
    if row.given and row.surname:
        new = names.surname(rng)
        row.surname = f"{row.surname}-{new}" if rng.random() < 0.3 else new


def _change_email(rng: random.Random, _: Names, row: Row) -> None:
    if row.email and row.given and row.surname:
        row.email = _email(rng, row.given, row.surname)


def _change_born(rng: random.Random, _: Names, row: Row) -> None:
    if row.born is not None:
        if row.born.day <= 12 and rng.random() < 0.5:
            row.born = row.born.replace(month=row.born.day, day=row.born.month)
        else:
            row.born += timedelta(days=rng.choice((-10, -1, 1, 10, 365)))


def _change_phone(rng: random.Random, _: Names, row: Row) -> None:
    if row.phone:
        at = rng.choice([n for n, c in enumerate(row.phone) if c.isdigit()])
        row.phone = row.phone[:at] + rng.choice("0123456789") + row.phone[at + 1 :]


_CHANGES: Sequence[Callable[[random.Random, Names, Row], None]] = (
    _change_typo, _change_scan, _change_swap, _change_missing, _change_short, _change_moved, _change_surname,
    _change_email, _change_born, _change_phone,
)  # fmt: skip
_OFTEN = (26, 10, 6, 16, 8, 10, 4, 6, 7, 7)
