"""What a key may ask, over all workers: exactly so much, whoever of them is asked, and whoever of them is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from tests.scoring.made import ROW
from tests.serving.http.inside import Inside, answers, deployment, key, request, turns, version, within
from tests.serving.http.running import Client, Place, Running
from tests.serving.http.test_inference import INFER, infer

from headrace.serving.errors import KeyLimitInvalid
from headrace.serving.http.quota import _OWNER, WORKERS, Quota
from headrace.serving.http.responses import Problem
from headrace.serving.keys import ApiKey
from headrace.serving.log.errors import LogFull


def made(name: str = "abc", **more: Any) -> ApiKey:
    facts: dict[str, Any] = {"id": name, "sha256": "", "verbs": ("predict",), "created_us": 1, "by": "ann"}
    return ApiKey(**(facts | more))


def taken(quotas: list[Quota], who: ApiKey, times: int) -> int:
    """How many of so many requests were let through, the workers asked in turn."""
    got = 0
    for number in range(times):
        try:
            quotas[number % len(quotas)].take(who)
        except Problem:
            pass
        else:
            got += 1
    return got


def test_a_rate_is_of_all_workers_together(tmp_path: Path) -> None:
    clock = [1000.0]
    who, other = made(rate=5.0), made("def", rate=0.5)
    quotas = [Quota(tmp_path / "quota", clock=lambda: clock[0]) for _ in range(3)]
    for each in quotas:
        each.install([who, other])
    assert taken(quotas, who, 20) == 5
    assert taken(quotas, other, 3) == 1
    clock[0] += 0.6
    assert taken(quotas, who, 20) == 3
    clock[0] += 1.2
    assert taken(quotas, who, 20) == 5  # never more than a second's worth at once
    assert taken(quotas, other, 3) == 0
    clock[0] += 0.3
    assert taken(quotas, other, 3) == 1
    clock[0] = 1.0  # the machine was started anew
    assert taken(quotas, who, 20) == 5
    for each in quotas:
        each.close()


def test_a_number_at_a_time_is_of_all_workers_together(tmp_path: Path) -> None:
    who = made(concurrency=3)
    quotas = [Quota(tmp_path / "quota") for _ in range(2)]
    for each in quotas:
        each.install([who])
    releases = [quotas[number % 2].take(who) for number in range(3)]
    assert taken(quotas, who, 4) == 0
    assert releases[1] is not None
    releases[1]()
    assert taken(quotas, who, 4) == 1
    for each in quotas:
        each.close()


def test_keys_that_come_later_find_room_and_the_others_keep_what_they_spent(tmp_path: Path) -> None:
    clock = [1000.0]
    quota = Quota(tmp_path / "quota", clock=lambda: clock[0])
    keys = [made(f"k{number}", rate=1.0) for number in range(300)]
    quota.install(keys[:1])
    assert taken([quota], keys[0], 3) == 1
    quota.install(keys)
    assert [taken([quota], each, 2) for each in keys] == [0] + [1] * 299
    quota.close()


CHILD = """
import sys, time
from pathlib import Path
from headrace.serving.http.quota import Quota
from headrace.serving.keys import ApiKey
quota = Quota(Path(sys.argv[1]))
key = ApiKey(id="abc", sha256="", verbs=("predict",), created_us=1, by="ann", concurrency=2)
quota.install([key])
quota.take(key), quota.take(key)
print("taken", flush=True)
time.sleep(60)
"""


def test_what_a_killed_worker_had_under_way_is_given_back(tmp_path: Path) -> None:
    who = made(concurrency=2)
    quota = Quota(tmp_path / "quota")
    quota.install([who])
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(tmp_path / "quota")], stdout=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stdout.readline() == b"taken\n"
    assert taken([quota], who, 2) == 0
    child.kill()
    child.wait()
    child.stdout.close()
    assert taken([quota], who, 3) == 2
    quota.close()


def test_who_takes_the_place_of_one_that_was_killed_begins_with_nothing(tmp_path: Path) -> None:
    who = made(concurrency=2)
    with subprocess.Popen([sys.executable, "-c", CHILD, str(tmp_path / "quota")], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"taken\n"
        child.kill()
    quota = Quota(tmp_path / "quota")
    assert quota._own == 0
    quota.install([who])
    assert taken([quota], who, 3) == 2
    quota.close()


RACER = """
import sys
from pathlib import Path
from headrace.serving.http.quota import Quota
from headrace.serving.http.responses import Problem
from headrace.serving.keys import ApiKey
quota = Quota(Path(sys.argv[1]), clock=lambda: 1000.0)
key = ApiKey(id="abc", sha256="", verbs=("predict",), created_us=1, by="ann", rate=5000.0)
quota.install([key])
print("ready", flush=True)
sys.stdin.readline()
got = 0
for _ in range(5000):
    try:
        quota.take(key)
    except Problem:
        pass
    else:
        got += 1
