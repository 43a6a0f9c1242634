"""Which columns likely hold personal data: by shape, checksum and the column's name. Evidence never quotes a value.

A kind is found when its values pass more often than chance would let them. Where k of n distinct values pass a check
that a wrong value passes with probability p, an accident is less likely than exp(-n·KL(k/n ‖ p)) (Chernoff, 1952). It
must be rarer than one in a million, or the column's name must say the same.
"""

from __future__ import annotations

import importlib
import math
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, Literal

from headrace.data.identifiers import GIVEN_NAMES, IDENTIFIERS, Identifier
from headrace.data.model import Personal
from headrace.language.types import Type

if TYPE_CHECKING:
    import polars as pl

LOOKED_AT: Final = 500
"""Distinct values of a column that are looked at."""
SHORTEST: Final = 6
"""Characters of the shortest identifier that is found without a name that says so; an IP address may have two."""
HIDDEN: Final = ("high", "medium")
"""With this confidence, a column's values are kept out of reports and pages."""
_ACCIDENT: Final = 6.0
"""Powers of ten: an accident must be rarer than one in a million."""
_MOST, _MANY, _SOME = 0.9, 0.8, 0.5
"""Shares of values that must pass: alone for high, alone for medium, with a name that says the same for medium."""
_CONFIDENCE: Final = {"high": 0, "medium": 1, "low": 2}
_TEXTS: Final = (Type.STRING, Type.CATEGORY)
_NAME_PARTS: Final = (
    *("first_name", "firstname", "given_name", "givenname", "forename", "last_name", "lastname", "surname"),
    *("family_name", "middle_name", "maiden_name", "full_name", "fullname", "vorname", "nachname", "familienname"),
    *("prenom", "nom_de_famille", "nombre", "apellido", "apellidos", "cognome", "sobrenome", "imie", "nazwisko"),
    *("customer_name", "client_name", "patient_name", "employee_name", "passenger_name", "contact_name"),
    *("holder_name", "cardholder", "cardholder_name", "account_holder", "person_name", "user_name", "member_name"),
)
_BIRTH: Final = (
    *("birth", "dob", "birthday", "birthdate", "date_of_birth", "born", "geburtsdatum", "geburtstag", "naissance"),
    *("date_naissance", "nacimiento", "fecha_nacimiento", "nascita", "birth_year", "year_of_birth"),
)
_LATITUDE: Final = ("lat", "latitude")
_LONGITUDE: Final = ("lon", "lng", "long", "longitude")
_POSTAL: Final = (
    "zip",
    "zipcode",
    "zip_code",
    "postal",
    "postcode",
    "post_code",
    "postal_code",
    "plz",
    "codigo_postal",
)
_PEOPLE: Final = (
    *("user", "customer", "client", "patient", "person", "member", "employee", "passenger", "driver", "rider"),
    *("subscriber", "contact", "device", "household", "guest", "student", "tenant"),
)
_PERSON_SHAPE: Final = r"^\p{L}[\p{L}.'’ -]{0,60}$"
_DATE_SHAPE: Final = r"^\d{1,4}[-./]\d{1,2}[-./]\d{1,4}(?:[ T].*)?$"
_POSTAL_SHAPE: Final = r"^[A-Za-z]{0,2}[- ]?\d[A-Za-z0-9 -]{1,8}$"


def find_personal(sample: pl.DataFrame, fields: Mapping[str, Type]) -> dict[str, tuple[Personal, ...]]:
    """Column → the kinds of personal data it likely holds, the most likely first; columns without any are left out.

    Coordinates and postal codes are personal where they are somebody's: only in a table that has another personal
    column or one that is named after people or their devices.
    """
    found: dict[str, list[Personal]] = {}
    texts: dict[str, pl.Series] = {}
    for name, type_ in fields.items():
        values = _distinct(sample[name], type_)
        if values is None or values.is_empty():
            continue
        texts[name] = values
        # measurements are most of what a table of thousands of columns has: a number with decimals identifies nobody
        is_measured = type_ in (Type.FLOAT, Type.DECIMAL) and "." in values[0]
        is_instant = type_ in (Type.DATE, Type.TIMESTAMP)
        kinds = [] if is_measured or is_instant else _identifiers(values, words_of(name))
        kinds += _people(values, name, type_)
        if kinds:
            found[name] = kinds
    if found or any(_says(words_of(name), _PEOPLE) for name in fields):
        for name, values in texts.items():
            places = _places(values, words_of(name), fields[name])
            if places:
                found.setdefault(name, []).extend(places)
    return {name: tuple(_ranked(kinds)) for name, kinds in found.items()}


