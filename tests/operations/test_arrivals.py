"""New files: taken when they have stood still, and once."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

from headrace.definition.model import Source
from headrace.operations.arrivals import Arrivals, files_digest


def test_a_file_that_is_still_written_is_not_taken_and_one_that_stands_still_is_taken_once(tmp_path: Path) -> None:
    now = 0.0
    rows = tmp_path / "rows.csv"
    rows.write_text("a\n1\n")
    sources = (Source(name="rows", read=("*.csv",), format="csv"), Source(name="none", read=("no.csv",), format="csv"))
    look = partial(files_digest, sources, tmp_path, {})
    arrivals = Arrivals(look, settle_s=10, monotonic=lambda: now)
    noted = look()
    assert arrivals.settled(noted) is None
    for line in range(5):
        now += 8
        with rows.open("a") as file:
            file.write(f"{line}\n")
        assert arrivals.settled(noted) is None
        assert arrivals.is_settling(noted)
    now += 9.9
    assert arrivals.settled(noted) is None
    now += 0.1
    found = arrivals.settled(noted)
    assert found == look() != noted
    assert arrivals.settled(found) is None
    assert not arrivals.is_settling(found)
    os.utime(rows, ns=(1, 1))  # written anew with the same size
    assert arrivals.settled(found) is None
    now += 10
    assert arrivals.settled(found) == look() != found
