"""What a server takes up, what it refuses, and what neither of them holds back."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from socket import gethostname
from typing import Any

import msgspec
import pytest
from tests.scoring.made import ROW
from tests.serving.http.running import Client, Place, Running, change, children, now_us

from headrace.serving.errors import AddressNotLocal, AddressUnknown
from headrace.serving.keys import Keys, keys_key
from headrace.serving.listening import bind, own_host
from headrace.serving.model import Served
from headrace.serving.pulling import Known, tell_changes
from headrace.serving.revisions import deploy_whole

HOUR_US = 3_600_000_000


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.fixture
def two(place: Place) -> Iterator[Running]:
    """Two deployments."""
    place.deploy(place.version(1), name="a")
    place.deploy(place.version(1), name="b")
    server = Running(place, workers=2)
    server.wait_for("ready")
    yield server
    server.end()


def next_of(place: Place, name: str, served: Served) -> None:
    place.write(deploy_whole(place.deployments.get(name), served, change()))


def version_of(running: Running, name: str, key: str | None = None) -> int:
    status, _, answer = Client(running, key).predict(ROW, name)
    assert status == 200, answer
    return int(answer["version"])


def blocked(place: Place, number: int) -> tuple[Served, Path]:
    """A version that the store never finishes sending, and the pipe that it is stuck at."""
    served = place.version(number)
    path = place.root / "objects" / "packages" / served.package / "model.onnx"
    path.unlink()
    os.mkfifo(path)
    return served, path


def unblock(path: Path) -> None:
    os.close(os.open(path, os.O_WRONLY))


def serving(running: Running, name: str, revision: int) -> bool:
    return any(
        (e["event"], e.get("deployment"), e.get("revision")) == ("serving", name, revision) for e in running.events()
    )


def test_what_cannot_be_served_holds_back_no_other_deployment_and_no_key(two: Running, place: Place) -> None:
    next_of(place, "a", place.version(2, replaced={"model.onnx": b"nonsense"}))
    two.wait_for("not_served")
    text, key = place.keys.create(verbs=("predict",), lifetime_us=None, by="ann")
    next_of(place, "b", place.version(3))
    two.wait_until(lambda: serving(two, "b", 2), "b revision 2 served")
    assert version_of(two, "a", text) == 1
    assert version_of(two, "b", text) == 3
    two.wait_until(lambda: two.state().revisions == {"a": 1, "b": 2}, "told")
    assert list(two.state().failed) == ["a 2"]
    assert "delays@2" in two.state().failed["a 2"]
    place.keys.revoke(key.id)
    tell_changes(place.objects, "delays")
    two.wait_for("keys", 3)
    assert Client(two, text).predict(ROW, "b")[0] == 401
    two.wait_until(lambda: two.state().keys == 3, "told of three changes")  # two made, one revoked


def test_while_a_package_is_slow_to_come_keys_others_and_signs_of_life_are_not(two: Running, place: Place) -> None:
    served, pipe = blocked(place, 2)
    next_of(place, "a", served)
    text, _ = place.keys.create(verbs=("predict",), lifetime_us=None, by="ann")
    next_of(place, "b", place.version(3))
    two.wait_until(lambda: serving(two, "b", 2), "b revision 2 served")
    assert version_of(two, "b", text) == 3
    assert version_of(two, "a", text) == 1
    at = two.state().at_us
    two.wait_until(lambda: two.state().at_us > at, "told again")
    assert not [each for each in two.events() if each["event"] == "not_served"]
    unblock(pipe)
    assert two.wait_for("not_served")["revision"] == 2


def test_told_to_end_it_does_not_wait_for_a_store_that_never_answers(two: Running, place: Place) -> None:
    served, pipe = blocked(place, 2)
    next_of(place, "a", served)
    two.wait_until(lambda: (place.root / "serving" / "packages" / served.package).is_dir(), "asked for")
    two.process.send_signal(signal.SIGTERM)
    assert two.process.wait(60) == 0  # nobody ever writes to the pipe
    assert two.events()[-1]["event"] == "ended"
    assert pipe.is_fifo()


def is_gone(pid: int) -> bool:
    try:
        return " Z " in Path(f"/proc/{pid}/stat").read_text()  # ended, and nobody has asked how
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_a_supervisor_that_is_killed_leaves_nobody_behind_and_the_next_serves_the_newest(
    two: Running, place: Place
) -> None:
    for number in (2, 3, 4):
        running = two if number == 2 else Running(place, workers=2)
        running.wait_for("ready")
        everybody = [*children(running.process.pid), *running.workers()]
        next_of(place, "a", place.version(number))
        running.end(signal.SIGKILL)  # in the middle of what it does about that
        until = time.monotonic() + 30
        while not all(is_gone(pid) for pid in everybody) and time.monotonic() < until:
            time.sleep(0.02)
        assert all(is_gone(pid) for pid in everybody)
    last = Running(place, workers=2)
    last.wait_for("ready")
    last.wait_until(lambda: serving(last, "a", 4), "newest served")
    assert version_of(last, "a") == 4
    last.end()


def test_what_was_refused_is_tried_again_and_taken_up_once_the_cause_is_gone(two: Running, place: Place) -> None:
    served = place.version(2)
    path = place.root / "objects" / "packages" / served.package / "encoder.json"
    data = path.read_bytes()
    path.unlink()
    next_of(place, "a", served)
    refused = two.wait_for("not_served")
    assert "encoder.json" in refused["why"]["delays@2"]
    again = two.wait_for("not_served", 2)
    assert again["again_s"] == 2 * refused["again_s"]
    path.write_bytes(data)
    two.wait_until(lambda: serving(two, "a", 2), "a revision 2 served")
    assert version_of(two, "a") == 2
    two.wait_until(lambda: not two.state().failed, "told")


def test_a_server_that_begins_with_a_revision_it_cannot_serve_serves_what_it_did_before(
    two: Running, place: Place
) -> None:
    next_of(place, "a", place.version(2, replaced={"model.onnx": b"nonsense"}))
    two.wait_for("not_served")
    two.end()
    again = Running(place)
    again.wait_for("ready")
    assert version_of(again, "a") == 1
    assert version_of(again, "b") == 1
    again.wait_until(lambda: list(again.state().failed) == ["a 2"], "told")
    again.end()


def test_a_deployment_that_cannot_be_read_stands_alone(two: Running, place: Place) -> None:
    now = place.deployments.get("a")
    key = f"serving/delays/deployments/a/{2:09d}.json"
    place.objects.put(key, b"{")
    place.objects.put("serving/delays/deployments/a/newest", b"2")
    next_of(place, "b", place.version(2))
    two.wait_until(lambda: serving(two, "b", 2), "b revision 2 served")
    assert two.wait_for("unreadable")["name"] == "a"
    assert version_of(two, "a") == now.arms[0].serves.version


def test_with_a_list_of_keys_that_cannot_be_read_the_last_known_one_holds(two: Running, place: Place) -> None:
    place.objects.put(keys_key("delays"), b"{")
    next_of(place, "b", place.version(2))
    two.wait_until(lambda: serving(two, "b", 2), "b revision 2 served")
    assert two.wait_for("unreadable")["name"] == "keys"
    assert version_of(two, "b") == 2
    assert Client(two, "hr_x_y").predict(ROW, "b")[0] == 401


def test_a_server_that_begins_with_a_list_of_keys_that_cannot_be_read_goes_by_the_last_known_one(
    two: Running, place: Place
) -> None:
    two.end()
    place.objects.put(keys_key("delays"), b"{")
    again = Running(place)
    again.wait_for("ready")
    assert again.wait_for("unreadable")["name"] == "keys"
    assert version_of(again, "a") == 1
    assert Client(again, "hr_x_y").predict(ROW, "a")[0] == 401
    again.end()


@pytest.mark.parametrize("how", ["emptied", "in the way"])
def test_what_was_known_grows_no_younger_by_a_start_without_the_store(two: Running, place: Place, how: str) -> None:
    two.end()
    path = place.root / "serving" / "known.json"
    known = msgspec.json.decode(path.read_bytes(), type=Known)
    (place.root / "objects").rename(place.root / "away")
    (place.root / "objects").mkdir()
    if how == "in the way":
        (place.root / "objects" / "serving").symlink_to(place.root / "nowhere")
    fresh = Running(place)
    fresh.wait_for("ready")
    assert fresh.wait_for("store_away")["error"] == {"emptied": "store-emptied", "in the way": "invalid-key"}[how]
    assert version_of(fresh, "a") == 1
    fresh.end()
    path.write_bytes(msgspec.json.encode(msgspec.structs.replace(known, pulled_us=known.pulled_us - 2 * HOUR_US)))
    stale = Running(place)
    stale.wait_for("ready")
    client = Client(stale)
    answers: list[tuple[int, dict[str, str], Any]] = []

    def refused() -> bool:
        answers.append(client.predict(ROW, "a"))
        return answers[-1][0] == 503

    stale.wait_until(refused, "refused")  # from its workers' first sign of life on
    assert answers[-1][2]["code"] == "too-stale"
    stale.end()


def test_a_key_that_was_revoked_is_not_taken_again_by_a_start_without_the_store(two: Running, place: Place) -> None:
    assert version_of(two, "a") == 1
    [key] = place.keys.list()
    past = Keys(place.objects, "delays", clock=lambda: now_us() - 1000 * HOUR_US)
    past.create(verbs=("predict",), lifetime_us=HOUR_US, by="ann")
    place.keys.revoke(key.id)  # with which the other leaves the list
    tell_changes(place.objects, "delays")
    said = two.wait_for("keys", 2)  # as soon as it says that it goes by them
    assert (said["number"], said["changes"]) == (1, 3)
    two.end(signal.SIGKILL)
    (place.root / "objects").rename(place.root / "away")
    again = Running(place)
    again.wait_for("ready")
    assert Client(again).predict(ROW, "a")[0] == 401
    assert again.wait_for("keys")["changes"] == 3
    again.end()


def without_store(place: Place, pulled_us: int) -> Running:
    """A server that begins with what was known at that time, and no store."""
    path = place.root / "serving" / "known.json"
    known = msgspec.json.decode(path.read_bytes(), type=Known)
    path.write_bytes(msgspec.json.encode(msgspec.structs.replace(known, pulled_us=pulled_us)))
    if not (place.root / "away").exists():
        (place.root / "objects").rename(place.root / "away")
        (place.root / "objects").mkdir()
    return Running(place)


def test_what_is_kept_of_an_old_time_stays_of_that_time(two: Running, place: Place) -> None:
    two.end()
    then = now_us() - HOUR_US // 2
    for _ in range(2):  # begun again and again, it would else grow younger each time
        again = without_store(place, then)
        again.wait_for("ready")
        assert version_of(again, "a") == 1
        assert again.end() == 0
        kept = msgspec.json.decode((place.root / "serving" / "known.json").read_bytes(), type=Known)
        assert abs(kept.pulled_us - then) < HOUR_US // 60


def test_what_was_known_is_no_younger_than_now_where_the_clock_has_gone_back(two: Running, place: Place) -> None:
    two.end()
    place.max_stale_s = 2.0
    again = without_store(place, now_us() + 2 * HOUR_US)
    again.wait_for("ready")
    client = Client(again)
    again.wait_until(lambda: client.predict(ROW, "a")[0] == 503, "too old")
    again.end()


def test_a_key_is_told_to_hold_once_every_worker_goes_by_it(two: Running, place: Place) -> None:
    """Whoever revokes a key is told that it is done, and must not find a worker that takes it."""
    os.kill(two.workers()[0], signal.SIGSTOP)
    place.keys.create(verbs=("predict",), lifetime_us=None, by="ann")
    tell_changes(place.objects, "delays")
    two.wait_for("keys", 2)
    names = [each["event"] for each in two.events()]
    assert names.index("worker_lost") < len(names) - 1 - names[::-1].index("keys")


@pytest.mark.parametrize("kept", [b"{", b"\xff\xfe", b'{"deployments":[],"keys":[]}', b""])
def test_what_was_kept_and_is_damaged_is_passed_over(two: Running, place: Place, kept: bytes) -> None:
    two.end()
    (place.root / "serving" / "known.json").write_bytes(kept)
    again = Running(place)
    assert again.wait_for("last_known_unreadable")["error"] == "last-known-unreadable"
    again.wait_for("ready")
    assert version_of(again, "a") == 1
    again.end()


def test_copies_that_are_damaged_are_copied_again(two: Running, place: Place) -> None:
    two.end()
    [folder] = (place.root / "serving" / "packages").iterdir()
    (folder / "model.onnx").write_bytes(b"\0" * (folder / "model.onnx").stat().st_size)
    (folder / "encoder.json").unlink()
    (folder / ".put-1").write_bytes(b"left by somebody who was killed")
    (folder / "#1-a").write_bytes(b"left by somebody who was killed")
    again = Running(place, workers=2)
    again.wait_for("ready")
    assert version_of(again, "a") == 1
    assert not [each for each in again.events() if each["event"] == "not_served"]
    # and while it runs: the worker that comes after one that was lost finds it mended
    (folder / "manifest.sig").write_bytes(b"{}")
    for pid in again.workers():
        os.kill(pid, signal.SIGKILL)
    again.wait_until(lambda: (folder / "manifest.sig").read_bytes() != b"{}", "mended")
    until = time.monotonic() + 30
    while len(again.workers()) < 2 and time.monotonic() < until:
        time.sleep(0.05)
    assert version_of(again, "a") == 1
    again.end()


def test_no_secret_of_the_environment_reaches_nursery_or_workers(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = {"AWS_SECRET_ACCESS_KEY": "canary-1", "PGPASSWORD": "canary-2", "MY_TOKEN": "canary-3"}
    for name, value in (secrets | {"TZ": "Asia/Tokyo"}).items():
        monkeypatch.setenv(name, value)
    place.deploy(place.version(1))
    running = Running(place, workers=2)
    running.wait_for("ready")
    found = children(running.process.pid) + running.workers()
    assert len(found) == 3
    for pid in found:
        environment = Path(f"/proc/{pid}/environ").read_bytes()
        assert b"TZ=Asia/Tokyo" in environment
        for secret in secrets.values():
            assert secret.encode() not in environment
    running.end()


def test_a_supervisor_that_was_stopped_keeps_its_workers(two: Running) -> None:
    before = two.workers()
    two.process.send_signal(signal.SIGSTOP)
    time.sleep(3.0)
    assert version_of(two, "a") == 1  # nobody needs it to be answered
    two.process.send_signal(signal.SIGCONT)
    at = two.state().at_us
    two.wait_until(lambda: two.state().at_us > at, "alive")
    assert two.workers() == before
    assert not [each for each in two.events() if each["event"] == "worker_lost"]


def test_a_server_is_called_what_its_pod_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOSTNAME", "delays-7d9f-abcde")
    assert own_host() == "delays-7d9f-abcde"
    monkeypatch.setenv("HOSTNAME", "a\x1b[2J\nb" + "c" * 300)
    assert own_host() == "a??2J?b" + "c" * 246
    monkeypatch.delenv("HOSTNAME")
    assert own_host() == gethostname()


@pytest.mark.parametrize("host", ["[::1]", "nosuch.invalid", "a..b", "é" * 70, "127.0.0.1:8000 "])
def test_a_name_that_is_none_is_said_to_be_so(host: str) -> None:
    with pytest.raises(AddressUnknown, match="brackets"):
        bind((host, 0), to_all=True)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "example.com", ""])
def test_an_address_that_others_can_reach_is_refused_without_a_front(host: str) -> None:
    with pytest.raises(AddressNotLocal, match="TLS"):
        bind((host, 0))
    if host in ("0.0.0.0", "::"):
        bind((host, 0), to_all=True).close()


@pytest.mark.parametrize("host", ["127.0.0.1", "127.3.2.1", "localhost"])
def test_an_address_of_this_machine_alone_is_listened_on(host: str) -> None:
    with bind((host, 0)) as listening:
        assert listening.getsockname()[0].startswith("127.")
