"""How the usual arguments of `headrace serve` are read, and how little a server loads for them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from headrace.cli.dispatch import build_app
from headrace.cli.serving import given_plainly

WORDS = ("--host", "--port", "--workers", "--project", "-p", "--json", "--no-json", "--prot", "--help", "--", "serve")
VALUES = ("0", "1", "8080", "65535", "65536", "256", "257", "007", "-1", "1.0", "1_0", "٣", "", "localhost", "a b", "=")
argument = st.one_of(
    st.sampled_from(WORDS),
    st.sampled_from(VALUES),
    st.builds("{}={}".format, st.sampled_from(WORDS), st.sampled_from(VALUES)),
)
pair = st.tuples(st.sampled_from(WORDS), st.sampled_from(VALUES)).map(list)


@given(st.lists(st.one_of(pair, argument.map(lambda word: [word])), max_size=5))
@example([["--host", "localhost"], ["--port", "8080"], ["--workers", "4"], ["--project", "a"], ["--json"]])
def test_what_is_read_plainly_the_parser_reads_alike(parts: list[list[str]]) -> None:
    words = [word for part in parts for word in part]
    plain = given_plainly(words)
    if plain is not None:
        assert plain == parsed(words)


def parsed(words: list[str]) -> dict[str, Any]:
    app = build_app(["serve", *words])
    _, bound, _ = app.parse_args(["serve", *words], exit_on_error=False, print_error=False)
    return dict(bound.arguments)


@pytest.mark.parametrize(
    "words",
    [[], ["--json"], ["--port", "0"], ["--port=65535", "--host", "::1"], ["--workers", "256", "--project=a/b"]],
)
def test_usual_arguments_are_read_plainly(words: list[str]) -> None:
    assert given_plainly(words) == parsed(words)


def test_a_server_loads_neither_parser_nor_tables(tmp_path: Path) -> None:
    """As far as it gets without a project: what it loads then, it needs."""
    (tmp_path / "headrace.toml").write_text(
        'format = 1\n[project]\nname = "p"\n[serving]\nhost = "192.0.2.1"\n', encoding="utf-8"
    )
    code = (
        "import sys; from headrace.cli import main; import headrace.serving.supervisor\n"
        "assert main(['serve', '--workers', '1']) == 2\nprint(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert "error (address-not-local)" in done.stderr
    loaded = set(done.stdout.split())
    assert "headrace.app" in loaded
    tops = {name.partition(".")[0] for name in loaded}
    assert not tops & {"cyclopts", "attr", "rich", "numpy", "polars", "sqlalchemy", "sqlglot", "onnxruntime", "sklearn"}


def test_a_worker_loads_nothing_that_learns_or_reads_tables() -> None:
    code = (
        "import sys; from importlib import import_module; from headrace.serving.workforce import LOADED\n"
        "for name in LOADED: import_module(name)\nprint(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "onnxruntime" in loaded
    unwanted = {
        "headrace.features.encodings.fitting",
        "headrace.features.encodings.targets",
        "headrace.serving.log.table",
        "headrace.serving.log.reader",
        "cryptography.hazmat.primitives.serialization.ssh",
    }
    assert not unwanted & loaded
    assert not {name.partition(".")[0] for name in loaded} & {"cyclopts", "polars", "sqlalchemy", "sqlglot", "sklearn"}
