"""Columns that nothing can be learnt from: left out of training, and said, while requests go on carrying them.

A column is judged as the model would see it, over the training rows alone: missing in all of them, of one value in all
of them, or in all of them equal to a column before it. No model can tell such a column from nothing or from its twin,
so leaving it out loses nothing; it saves time, and importances are no longer shared out between twins.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from hashlib import blake2b
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from headrace.definition.model import Encoding
from headrace.features.encodings.levels import as_texts
from headrace.features.encodings.numbers import as_float, clamped
from headrace.features.encodings.plan import plain_kind
from headrace.training.data import Examples
from headrace.training.model import LeftOut, Why

if TYPE_CHECKING:
    import polars as pl


def guarded(examples: Examples, encodings: Sequence[Encoding] = ()) -> Examples:
    """The examples with what is to be left out in `left_out`; as they are where that was looked for before.

    Parameters
    ----------
    examples : training rows only
    encodings : of the definition: twins that are encoded differently are two inputs
    """
    if examples.left_out is not None:
        return examples
    return replace(examples, left_out=unused_inputs(examples, encodings))


def unused_inputs(examples: Examples, encodings: Sequence[Encoding] = ()) -> tuple[LeftOut, ...]:
    """The columns that are left out, in the order of the inputs; where no column varies the first stays."""
    said = {each.name: msgspec.structs.replace(each, name="") for each in encodings}
    first: dict[tuple[bytes, bytes], str] = {}
    found: list[LeftOut] = []
    for field in examples.outputs:
        encoding = said.get(field.name)
        plain = encoding is None and plain_kind(field.type) == "number"
        why, content = (_number if plain else _levels)(examples.rows[field.name])
        twin = ""
        if not why:
            kind = b"number" if plain else msgspec.json.encode((field.type, encoding))
            twin = first.setdefault((kind, content), field.name)
            if twin == field.name:
                continue
        rounded = plain and why != "missing" and _differs(examples.rows[field.name], examples.rows, twin)
        found.append(LeftOut(name=field.name, why=why or "repeats", of=twin, rows=len(examples), rounded=rounded))
    return tuple(found[1:] if len(found) == len(examples.outputs) else found)


def _differs(values: pl.Series, rows: pl.DataFrame, twin: str) -> bool:
    """Whether values that a model sees as one, or as those of the twin, are not."""
    if not twin:
        return values.n_unique() > 1
    return rows[twin].dtype == values.dtype and not values.eq_missing(rows[twin]).all()


def _number(values: pl.Series) -> tuple[Why | None, bytes]:
    """Why the number is no use, if that can be said of it alone; and its content as the model sees it, by a hash."""
    seen = clamped(as_float(values).fill_null(np.nan).to_numpy()).astype(np.float32)
    seen += np.float32(0)  # of the two zeros one is left
    missing = np.isnan(seen[:1]).any()
    if np.isnan(seen).all() if missing else (seen == seen[:1]).all():
        return ("missing" if missing else "constant"), b""
    return None, blake2b(seen.tobytes(), digest_size=16).digest()


def _levels(values: pl.Series) -> tuple[Why | None, bytes]:
    """The same of what is told apart by its exact value: texts, and whatever has an encoding."""
    if values.null_count() == len(values):
        return "missing", b""
    hashes = as_texts(values).hash().to_numpy()
    if (hashes == hashes[0]).all():
        return "constant", b""
    return None, blake2b(hashes.tobytes(), digest_size=16).digest()
