"""The benchmarks of promises: coverage in its smallest form, and what is said of budgets and of rare classes."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import coverage, keel, kills, public


@pytest.mark.heavy
def test_coverage_of_one_table(results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(public, "FOLDER", tmp_path)
    monkeypatch.setattr(coverage, "public_tables", lambda names: public.public_tables(names, tmp_path))
    coverage.main(["1", "diabetes"])
    text = results.read_text(encoding="utf-8")
    assert "| diabetes | 1 | " in text
    assert "Sets of classes" not in text


def test_a_search_is_held_against_its_budget_in_ticks_and_trials() -> None:
    kept = kills.Search("seconds", 5.0, 5.0, kills=2, took_s=[1.0, 3.9], looks=2, ended="done")
    over = kills.Search("seconds", 5.0, 5.0, kills=1, took_s=[2.0, 3.3], ended="done", unloadable=["cut"])
    assert kept.over == pytest.approx(-1.0)
    assert over.over == pytest.approx(3.0)
    many = kills.Search("trials", 4, None, kills=1, trials=5, ended="done")
    text = kills.report([kept, over, many])
    assert "| seconds | 2 | 3 | +1.00 | +3.00 | 1 | 0 | 2 of 3 | 2 |" in text
    assert "| trials | 1 | 1 | +1.00 | +1.00 | 1 | 0 | 0 of 0 | 1 |" in text


def test_costs_are_summed_over_holdouts_and_held_against_deciding_alike() -> None:
    runs = [
        keel.Priced(rows=100, positives=5, ours=30.0, balanced=60.0, by_cost=20.0, family="linear"),
        keel.Priced(rows=100, positives=1, ours=10.0, balanced=20.0, by_cost=10.0, family="lightgbm"),
    ]
    assert [one.alike for one in runs] == [95.0, 20.0]
    text = keel.report({"made": runs}, 10)
    assert "on 1 of 1 tables, than LightGBM weighted by the costs on 0." in text
    assert "| made | 200 | 6 | 0.2 | 0.4 | 0.15 | 0.575 | -50% | lightgbm, linear |" in text
