"""A command line that is called as a person calls it, in projects of the test's own."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from tests.examples import copy_finished, shared_folder

from headrace.cli import main

HEADRACE = [sys.executable, "-c", "from headrace.cli import main; raise SystemExit(main())"]
"""The command as a process of its own."""


class Said(NamedTuple):
    """What a command said."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The one JSON document on standard output."""
        return json.loads(self.out)


Call = Callable[..., Said]


@pytest.fixture(autouse=True)
def own_keys(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test touches the user's own key or a project that the environment names, or writes outside its folder."""
    monkeypatch.setenv("HEADRACE_CONFIG", str(shared_folder(tmp_path_factory) / "keys"))
    monkeypatch.delenv("HEADRACE_PROJECT", raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Call:
    """Call `headrace` with these words."""

    def run(*words: str | Path) -> Said:
        capsys.readouterr()
        code = main([str(word) for word in words])
        said = capsys.readouterr()
        return Said(code, said.out, said.err)

    return run


@pytest.fixture
def delays(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The flights example, small, after its first run: the current folder."""
    root = copy_finished("flights", shared_folder(tmp_path_factory), tmp_path / "delays")
    monkeypatch.chdir(root)
    return root
