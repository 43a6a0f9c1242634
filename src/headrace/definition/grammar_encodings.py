"""The language of [features.encodings]: how inputs reach the model."""

from __future__ import annotations

from typing import get_args

from headrace.definition.kinds import COLUMN, Choice, Key, ListOf, MapOf, Number, Section, Text, TextOrTable
from headrace.definition.model import EncodingKind, GroupTake

MOST_BUCKETS = 1024
MOST_WORDS = 5

_KINDS = ListOf(
    Choice(
        get_args(EncodingKind),
        {
            "ordinal": "codes",
            "label": "codes",
            "numeric": "number",
            "raw": "number",
            "count": "frequency",
            "mean": "target",
            "sincos": "cyclic",
            "text": "statistics",
            "hash": "hashed",
            "hashing": "hashed",
        },
    ),
    "encodings",
    one_allowed=True,
)

ENCODING = Section(
    "How one input reaches the model, with numbers of its own.",
    (
        Key("as", _KINDS, "The encodings, in the order of the inputs that they make; the plain one when left out."),
        Key("smoothing", Number(minimum=0), "target: rows of the overall mean added to each level's own.", default=20),
        Key(
            "min_rows",
            Number(minimum=1, whole=True),
            "codes, frequency, target, group: a level with fewer training rows is rare.",
            default=1,
        ),
        Key("buckets", Number(2, MOST_BUCKETS, whole=True), "hashed: inputs that pieces are counted in.", default=64),
        Key(
            "ngrams",
            ListOf(Number(1, MOST_WORDS, whole=True), "numbers of words", one_allowed=True),
            "hashed: how many words a piece has.",
            default=[1],
        ),
        Key("zone", Text("a time zone", "America/New_York"), "cyclic: whose clock and calendar.", default="UTC"),
        Key("group", COLUMN, "The input within whose levels a number is compared."),
        Key(
            "take",
            ListOf(
                Choice(get_args(GroupTake), {"avg": "mean", "stddev": "std", "diff": "difference", "z": "zscore"}),
                "statistics",
                one_allowed=True,
            ),
            "With `group`: what is taken of the group.",
        ),
    ),
)

ENCODINGS = MapOf(TextOrTable(_KINDS, ENCODING), "input")
