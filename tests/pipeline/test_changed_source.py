"""A source that is written to while it is read: what is kept under a state is what the source held in that state."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from headrace.app import Project
from headrace.data.sources import csv

DEFINITION = """
format = 1
[project]
name = "visits"
label = "k > 1"
request = ["x"]
[sources.visits]
read = "visits.csv"
"""
FIRST, SECOND = "k,x\n1,a\n2,b\n", "k,x\n7,c\n8,d\n"


def accepted(root: Path) -> list[int]:
    with Project.open(root) as project:
        checked = project.check().sources["visits"]
        target = project.objects.scan_target(checked.table.ref.key)
        return pl.read_parquet(target.url)["k"].to_list()


def test_what_was_read_after_a_change_is_not_kept_under_the_state_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "headrace.toml").write_text(DEFINITION)
    path = tmp_path / "visits.csv"
    path.write_text(FIRST)
    before = path.stat()
    copy, changes = csv.copy, iter([SECOND])

    def copy_while_it_is_replaced(*of: Any) -> Any:
        copied = copy(*of)
        if (text := next(changes, None)) is not None:
            path.write_text(text)
        return copied

    monkeypatch.setattr(csv, "copy", copy_while_it_is_replaced)
    assert accepted(tmp_path) == [7, 8]
    assert accepted(tmp_path) == [7, 8]
    path.write_text(FIRST)  # put back as a backup is: with its old time
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert accepted(tmp_path) == [1, 2]
