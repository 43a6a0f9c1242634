"""Normal forms: what of a value is compared. Case, accents, punctuation, titles and forms of companies do not count."""

from __future__ import annotations

from typing import Final

import polars as pl

from headrace.definition.model import MatchKind

COMPANY_FORMS: Final = (
    "inc", "incorporated", "corp", "corporation", "co", "company", "ltd", "limited", "llc", "llp", "plc", "lp",
    "gmbh", "mbh", "ag", "kg", "ohg", "ug", "ev", "sa", "sas", "sarl", "srl", "spa", "sl", "bv", "nv", "ab", "oy",
    "oyj", "as", "aps", "pty", "pte", "kk", "holding", "holdings", "group",
)  # fmt: skip
TITLES: Final = ("mr", "mrs", "ms", "miss", "dr", "prof", "sir", "herr", "frau", "mme", "jr", "sr")
STREET_WORDS: Final = {
    "street": "st", "road": "rd", "avenue": "ave", "av": "ave", "boulevard": "blvd", "drive": "dr", "lane": "ln",
    "court": "ct", "place": "pl", "square": "sq", "highway": "hwy", "apartment": "apt", "suite": "ste",
    "strasse": "str", "north": "n", "south": "s", "east": "e", "west": "w",
}  # fmt: skip
NICKNAMES: Final = {
    "abby": "abigail", "al": "albert", "alex": "alexander", "andy": "andrew", "tony": "anthony", "ben": "benjamin",
    "barb": "barbara", "becky": "rebecca", "beth": "elizabeth", "betty": "elizabeth", "liz": "elizabeth",
    "lizzie": "elizabeth", "bill": "william", "billy": "william", "will": "william", "bob": "robert", "bobby": "robert",
    "rob": "robert", "cathy": "catherine", "kathy": "katherine", "kate": "katherine", "katie": "katherine",
    "charlie": "charles", "chuck": "charles", "chris": "christopher", "cindy": "cynthia", "dan": "daniel",
    "danny": "daniel", "dave": "david", "deb": "deborah", "debbie": "deborah", "don": "donald", "doug": "douglas",
    "ed": "edward", "eddie": "edward", "fred": "frederick", "greg": "gregory", "hank": "henry", "jack": "john",
    "johnny": "john", "jake": "jacob", "jen": "jennifer", "jenny": "jennifer", "jerry": "gerald", "jim": "james",
    "jimmy": "james", "joe": "joseph", "joey": "joseph", "josh": "joshua", "ken": "kenneth", "kenny": "kenneth",
    "kim": "kimberly", "larry": "lawrence", "maggie": "margaret", "peggy": "margaret", "matt": "matthew",
    "mike": "michael", "mick": "michael", "nick": "nicholas", "pam": "pamela", "pat": "patricia", "patty": "patricia",
    "pete": "peter", "phil": "philip", "ray": "raymond", "rick": "richard", "dick": "richard", "rich": "richard",
    "ron": "ronald", "sam": "samuel", "sandy": "sandra", "steve": "steven", "sue": "susan", "susie": "susan",
    "ted": "theodore", "terry": "terence", "tim": "timothy", "tom": "thomas", "tommy": "thomas", "vicky": "victoria",
    "walt": "walter", "zach": "zachary",
}  # fmt: skip
"""Short forms of given names in English, lower case → the full form. Sound alone would not tell them."""

_LETTERS: Final = {"ß": "ss", "ø": "o", "ł": "l", "đ": "d", "æ": "ae", "œ": "oe", "ð": "d", "þ": "th", "ı": "i"}
_DATE_FORMATS: Final = ("%Y-%m-%d", "%Y%m%d", "%d.%m.%Y", "%d/%m/%Y", "%Y/%m/%d")
_LONGEST: Final = 256
"""Characters of a value that count: similarity costs the product of two lengths."""


