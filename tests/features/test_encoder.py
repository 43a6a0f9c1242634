"""The encoder: one row alone and in a batch give the same float32 bits."""

from __future__ import annotations

import math
import struct
import subprocess
import sys
from typing import Any

import msgspec
import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.features.small import table

from headrace.data.model import Field
from headrace.features.encoder import LARGEST, MOST_LEVELS, encode_columns, row_encoder
from headrace.features.encodings.fitting import fit_encoder
from headrace.features.model import CategoryLevels, Encoder
from headrace.language.types import Type

TYPES = {"text": Type.CATEGORY, "real": Type.FLOAT, "whole": Type.INTEGER, "flag": Type.BOOLEAN, "amount": Type.DECIMAL}
FIELDS = [Field(name=name, type=type_) for name, type_ in TYPES.items()]

rows_of = st.lists(
    st.fixed_dictionaries(
        {
            "text": st.one_of(st.none(), st.sampled_from(["a", "b", ""]), st.text(max_size=3)),
            "real": st.one_of(st.none(), st.floats(allow_nan=False), st.floats(width=32, allow_nan=False)),
            "whole": st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1)),
            "flag": st.one_of(st.none(), st.booleans()),
            "amount": st.one_of(st.none(), st.integers(-(10**18) + 1, 10**18 - 1), st.integers(-(10**8), 10**8)),
        }
    ),
    min_size=1,
    max_size=20,
)


@settings(max_examples=150)
@given(rows_of, rows_of)
def test_a_row_alone_and_in_a_batch_are_equal_to_the_bit(
    fitted: list[dict[str, Any]], rows: list[dict[str, Any]]
) -> None:
    encoder = fit_encoder(FIELDS, table(TYPES, fitted))
    encoder = msgspec.json.decode(msgspec.json.encode(encoder), type=Encoder)
    matrix = encode_columns(encoder, table(TYPES, rows))
    encode = row_encoder(encoder)
    assert matrix.dtype == np.float32
    assert matrix.flags.c_contiguous
    assert [encode([row[name] for name in TYPES]) for row in rows] == [line.tobytes() for line in matrix]


def test_levels_are_the_most_frequent_first_and_the_rest_share_a_code() -> None:
    values = ["b", "a", "a", "c", "b", "d", None]
    encoder = fit_encoder(FIELDS[:1], pl.DataFrame({"text": values}))
    encoding = encoder.columns[0].encoding
    assert isinstance(encoding, CategoryLevels)
    assert encoding.levels == ("a", "b", "c", "d")
    codes = encode_columns(encoder, pl.DataFrame({"text": ["a", "d", "new", None]}))[:, 0]
    assert codes[:3].tolist() == [0.0, 3.0, 4.0]
    assert math.isnan(codes[3])


def test_a_category_of_a_million_levels_keeps_the_most_frequent() -> None:
    values = pl.DataFrame({"text": pl.int_range(1_000_000, eager=True).cast(pl.String)}).vstack(
        pl.DataFrame({"text": ["often"] * 3})
    )
    encoder = fit_encoder(FIELDS[:1], values)
    encoding = encoder.columns[0].encoding
    assert isinstance(encoding, CategoryLevels)
    assert len(encoding.levels) == MOST_LEVELS
    assert encoding.levels[:2] == ("often", "0")
    assert encode_columns(encoder, values[-4:])[:, 0].tolist() == [MOST_LEVELS, 0.0, 0.0, 0.0]


def test_magnitudes_beyond_float32_are_clamped() -> None:
    encoder = fit_encoder(FIELDS[1:2], pl.DataFrame({"real": [1.0, 3.0, math.inf]}))
    assert encoder.columns[0].typical == 3.0
    encode = row_encoder(encoder)
    assert [struct.unpack("<f", encode([value]))[0] for value in (math.inf, -1e300)] == [LARGEST, -LARGEST]


def test_a_column_of_nulls_is_encoded() -> None:
    encoder = fit_encoder(FIELDS, table(TYPES, [{}, {}]))
    assert [column.typical for column in encoder.columns] == [0.0] * len(TYPES)
    assert np.isnan(encode_columns(encoder, table(TYPES, [{}]))).all()


def test_the_row_part_loads_no_table_engine() -> None:
    probe = (
        "import sys, headrace.features.encoder, headrace.features.program, headrace.features.model;print(*sys.modules)"
    )
    loaded = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True).stdout.split()
    assert not {"polars", "sqlglot", "sklearn", "sqlalchemy", "pandas"} & set(loaded)