def words_of(column: str) -> str:
    """A column's name as words in lower case with _ around each.

    >>> words_of("customerEMail2"), words_of("Date of birth")
    ('_customer_email_2_', '_date_of_birth_')
    """
    text = re.sub(r"(?<=[a-z])E-?Mail", "_email", column)
    text = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Za-z])(?=[0-9])", "_", text)
    return "_" + re.sub(r"[\W_]+", "_", text).strip("_").lower() + "_"


def _says(words: str, names: tuple[str, ...]) -> bool:
    return any(f"_{name}_" in words for name in names)


def _distinct(column: pl.Series, type_: Type) -> pl.Series | None:
    """Some distinct values as text, evenly over the sample; None for types that hold no identifier."""
    import polars as pl

    if type_ in (Type.BOOLEAN, Type.DURATION):
        return None
    values = column.drop_nulls().unique(maintain_order=True)
    values = values.gather_every(max(1, -(-len(values) // LOOKED_AT)))
    if type_ is Type.DECIMAL:
        values = values.cast(pl.Float64)
    if type_ in (Type.FLOAT, Type.DECIMAL):
        values = values.filter(values.is_finite())
        if len(values) and bool(((values == values.floor()) & (values.abs() < 2**53)).all()):
            values = values.cast(pl.Int64)
    texts = values.cast(pl.String).str.strip_chars()
    if type_ is Type.INTEGER and len(texts):  # leading zeros are lost in numbers
        lengths = texts.str.len_chars()
        longest = int(lengths.max())  # type: ignore[arg-type]  # lengths are whole numbers
        if longest >= 8 and int(lengths.min()) >= longest - 2:  # type: ignore[arg-type]
            texts = texts.str.zfill(longest)
    return texts


def _identifiers(values: pl.Series, words: str) -> list[Personal]:
    import polars as pl

    longest = int(values.str.len_chars().max())  # type: ignore[arg-type]  # lengths are whole numbers
    candidates = [one for one in IDENTIFIERS if _says(words, one.names) or (one.chance < 1.0 and longest >= SHORTEST)]
    if not candidates:
        return []
    text = values.alias("text").to_frame()
    is_shaped = [pl.col("text").str.contains(rf"^(?:{one.pattern})$") for one in candidates]
    shaped = text.select(shape.sum().alias(one.kind) for one, shape in zip(candidates, is_shaped, strict=True)).row(0)
    found = []
    for one, shape, count in zip(candidates, is_shaped, shaped, strict=True):
        if count < _SOME * len(values):
            continue
        passed = _checked(one, text.filter(shape)["text"]) if one.module else count
        kind = _judged(one, passed, len(values), is_named=_says(words, one.names))
        if kind is not None:
            found.append(kind)
    return found


def _checked(one: Identifier, shaped: pl.Series) -> int:
    """How many of the shaped values pass the checksum."""
    is_valid = importlib.import_module(f"stdnum.{one.module}").is_valid
    return sum(1 for text in shaped.to_list() if is_valid(text))


def _judged(one: Identifier, passed: int, seen: int, *, is_named: bool) -> Personal | None:
    share = passed / seen
    rarity = _rarity(passed, seen, one.chance)
    confidence: Literal["high", "medium", "low"] | None = None
    is_no_accident = rarity >= _ACCIDENT
    if (is_named and share >= _MANY) or (is_no_accident and one.is_certain and share >= _MOST):
        confidence = "high"
    elif (is_named and share >= _SOME) or (is_no_accident and one.is_certain and share >= _MANY):
        confidence = "medium"
    elif is_no_accident and share >= _MOST:
        confidence = "low"
    if confidence is None:
        return None
    how = "by shape and checksum" if one.module else "by shape"
    said = "; the column's name says the same" if is_named else ""
    evidence = f"{passed:,} of {seen:,} distinct values looked at are of this kind {how}{said}"
    kind = one.kind.removesuffix("-digits")
    return Personal(kind=kind, label=one.label, share=share, confidence=confidence, evidence=evidence)


def _rarity(passed: int, seen: int, chance: float) -> float:
    """How many powers of ten below 1 the probability is that so many values pass by accident; 0 at chance."""
    share = passed / seen
    if share <= chance or chance >= 1:
        return 0.0
    rest = (1 - share) * math.log((1 - share) / (1 - chance)) if share < 1 else 0.0
    return seen * (share * math.log(share / chance) + rest) / math.log(10)


def _people(values: pl.Series, column: str, type_: Type) -> list[Personal]:
    """Names and dates of birth: the column's name and the shape of its values together."""
    words, seen = words_of(column), len(values)
    if _says(words, _BIRTH):
        shaped = _birth_dates(values, type_)
        if shaped >= _MANY * seen:
            evidence = f"the column's name says so, and {shaped:,} of {seen:,} distinct values looked at are plausible"
            return [_personal("birth-date", "date of birth", shaped / seen, "high", evidence)]
    if type_ not in _TEXTS:
        return []
    shaped = int(values.str.contains(_PERSON_SHAPE).sum())
    if shaped < _MANY * seen:
        return []
    if _says(words, _NAME_PARTS):
        evidence = f"the column's name says so, and {shaped:,} of {seen:,} distinct values looked at have the shape"
        return [_personal("name", "name of a person", shaped / seen, "high", evidence)]
    if "name" in words:
        known = sum(1 for text in values.to_list() if text.replace(",", " ").split(" ")[0].lower() in GIVEN_NAMES)
        if known >= 0.25 * seen and known >= 2:
            evidence = (
                f"the column is called a name, and {known:,} of {seen:,} distinct values looked at begin with a "
                "frequent given name"
            )
            return [_personal("name", "name of a person", known / seen, "medium", evidence)]
    return []


def _birth_dates(values: pl.Series, type_: Type) -> int:
    if type_ in (Type.DATE, Type.TIMESTAMP):
        years = values.str.slice(0, 4)
        return int(years.is_between("1890", "2100").sum())
    if type_ is Type.INTEGER:
        return int(values.str.contains(r"^(?:18[89]|19\d|20[0-4])\d(?:[01]\d[0-3]\d)?$").sum())
    return int(values.str.contains(_DATE_SHAPE).sum())


def _places(values: pl.Series, words: str, type_: Type) -> list[Personal]:
    """Where somebody lives or is."""
    import polars as pl

    seen = len(values)
    if type_ in (Type.FLOAT, Type.DECIMAL) and (_says(words, _LATITUDE) or _says(words, _LONGITUDE)):
        reach = 90 if _says(words, _LATITUDE) else 180
        numbers = values.cast(pl.Float64, strict=False)
        fine = int(((numbers.abs() <= reach) & values.str.contains(r"\.\d{3,}")).fill_null(value=False).sum())
        if fine >= _SOME * seen:
            evidence = f"the column's name says so, and {fine:,} of {seen:,} distinct values tell a place to 100 m"
            return [_personal("coordinates", "where somebody is or lives", fine / seen, "medium", evidence)]
    if type_ in (*_TEXTS, Type.INTEGER) and _says(words, _POSTAL):
        shaped = int(values.str.contains(_POSTAL_SHAPE).sum())
        if shaped >= _MANY * seen:
            evidence = f"the column's name says so, and {shaped:,} of {seen:,} distinct values have the shape"
            return [_personal("postal-code", "postal code of somebody", shaped / seen, "medium", evidence)]
    return []


def _personal(
    kind: str, label: str, share: float, confidence: Literal["high", "medium", "low"], evidence: str
) -> Personal:
    return Personal(kind=kind, label=label, share=share, confidence=confidence, evidence=evidence)


def _ranked(kinds: list[Personal]) -> list[Personal]:
    """By confidence and share; a kind that two shapes found is told once."""
    ranked = sorted(kinds, key=lambda one: (_CONFIDENCE[one.confidence], -one.share, one.kind))
    return list({one.kind: one for one in reversed(ranked)}.values())[::-1]