def normal_form(values: pl.Series, kind: MatchKind) -> pl.Series:
    """The normal forms as text, null where nothing is left to compare.

    Dates become eight digits, numbers their shortest decimal form, positions "latitude longitude" in degrees."""
    column = pl.col(values.name)
    frame = values.to_frame()
    if kind == "date":
        made = _date(column, values.dtype)
    elif kind == "number":
        number = column.cast(pl.Float64, strict=False)
        made = pl.when(number.is_finite()).then(number).cast(pl.String)
    else:
        made = _TEXTS[kind](column.cast(pl.String))
    return frame.select(pl.when(made != "").then(made).str.slice(0, _LONGEST)).to_series()


def _plain(text: pl.Expr) -> pl.Expr:
    """Lower case without accents or punctuation, one blank between words."""
    # taken apart before the letters become small, as ⓐ and 🄐 are letters only then; and after, as İ gets a mark by that
    small = text.str.normalize("NFKD").str.to_lowercase().str.normalize("NFKD")
    bare = small.str.replace_all(r"\p{M}", "")
    bare = bare.str.replace_many(list(_LETTERS), list(_LETTERS.values()))
    bare = bare.str.replace_all(r"['’`´]", "").str.replace_all(r"[^\p{L}\p{N}]+", " ")
    return bare.str.strip_chars()


def _words(text: pl.Expr) -> pl.Expr:
    words = _plain(text).str.split(" ")
    return words.list.eval(pl.element().replace(STREET_WORDS)).list.join(" ")


def _name(text: pl.Expr) -> pl.Expr:
    plain = _plain(text)
    words = plain.str.split(" ")
    left = words.list.eval(pl.element().filter(~pl.element().is_in([*COMPANY_FORMS, *TITLES]))).list.join(" ")
    return pl.when(left != "").then(left).otherwise(plain)  # a name that is nothing but such words is kept


def _email(text: pl.Expr) -> pl.Expr:
    lower = text.str.to_lowercase().str.replace_all(r"\s", "")
    tagless = lower.str.replace(r"^([^@+]+)\+[^@]*@", "${1}@").str.replace(r"@googlemail\.com$", "@gmail.com")
    is_gmail = tagless.str.ends_with("@gmail.com")
    local = tagless.str.strip_suffix("@gmail.com").str.replace_all(".", "", literal=True)
    return pl.when(is_gmail).then(local + "@gmail.com").when(tagless.str.contains("@", literal=True)).then(tagless)


def _phone(text: pl.Expr) -> pl.Expr:
    """The last eight digits: with or without the country's and the trunk's, a number is the same."""
    before_extension = text.str.to_lowercase().str.replace(r"(ext|x|#).*$", "").str.replace_all("(0)", "", literal=True)
    digits = before_extension.str.replace_all(r"[^0-9]", "").str.strip_chars_start("0")
    return pl.when(digits.str.len_chars() >= 5).then(digits.str.slice(-8))


def _exact(text: pl.Expr) -> pl.Expr:
    return text.str.strip_chars()


def _geo(text: pl.Expr) -> pl.Expr:
    parts = text.str.extract_groups(r"^\s*\(?\s*([+-]?\d+(?:\.\d+)?)\s*[,; ]\s*([+-]?\d+(?:\.\d+)?)\s*\)?\s*$")
    latitude = parts.struct.field("1").cast(pl.Float64, strict=False)
    longitude = parts.struct.field("2").cast(pl.Float64, strict=False)
    is_there = latitude.is_between(-90, 90) & longitude.is_between(-180, 180)
    return pl.when(is_there).then(latitude.round(6).cast(pl.String) + " " + longitude.round(6).cast(pl.String))


def _date(column: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    if dtype.is_temporal():
        return column.cast(pl.Date).dt.strftime("%Y%m%d")
    text = column.cast(pl.String).str.strip_chars().str.slice(0, 10)
    return pl.coalesce(text.str.to_date(one, strict=False) for one in _DATE_FORMATS).dt.strftime("%Y%m%d")


_TEXTS = {"exact": _exact, "text": _words, "name": _name, "email": _email, "phone": _phone, "geo": _geo}
