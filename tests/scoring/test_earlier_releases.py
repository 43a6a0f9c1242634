"""Packages that earlier releases made still load, and answer as they did then."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from headrace.features.model import ExpressionStep, Program
from headrace.features.naming import fields_of
from headrace.features.program import ReadRow
from headrace.language.types import Type
from headrace.scoring.package import decode_json, read_package
from headrace.scoring.scorer import Scorer

PACKAGES = Path(__file__).parent / "packages"
GIVEN: dict[Type, object] = {Type.FLOAT: 12.5, Type.INTEGER: 3}
"""What every lookup and window gave when the answers were kept; text was EMBRAER."""


class Given:
    """A history that says the same of every key."""

    def __init__(self, program: Program) -> None:
        self._program = program

    def reader(self, steps: Sequence[int]) -> ReadRow:
        fields = [field for number in steps for field in fields_of(self._program.steps[number])]
        return lambda keys, t_us: [GIVEN.get(field.type, "EMBRAER") for field in fields]


@pytest.mark.parametrize("release", sorted(path.name for path in PACKAGES.iterdir() if path.is_dir()))
def test_a_package_of_an_earlier_release_answers_as_it_did_then(release: str) -> None:
    kept: dict[str, Any] = json.loads((PACKAGES / f"{release}.json").read_text())
    folder = PACKAGES / release
    listing = {path.name: path.stat().st_size for path in folder.iterdir()}
    package = read_package(
        lambda name: (folder / name).read_bytes(), package=kept["package"], signers=[kept["signer"]], listing=listing
    )
    program = decode_json(package, "program.json", Program)
    assert any(not isinstance(step, ExpressionStep) for step in program.steps)
    answers = Scorer(package, 1, Given(program)).predict(kept["rows"])
    assert [{"probability": a.probability, "decision": a.decision} for a in answers] == kept["answers"]
