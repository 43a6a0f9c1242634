"""A server that starts again: what was tried by the one before it is not tried again, and what was not is."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from tests.scoring.made import ROW
from tests.serving.http.running import Client, Place, Running


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def probes(place: Place) -> list[str]:
    """Start, ask, end: what was said of trying."""
    running = Running(place)
    try:
        running.wait_for("ready")
        assert Client(running).predict(ROW)[0] == 200
        return [f"{e['event']} {e['version']}" for e in running.events() if e["event"].startswith("probed")]
    finally:
        running.end()


def test_only_what_is_new_or_not_known_for_certain_is_tried(place: Place) -> None:
    remembered = place.root / "serving" / "probed.json"
    place.deploy(place.version(1))
    assert probes(place) == ["probed delays@1"]
    assert probes(place) == ["probed_before delays@1"]
    place.deploy(place.version(2), name="other")
    assert sorted(probes(place)) == ["probed delays@2", "probed_before delays@1"]
    remembered.chmod(0o666)
    assert sorted(probes(place)) == ["probed delays@1", "probed delays@2"]
    remembered.write_bytes(b"{")
    assert sorted(probes(place)) == ["probed delays@1", "probed delays@2"]
    assert sorted(probes(place)) == ["probed_before delays@1", "probed_before delays@2"]


def test_a_version_that_was_wrongly_said_to_be_tried_is_refused_and_then_tried(place: Place) -> None:
    """Whoever could write that down as this user is believed, and a worker still loads nothing but what it checks."""
    place.deploy(place.version(1))
    assert probes(place) == ["probed delays@1"]
    broken = place.version(2, replaced={"model.onnx": b"nonsense"})
    place.deploy(broken, name="other")
    path = place.root / "serving" / "probed.json"
    claimed = msgspec.json.decode(path.read_bytes())
    claimed["row_us"][broken.package] = 1.0
    path.write_bytes(msgspec.json.encode(claimed))
    running = Running(place)
    running.wait_for("ready")
    assert Client(running).predict(ROW)[0] == 200
    assert "tried in a process of its own" not in running.wait_for("not_served")["why"]["delays@2"]
    assert broken.package not in msgspec.json.decode(path.read_bytes())["row_us"]
    assert "tried in a process of its own" in running.wait_for("not_served", 2)["why"]["delays@2"]
    running.end()
