"""The shipped lock: read whole, in step with the environment that the tests run in, and enough to serve."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from headrace.packaging.requirements import OF_BATCHES, locked_text, read_locked

ROOT = Path(__file__).parents[2]
LOCKED = read_locked(locked_text(batch=True))


def names(requirements: list[str]) -> set[str]:
    return {re.match(r"[A-Za-z0-9-]+", each)[0].lower() for each in requirements}  # type: ignore[index]


def test_it_pins_what_the_tests_run_with_by_the_same_hashes() -> None:
    tested = (ROOT / "requirements-dev.lock").read_text(encoding="utf-8")
    for each in LOCKED:
        found = re.search(rf"(?m)^{re.escape(each.name)}==(\S+)[^\n]*\n((?:    --hash=\S+.*\n)+)", tested)
        assert found is not None, each.name
        assert found[1] == each.version
        assert re.findall(r"sha256:([0-9a-f]{64})", found[2]) == list(each.sha256)


def test_it_holds_what_the_base_serving_redis_and_batches_ask_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    asked = names([*project["dependencies"], *extras["serve"], *extras["redis"], *extras["batch"]])
    assert {each.name for each in LOCKED if "headrace" in each.needed_by} == asked
    known = {each.name for each in LOCKED} | {"headrace"}
    assert all(each.sha256 and each.needed_by and set(each.needed_by) <= known for each in LOCKED)


def test_without_batches_it_lacks_what_they_alone_need() -> None:
    without = read_locked(locked_text(batch=False))
    assert [each for each in LOCKED if each not in without] == [each for each in LOCKED if each.name in OF_BATCHES]
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    assert names(extras["batch"]) <= OF_BATCHES
    known = {each.name for each in without} | {"headrace"}
    assert all(set(each.needed_by) <= known for each in without)


def test_a_line_of_another_form_is_not_passed_over() -> None:
    with pytest.raises(ValueError, match="no form"):
        read_locked("numpy>=2\n")
