"""The working folder: one holder at a time, empty at the start, known by its token."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from headrace.runs.errors import RunInProgress
from headrace.runs.place import hold


def test_a_folder_keeps_its_token(tmp_path: Path) -> None:
    for token in ("first", "second"):
        with hold(tmp_path / "work", "p", token) as place:
            assert place == "first"
    assert json.loads((tmp_path / "work" / "lock").read_text()) == {"place": "first", "pid": os.getpid()}


def test_it_is_emptied_of_what_dead_runs_left(tmp_path: Path) -> None:
    (tmp_path / "run-1" / "0").mkdir(parents=True)
    (tmp_path / "run-1" / "0" / "rows.bin").write_bytes(b"x")
    (tmp_path / "stray").write_text("")
    (tmp_path / "link").symlink_to(tmp_path.parent)
    with hold(tmp_path, "p", "t"):
        assert [path.name for path in tmp_path.iterdir()] == ["lock"]
    assert tmp_path.parent.is_dir()


@pytest.mark.parametrize("text", ["", '{"pla', '{"place": 3}', "null"])
def test_a_lock_file_torn_by_a_power_cut_is_written_anew(tmp_path: Path, text: str) -> None:
    (tmp_path / "lock").write_text(text)
    with hold(tmp_path, "p", "new") as place:
        assert place == "new"


def test_the_second_to_come_is_told_who_holds_it(tmp_path: Path) -> None:
    with hold(tmp_path, "p", "t"):
        for _ in range(2):
            with pytest.raises(RunInProgress) as caught, hold(tmp_path, "p", "other"):
                pass
            assert caught.value.facts == {"project": "p", "run": None, "pid": os.getpid()}
    with hold(tmp_path, "p", "t"):
        pass
