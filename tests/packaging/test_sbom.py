"""The bill of materials, held against the published schema."""

from __future__ import annotations

import json
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from headrace.packaging.requirements import locked_text, read_locked
from headrace.packaging.sbom import bill_of_materials
from headrace.packaging.wheel import Wheel
from headrace.registry.model import Version

WHEEL = Wheel("headrace-0.1.0-py3-none-any.whl", "0.1.0", b"data")
LOCKED = read_locked(locked_text(batch=True))
VERSION = Version(
    model="delays",
    number=3,
    package="a" * 64,
    signer="ed25519:AAAA",
    run="r",
    created_us=1_790_000_000_000_000,
    summary={},
)


@pytest.mark.parametrize("version", [VERSION, None], ids=["packed along", "from a store"])
def test_it_is_valid_cyclonedx(version: Version | None) -> None:
    text = bill_of_materials(version, WHEEL, LOCKED, title="delays").decode()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None


def test_it_lists_model_code_and_every_library_and_what_each_needs() -> None:
    document: dict[str, Any] = json.loads(bill_of_materials(VERSION, WHEEL, LOCKED, title="delays"))
    listed = {each["bom-ref"]: each for each in document["components"]}
    assert listed["model:delays@3"]["hashes"] == [{"alg": "SHA-256", "content": "a" * 64}]
    assert listed["pkg:pypi/headrace@0.1.0"]["hashes"][0]["content"] == WHEEL.sha256
    assert {each.name for each in LOCKED} < {each["name"] for each in listed.values()}
    needs = {each["ref"]: each["dependsOn"] for each in document["dependencies"]}
    assert set(needs) == {*listed, document["metadata"]["component"]["bom-ref"]}
    [cffi] = [ref for ref in listed if ref.startswith("pkg:pypi/cffi@")]
    [cryptography] = [ref for ref in listed if ref.startswith("pkg:pypi/cryptography@")]
    assert cffi in needs[cryptography]
    assert cryptography in needs["pkg:pypi/headrace@0.1.0"]


def test_the_same_contents_give_the_same_bytes() -> None:
    first, second = (bill_of_materials(VERSION, WHEEL, LOCKED, title="delays") for _ in range(2))
    assert first == second
    assert first != bill_of_materials(VERSION, WHEEL, LOCKED, title="other")
