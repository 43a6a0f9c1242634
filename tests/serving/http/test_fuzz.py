"""Whatever is sent, a server answers as its OpenAPI page says, or ends the connection; and is the same afterwards."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.serving.http.running import PROJECT, Place, Running

from headrace.serving.pulling import tell_changes

SCHEMATHESIS = """
[generation]
allow-extra-parameters = false  # headers may be added
[checks]
not_a_server_error.expected-statuses = ["2xx", "4xx", "504"]  # some are given a millisecond
"""


class Target:
    """A server of two deployments, with a key for both and one for the second alone."""

    def __init__(self, root: Path) -> None:
        self.place = Place(root)
        self.place.deploy(self.place.version(1))
        self.place.deploy(self.place.version(2, task="multiclass"), name="kinds")
        self.both, _ = self.place.keys.create(verbs=("predict", "outcomes"), lifetime_us=None, by="ann")
        self.scoped, _ = self.place.keys.create(verbs=("predict",), deployments=("kinds",), lifetime_us=None, by="ann")
        tell_changes(self.place.objects, PROJECT)
        self.running = Running(self.place)
        self.address = self.running.address

    def faults(self) -> list[object]:
        """What the workers noted as faults of ours."""
        return [each for each in self.running.events() if each["event"] == "fault"]


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    made = Target(tmp_path_factory.mktemp("fuzz"))
    yield made
    made.running.end()


@pytest.mark.parametrize(
    ("scope", "addresses"),
    [
        ("both", ["--exclude-path-regex=/infer$"]),
        # no schema says that shapes and data agree
        ("both", ["--include-path-regex=/infer$", "--exclude-checks=positive_data_acceptance"]),
        ("scoped", ["--exclude-path-regex=/infer$"]),
    ],
)
def test_requests_made_of_the_page_are_answered_as_the_page_says(
    target: Target, tmp_path: Path, scope: str, addresses: list[str]
) -> None:
    (tmp_path / "schemathesis.toml").write_text(
        "[generation]\nallow-extra-parameters = false\n"
    )  # headers may be added
    key = target.both if scope == "both" else target.scoped
    host, port = target.address
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", "schemathesis.toml", "run"]
    options = ["--phases=examples,coverage,fuzzing", "--max-examples=40", "--seed=1", "--no-shrink"]
    options += ["--continue-on-failure", "--generation-database=none", "--request-timeout=5", "--no-color"]
    found = subprocess.run(
        [*command, f"http://{host}:{port}/openapi.json", "-H", f"Authorization: Bearer {key}", *options, *addresses],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert found.returncode == 0, found.stdout + found.stderr
    assert not target.faults()
