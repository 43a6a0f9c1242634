"""Statistics of several arguments, which pass over those that are null; hashes and buckets."""

from __future__ import annotations

from headrace.language import row_decimals
from headrace.language import row_lists as k
from headrace.language.functions.entries import form, function

STATISTICS = (
    function(
        "count_nulls",
        "How many arguments are null; they may be of different types.",
        form("A A... -> integer", "lists:count_nulls", k.count_nulls, total=True),
        written="count_nulls(a, b, …)",
        own_nulls=True,
        example="count_nulls(1, NULL, 'x') → 1",
    ),
    function(
        "count_true",
        "How many arguments are true.",
        form("boolean boolean... -> integer", "lists:count_true", k.count_true, total=True),
        written="count_true(a, b, …)",
        own_nulls=True,
        example="count_true(TRUE, NULL, FALSE, TRUE) → 2",
    ),
    function(
        "sum_of",
        "The sum of the arguments that are not null, from the left; null if all are.",
        form("integer integer... -> integer", "lists:sum_of_integers", k.sum_of_integers),
        form("float float... -> float", "lists:sum_of", k.sum_of),
        form("decimal decimal... -> decimal", "decimals:sum_of", row_decimals.sum_of),
        written="sum_of(a, b, …)",
        own_nulls=True,
        example="sum_of(1, NULL, 3) → 4",
    ),
    function(
        "mean_of",
        "The mean of the arguments that are not null; null if all are.",
        form("float float... -> float", "lists:mean_of", k.mean_of),
        written="mean_of(a, b, …)",
        own_nulls=True,
        example="mean_of(1, NULL, 4) → 2.5",
    ),
    function(
        "median_of",
        "The median of the arguments that are not null; null if all are.",
        form("float float... -> float", "lists:median_of", k.median_of),
        written="median_of(a, b, …)",
        own_nulls=True,
        example="median_of(9, 1, NULL, 2) → 2.0",
    ),
    function(
        "stddev_of",
        "The standard deviation (of a sample, n - 1) of the arguments that are not null; null if fewer than 2 are.",
        form("float float... -> float", "lists:stddev_of", k.stddev_of),
        written="stddev_of(a, b, …)",
        own_nulls=True,
        example="stddev_of(2, 4, NULL, 6) → 2.0",
    ),
    function(
        "max_of",
        "The largest of the arguments that are not null; null if all are.",
        form("O O... -> O", "lists:max_of", k.max_of),
        written="max_of(a, b, …)",
        own_nulls=True,
        example="max_of(1, NULL, 3) → 3",
    ),
    function(
        "min_of",
        "The smallest of the arguments that are not null; null if all are.",
        form("O O... -> O", "lists:min_of", k.min_of),
        written="min_of(a, b, …)",
        own_nulls=True,
        example="min_of('b', NULL, 'a') → 'a'",
    ),
    function(
        "argmax_of",
        "Which argument, counted from 1, is the first of the largest; nulls are passed over; null if all are.",
        form("O O... -> integer", "lists:argmax_of", k.argmax_of),
        written="argmax_of(a, b, …)",
        own_nulls=True,
        example="argmax_of(1, NULL, 3, 3) → 3",
    ),
    function(
        "argmin_of",
        "Which argument, counted from 1, is the first of the smallest; nulls are passed over; null if all are.",
        form("O O... -> integer", "lists:argmin_of", k.argmin_of),
        written="argmin_of(a, b, …)",
        own_nulls=True,
        example="argmin_of(NULL, 2, 1) → 3",
    ),
)
BUCKETS = (
    function(
        "bucket",
        "How many of the edges, constants in any order, are not above x: 0 below the lowest.",
        form("O !O... -> integer", "lists:bucket", k.bucket_in, total=True),
        written="bucket(x, edge, …)",
        example="bucket(18, 0, 18, 65) → 2",
    ),
    function(
        "width_bucket",
        "The number of the bucket of x among n of equal width from low to high: 0 below low, n + 1 from high on; low, "
        "high and n are constants.",
        form(
            "float !number !number !count -> integer",
            "lists:width_bucket",
            k.width_bucket_in,
            total=True,
            check=k.check_width,
        ),
        written="width_bucket(x, low, high, n)",
        example="width_bucket(5.35, 0.024, 10.06, 5) → 3",
    ),
    function(
        "hash64",
        "A hash that is the same everywhere and always: the 8 bytes of BLAKE2b over UTF-8, little-endian, as an "
        "integer; an integer and a decimal are hashed as their text.",
        form("string -> integer", "lists:hash64", k.hash64, total=True),
        form("integer -> integer", "lists:hash64_of_integer", k.hash64_of_integer, total=True),
        form("decimal -> integer", "decimals:hash64", row_decimals.hash64_of_decimal, total=True),
        example="hash64('N14228') → 6382560174508429078",
    ),
    function(
        "hash_bucket",
        "The bucket of a text, an integer or a decimal, 0 to n - 1, by its `hash64`; n is a constant.",
        form("string !count -> integer", "lists:hash_bucket", k.hash_bucket_in, total=True),
        form("integer !count -> integer", "lists:hash_bucket_of_integer", k.hash_bucket_of_integer_in, total=True),
        form("decimal !count -> integer", "decimals:hash_bucket", row_decimals.hash_bucket_in, total=True),
        written="hash_bucket(a, n)",
        example="hash_bucket('N14228', 100) → 78",
    ),
)
