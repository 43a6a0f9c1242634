"""The grammar of `[features]`: expressions, lookups, windows."""

from __future__ import annotations

from typing import get_args

from headrace.definition.grammar_encodings import ENCODINGS
from headrace.definition.grammar_parts import (
    COLUMNS,
    DURATION,
    EXPRESSION,
    NEW_COLUMN,
    NEW_COLUMN_EXPECTED,
    ONE_OR_MORE_COLUMNS,
    SOURCE_NAME,
    named,
)
from headrace.definition.kinds import COLUMN, Choice, ColumnPairs, Key, ListOf, MapOf, Section, Text, YesNo
from headrace.definition.model import Aggregate

LOOKUP = Section(
    "The newest row of a source known before prediction time: feature NAME_COLUMN for each of `take`.",
    (
        Key("source", SOURCE_NAME, "The source looked up.", True, 'write source = "weather"'),
        Key(
            "key",
            ColumnPairs(),
            "The columns that must be equal, of the request and of it.",
            True,
            'write key = ["origin"]',
        ),
        Key("take", ONE_OR_MORE_COLUMNS, "The columns to take.", True, 'write take = ["temp"]'),
        Key("max_age", DURATION, "How old a row may be; older gives null."),
    ),
)

WINDOW = Section(
    "Aggregates over what was known in a time before prediction: feature NAME_AGGREGATE_OVER for each.",
    (
        Key("source", SOURCE_NAME, "The source aggregated.", True, 'write source = "flights"'),
        Key(
            "key",
            ColumnPairs(),
            "The columns that must be equal, of the request and of it.",
            True,
            'write key = ["origin"]',
        ),
        Key("value", COLUMN, "The column aggregated; not needed for count, rate, seconds_since and decayed_count."),
        Key("where", EXPRESSION, "The rows that count: an expression over the source's columns; all when left out."),
        Key(
            "over",
            ListOf(Text("a duration", "1h"), "durations", one_allowed=True),
            "How far back; not needed for what decays.",
        ),
        Key(
            "half_life",
            ListOf(Text("a duration", "1d"), "durations", one_allowed=True),
            "After how long a value counts half, for decayed_sum, decayed_mean and decayed_count.",
        ),
        Key(
            "take",
            ListOf(
                Choice(
                    get_args(Aggregate),
                    {
                        **dict.fromkeys(("avg", "average"), "mean"),
                        **dict.fromkeys(("std", "sd", "stdev", "stddev_samp"), "stddev"),
                        **dict.fromkeys(("var", "var_samp"), "variance"),
                        **dict.fromkeys(("newest", "latest"), "last"),
                        **dict.fromkeys(("oldest", "earliest"), "first"),
                        **dict.fromkeys(("recency", "time_since", "age"), "seconds_since"),
                        **dict.fromkeys(("velocity", "per_hour", "frequency"), "rate"),
                        **dict.fromkeys(("distinct", "nunique", "count_distinct", "approx_count_distinct"), "n_unique"),
                        **dict.fromkeys(("mode", "most_frequent", "top"), "top1"),
                        **dict.fromkeys(("p50", "q50", "quantile"), "median"),
                        "total": "sum",
                        "n": "count",
                    },
                ),
                "aggregates",
                one_allowed=True,
            ),
            "What is computed.",
            required=True,
            fix='write take = ["mean", "count"]',
        ),
    ),
)

FEATURES = Section(
    "What the model sees beside the request columns.",
    (
        Key("expressions", MapOf(EXPRESSION, "feature", NEW_COLUMN, NEW_COLUMN_EXPECTED), "Feature → expression."),
        Key("lookups", named(LOOKUP, "lookup"), "Values of other sources, as of prediction time."),
        Key("windows", named(WINDOW, "window"), "Aggregates over the past."),
        Key("drop", COLUMNS, "Request columns and features that are not themselves inputs of the model."),
        Key("encodings", ENCODINGS, "How inputs reach the model, when not as codes and numbers."),
        Key("auto", YesNo(), "Whether features are proposed as well; true without [features].", default=False),
    ),
)
