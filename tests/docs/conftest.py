"""The project that the pages talk about, made as the tutorial makes it: once a session."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.docs.pages import DOCS, blocks

from headrace.cli import main

TUTORIAL = DOCS / "tutorial" / "first-model.md"


@pytest.fixture(scope="session")
def orders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The tutorial followed to the first version and its export, with two trials in place of twenty."""
    root = tmp_path_factory.mktemp("orders")
    make_table = next(b for b in blocks(TUTORIAL, "python") if "orders.csv" in b.text)
    definition = next(b for b in blocks(TUTORIAL, "toml") if b.text.startswith("format = 1"))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.setenv("HEADRACE_CONFIG", str(tmp_path_factory.mktemp("config")))
        patch.delenv("HEADRACE_PROJECT", raising=False)
        exec(compile(make_table.text, make_table.where, "exec"), {})
        assert main(["init", "data/orders.csv", "--label", "returned = 'yes'"]) == 0
        assert main(["check"]) == 0  # what init wrote is a definition already
        assert definition.text.count('budget = "20 trials"') == 1
        small = definition.text.replace('budget = "20 trials"', 'budget = "2 trials"')
        (root / "headrace.toml").write_text(small, encoding="utf-8")
        assert main(["run", "--json"]) == 0
        assert main(["models", "export", "orders@champion", "exported"]) == 0
        yield root


@pytest.fixture
def in_orders(orders: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Standing in the folder of that project."""
    monkeypatch.chdir(orders)
    return orders