print(got, flush=True)
"""


@pytest.mark.heavy
def test_of_workers_that_ask_at_the_same_instant_none_is_let_through_twice(tmp_path: Path) -> None:
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", RACER, str(tmp_path / "quota")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    for each in racers:
        assert each.stdout is not None
        assert each.stdout.readline() == "ready\n"
    for each in racers:
        assert each.stdin is not None
        each.stdin.write("go\n")
        each.stdin.flush()
    assert sum(int(each.communicate(timeout=60)[0]) for each in racers) == 5_000


def test_a_process_of_the_same_number_is_another_one(tmp_path: Path) -> None:
    who = made(concurrency=1)
    quota = Quota(tmp_path / "quota")
    quota.install([who])
    other = Quota(tmp_path / "quota")
    other.install([who])
    assert other.take(who) is not None
    assert taken([quota], who, 1) == 0
    place = other._own
    _OWNER.pack_into(quota._map, place * _OWNER.size, os.getpid(), 7)  # as if the machine had been started since
    assert taken([quota], who, 1) == 1
    quota.close()
    other.close()


def test_where_there_is_no_room_for_limits_their_keys_are_refused_and_nobody_dies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quota = Quota(tmp_path / "quota")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    who = made(rate=1.0)
    quota.install([who])
    with pytest.raises(Problem) as caught:
        quota.take(who)
    assert (caught.value.status, caught.value.code) == (503, "key-limits-unavailable")
    monkeypatch.undo()
    quota.install([who])
    quota.take(who)
    quota.close()


def test_as_many_workers_as_a_server_may_have_share_a_file(tmp_path: Path) -> None:
    who = made(concurrency=257)
    quotas = [Quota(tmp_path / "quota") for _ in range(256)]
    for each in quotas:
        each.install([who])
    assert taken(quotas, who, 300) == 257
    for each in quotas:
        each.close()


def test_no_more_workers_than_there_are_places_share_a_file(tmp_path: Path) -> None:
    quotas = [Quota(tmp_path / "quota") for _ in range(WORKERS)]
    with pytest.raises(RuntimeError):
        Quota(tmp_path / "quota")
    quotas.pop().close()
    Quota(tmp_path / "quota").close()
    for each in quotas:
        each.close()


@pytest.mark.parametrize("wrong", [{"rate": 0.0}, {"rate": float("nan")}, {"concurrency": 0}, {"rate": -1.0}])
def test_a_limit_that_lets_nothing_through_is_refused(tmp_path: Path, wrong: Any) -> None:
    with pytest.raises(KeyLimitInvalid):
        Place(tmp_path).keys.create(verbs=("predict",), lifetime_us=None, by="ann", **wrong)


def test_a_desk_lets_a_key_have_so_many_under_way_and_gives_every_turn_back(tmp_path: Path) -> None:
    async def run() -> None:
        one = version(1)
        quota = Quota(tmp_path / "quota")
        inside = Inside(tmp_path / "log", deployment({"v1": one}), [one], held=key(concurrency=2), quota=quota)
        for _ in range(3):  # read anew, then known
            many = [inside.connect() for _ in range(4)]
            for connection, _ in many:
                connection.data_received(request())
            await turns()
            statuses = [answers(transport.sent)[0][0] for _, transport in many]
            assert statuses == [200, 200, 429, 429]
        for body in (b"{", ROW | {"vip": "so"}, [], ROW, [ROW]):
            for _ in range(5):
                assert (await inside.ask(body))[0] != 429
        for headers in ({"x_timeout_ms": "soon"}, {"x_timeout_ms": "90000"}, {"x_request_id": "q"}):
            for _ in range(5):
                assert (await inside.ask(ROW, **headers))[0] != 429
        quota.close()

    within(run())


def test_inference_is_bounded_as_predictions_are(tmp_path: Path) -> None:
    async def run() -> None:
        one = version(1)
        quota = Quota(tmp_path / "quota", clock=lambda: 1000.0)
        inside = Inside(tmp_path / "log", deployment({"v1": one}), [one], held=key(rate=2.0), quota=quota)
        assert [(await inside.ask(infer([ROW]), path=INFER))[0] for _ in range(4)] == [200, 200, 429, 429]
        quota.close()

    within(run())


def test_truths_are_bounded_too_and_give_every_turn_back(tmp_path: Path) -> None:
    path, truths = "/v1/deployments/delays/outcomes", {"outcomes": [{"request_id": "q", "value": True}]}
    clock = [1000.0]

    async def run() -> None:
        one = version(1)
        quota = Quota(tmp_path / "quota", clock=lambda: clock[0])
        held = key(verbs=("outcomes",), rate=2.0, concurrency=1)
        inside = Inside(tmp_path / "log", deployment({"v1": one}), [one], held=held, quota=quota)
        assert [(await inside.ask(truths, path=path))[0] for _ in range(3)] == [202, 202, 429]
        clock[0] += 10.0
        keep = inside.records.keep_outcomes

        def full(*_: object) -> None:
            raise LogFull("somewhere")

        inside.records.keep_outcomes = full  # type: ignore[assignment, method-assign]
        assert (await inside.ask(truths, path=path))[0] == 507
        inside.records.keep_outcomes = keep  # type: ignore[method-assign]
        assert (await inside.ask(truths, path=path))[0] == 202
        quota.close()

    within(run())


def test_a_key_with_a_rate_is_held_to_it_by_every_worker(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.deploy(place.version(1))
    text, _ = place.keys.create(verbs=("predict",), lifetime_us=None, by="ann", rate=0.01)
    running = Running(place, workers=2)
    try:
        running.wait_for("ready")
        found = [Client(running, text).predict(ROW) for _ in range(12)]
        assert sorted(status for status, _, _ in found) == [200] + [429] * 11
        assert {body["code"] for status, _, body in found if status == 429} == {"key-too-fast"}
        assert {headers["retry-after"] for status, headers, _ in found if status == 429} <= {"99", "100"}
        os.kill(running.workers()[0], signal.SIGKILL)
        running.wait_for("worker_lost")
        until = time.monotonic() + 20
        while len(running.workers()) < 2 and time.monotonic() < until:
            time.sleep(0.05)
        again = [Client(running, text).predict(ROW)[0] for _ in range(6)]
        assert set(again) == {429}
        assert Client(running).predict(ROW)[0] == 200
    finally:
        running.end()
