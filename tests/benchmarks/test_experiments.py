"""The benchmark of experiments runs in its smallest form."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from benchmarks import experiments


def test_it_tells_what_peeking_costs(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(experiments, "rollback", lambda *_: [20.0, np.inf])  # half a minute of rows
    experiments.main(60)
    text = results.read_text(encoding="utf-8")
    [(ours, plain)] = re.findall(r"^\| 5 % of entities cost 1.*\| ([0-9.]+) % \| ([0-9.]+) % \|$", text, re.MULTILINE)
    assert float(ours) < 10.0 < float(plain)


def test_a_test_that_is_looked_at_once_needs_what_tables_say() -> None:
    """Two shares of 5 % and 6 %, two-sided at 5 %: 8,155 an arm for a power of 80 %."""
    assert experiments.fixed((0.05, 0.06), 0.8) == 8_155
