"""The compiled row form: what it computes, what it shares and what it is made of."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable

import polars as pl
import pytest

from headrace.language.columns import to_polars
from headrace.language.forms import Form, Function
from headrace.language.functions import FUNCTIONS
from headrace.language.parse import parse
from headrace.language.reference import render
from headrace.language.rows import compile_rows
from headrace.language.signatures import signature
from headrace.language.tree import Call, Column, Node
from headrace.language.types import Type

TYPES = {"a": Type.INTEGER, "b": Type.FLOAT, "s": Type.STRING, "t": Type.TIMESTAMP}
INPUTS = list(TYPES.items())


def _compiled(**texts: str) -> Callable[..., tuple[object, ...]]:
    types, steps = dict(TYPES), list[tuple[str, Node]]()
    for name, text in texts.items():
        node = parse(text, types)
        types[name] = node.type
        steps.append((name, node))
    return compile_rows(INPUTS, steps)


def test_a_step_may_read_earlier_steps() -> None:
    row = _compiled(twice="a * 2", four="twice * 2", text="s || CAST(four AS string)")
    assert row((3, None, "x", None)) == (6, 12, "x12")


def test_a_step_may_have_the_name_of_an_input() -> None:
    assert _compiled(a="a + 1", c="a * 10")((1, None, None, None)) == (2, 20)


def test_no_steps_and_no_inputs_are_fine() -> None:
    assert compile_rows((), ())(()) == ()
    assert compile_rows((), [("x", parse("1 + 1", {}))])(()) == (2,)


def test_nan_is_read_as_null_and_a_negative_zero_as_zero() -> None:
    row = _compiled(same="b", null="b IS NULL", text="CAST(b AS string)")
    assert row((None, math.nan, None, None)) == (None, True, None)
    same, _, text = row((None, -0.0, None, None))
    assert (str(same), text) == ("0.0", "0.0")


def _counting(calls: list[int]) -> Function:
    def row(value: int) -> int:
        calls.append(value)
        return value + 1

    form = Form(signature("integer -> integer"), lambda a: a + 1, row)
    return Function("bump", "Arithmetic", "One more.", (form,))


def test_a_function_in_the_table_is_taken_up_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FUNCTIONS, "bump", _counting([]))
    node = parse("bump(a) + 1", TYPES)
    assert compile_rows(INPUTS, [("x", node)])((1, None, None, None)) == (3,)
    assert pl.DataFrame({"a": [1]}).select(x=to_polars(node))["x"].to_list() == [3]
    assert "bump(a)" in render()


def test_what_trees_share_is_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    monkeypatch.setitem(FUNCTIONS, "bump", _counting(calls))
    row = _compiled(x="bump(a) * bump(a)", y="bump(a) - 1", z="bump(a + 1)")
    assert row((4, None, None, None)) == (25, 4, 6)
    assert calls == [4, 5]


def test_equal_calls_over_other_constants_are_not_shared() -> None:
    row = _compiled(x="hour(t, 'UTC')", y="hour(t, 'Asia/Tokyo')", z="a = 1", w="CAST(a = 1 AS float) + 1.0")
    assert row((1, None, None, 0)) == (0, 9, True, 2.0)


@pytest.mark.parametrize("name", ["'", '"', "\\", "\n", "v0", "k0", "row", "__import__('os')", "{0}", "é"])
def test_names_and_texts_never_enter_the_source(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    sources: list[str] = []

    def kept(source: str, *rest: str) -> object:
        sources.append(source)
        return compile(source, *rest)

    monkeypatch.setattr("headrace.language.rows.compile", kept, raising=False)
    quoted = name.replace("'", "''")
    node = Call("equal", (Column(name, Type.STRING), parse(f"'{quoted}'", {})), Type.BOOLEAN)
    assert compile_rows([(name, Type.STRING)], [(name * 2, node)])((name,)) == (True,)
    assert sources == [SOURCE]


SOURCE = """def make(constants, helpers):
    k0,  = constants
    def row(r):
        v0 = r[0]
        if v0 is None: v1 = None
        else:
            v1 = v0 == k0
        return (v1, )
    return row
"""


def test_the_compiled_function_reaches_no_builtins() -> None:
    row = _compiled(x="a + 1")
    assert row.__globals__["__builtins__"] == {}


def test_a_tree_of_another_version_is_refused() -> None:
    with pytest.raises(ValueError, match="no function 'from_the_future'"):
        compile_rows(INPUTS, [("x", Call("from_the_future", (Column("a", Type.INTEGER),), Type.INTEGER))])
    with pytest.raises(ValueError, match="does not take"):
        compile_rows(INPUTS, [("x", Call("ln", (Column("s", Type.STRING),), Type.FLOAT))])


def test_the_row_form_loads_no_table_engine_and_no_parser() -> None:
    probe = (
        "import sys, headrace.language.rows, headrace.language.values\n"
        "import headrace.language.columns\n"
        "print(*sys.modules)"
    )
    loaded = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True).stdout.split()
    assert not {"polars", "numpy", "sqlglot", "pandas"} & set(loaded)


def test_streams_of_many_batches_are_computed_like_single_rows() -> None:
    """Batches of the streaming engine, and of one row, take other paths in Polars."""
    node = parse("b / 7.0 + power(b, 2.0) - a % 5 + hour(t, 'America/New_York') * 0.1", TYPES)
    count = 250_000
    frame = pl.DataFrame({"a": pl.int_range(count, eager=True)}).with_columns(
        b=pl.col("a").cast(pl.Float64).sin() * 1e3,
        t=(pl.col("a") * 130_000_007_000).cast(pl.Datetime("us", "UTC")),
        s=pl.lit("x"),
    )
    found = frame.lazy().select(x=to_polars(node)).collect()["x"].to_list()
    row = compile_rows(INPUTS, [("x", node)])
    columns = [frame[name].to_physical().to_list() for name in TYPES]
    assert found == [row(values)[0] for values in zip(*columns, strict=True)]
