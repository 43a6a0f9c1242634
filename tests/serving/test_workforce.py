"""Workers that die, hang, stay behind or say nonsense, each a process of its own on a pipe of its own."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from tests.serving.http.running import Place

from headrace.serving import probing, workforce
from headrace.serving.errors import VersionNotProbed
from headrace.serving.keys import ApiKey
from headrace.serving.model import Arm, Deployment, Served
from headrace.serving.workforce import Workforce

SERVED = Served(model="m", version=1, package="0" * 64)


def deployment(name: str, revision: int = 1) -> Deployment:
    return Deployment(
        project="p",
        name=name,
        revision=revision,
        arms=(Arm(name="v1", serves=SERVED, weight=1.0),),
        salt="s",
        at_us=0,
        by="ann",
        reason="",
        verb="deploy",
    )


class Force:
    """A workforce of workers that fail on request, and what it said."""

    def __init__(self, folder: Path, wanted: int) -> None:
        self.said: list[tuple[str, dict[str, object]]] = []
        self.mended: list[str] = []
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.force = Workforce(
            Place(folder).settings(),
            self.listening,
            wanted,
            say=self.say,
            counted=lambda _: None,
            stale=lambda: None,
            mend=lambda each: self.mended.append(each.name),
            entry="tests.serving.faulty_worker:serve",
            loaded=("tests.serving.faulty_worker",),
        )

    def say(self, event: str, /, **facts: object) -> None:
        self.said.append((event, facts))

    def lost(self) -> list[str]:
        return [str(facts["why"]) for event, facts in self.said if event == "worker_lost"]

    def pids(self) -> list[int]:
        return [worker.child.pid for worker in self.force._workers]

    async def until(self, reached: Callable[[], bool]) -> None:
        async with asyncio.timeout(30):
            while not reached():
                await asyncio.sleep(0.02)


def run(folder: Path, wanted: int, body: Callable[[Force], Awaitable[None]]) -> None:
    async def whole() -> None:
        force = Force(folder, wanted)
        await force.force.start()
        task = asyncio.create_task(force.force.run())
        try:
            assert await force.force.install(deployment("first")) == {}
            await force.force.open()
            await body(force)
            assert not task.done()
        finally:
            task.cancel()
            await force.force.end(0.0)
            force.listening.close()

    asyncio.run(whole())


def test_who_dies_while_it_loads_is_a_failure_of_what_it_loads(tmp_path: Path) -> None:
    async def body(force: Force) -> None:
        failed = await force.force.install(deployment("dies"))
        assert list(failed) == ["a worker"]
        assert "was lost while it loaded it" in failed["a worker"]
        await force.until(lambda: len(force.force) == 2)
        assert await force.force.install(deployment("second")) == {}  # with those that came after

    run(tmp_path, 2, body)


def test_what_one_cannot_load_is_told_and_the_others_go_on(tmp_path: Path) -> None:
    async def body(force: Force) -> None:
        before = force.pids()
        assert await force.force.install(deployment("cannot")) == {"m@1": "no"}
        assert force.pids() == before
        assert await force.force.install(deployment("second")) == {}

    run(tmp_path, 2, body)


@pytest.mark.parametrize(
    ("model", "why"),
    [
        ("dies", "code -11"),
        ("hangs", "had not answered after 1 s"),
        ("nonsense", "the process ended"),
        ("other", "the process ended"),
        ("cannot", "no"),
    ],
)
def test_what_a_version_does_where_it_is_tried_it_does_to_that_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str, why: str
) -> None:
    monkeypatch.setattr(probing, "PROBE_S", 1.0 if model == "hangs" else 60.0)

    async def body(force: Force) -> None:
        before = force.pids()
        with pytest.raises(VersionNotProbed, match=why):
            await force.force.probe(Served(model=model, version=1, package="0" * 64))
        monkeypatch.setattr(probing, "PROBE_S", 60.0)
        assert await force.force.probe(SERVED) == 20.0
        assert force.pids() == before

    run(tmp_path, 1, body)


def test_deployments_are_loaded_beside_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is never loaded holds back no other, nor new keys, and fails after its turns."""
    monkeypatch.setattr(workforce, "START_TURNS", 15)

    async def body(force: Force) -> None:
        late = asyncio.create_task(force.force.install(deployment("late")))
        await asyncio.sleep(0)
        assert await force.force.install(deployment("second")) == {}
        await force.force.accept([])
        assert not late.done()
        assert "had not loaded it" in (await late)["a worker"]
        assert await force.force.install(deployment("late", 2)) == {}

    run(tmp_path, 2, body)


def test_who_does_not_change_over_with_the_others_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workforce, "START_TURNS", 15)

    async def body(force: Force) -> None:
        before = force.pids()
        await force.force.install(deployment("stays"))
        assert force.lost() == ["it did not take up revision 1 of stays"] * 2
        await force.until(lambda: len(force.force) == 2)
        assert not set(before) & set(force.pids())

    run(tmp_path, 2, body)


@pytest.mark.parametrize("name", ["nonsense", "half"])
def test_who_says_nonsense_or_half_a_message_is_replaced(tmp_path: Path, name: str) -> None:
    async def body(force: Force) -> None:
        install = asyncio.create_task(force.force.install(deployment(name)))
        if name == "half":  # and then hangs
            await force.until(lambda: all(worker.unanswered for worker in force.force._workers))
            for pid in force.pids():
                os.kill(pid, signal.SIGKILL)
        assert "was lost while it loaded it" in (await install)["a worker"]
        await force.until(lambda: len(force.force) == 2)
        assert await force.force.install(deployment("second")) == {}

    run(tmp_path, 2, body)


def test_a_worker_that_hangs_with_a_full_pipe_stops_nobody_else(tmp_path: Path) -> None:
    keys = [
        ApiKey(id=f"{n:012x}", sha256="0" * 64, verbs=("predict",), created_us=0, by="ann", note="x" * 80)
        for n in range(20_000)
    ]

    async def body(force: Force) -> None:
        hung = force.pids()[0]
        os.kill(hung, signal.SIGSTOP)
        await force.force.accept(keys)  # megabytes, of which the pipe takes a few hundred kB
        await force.until(lambda: bool(force.lost()) and len(force.force) == 2)
        assert hung not in force.pids()
        assert await force.force.install(deployment("second")) == {}

    run(tmp_path, 2, body)


def test_who_dies_again_and_again_is_begun_less_and_less_often(tmp_path: Path) -> None:
    async def body(force: Force) -> None:
        until = time.monotonic() + 3.0
        while time.monotonic() < until:
            for pid in force.pids():
                os.kill(pid, signal.SIGKILL)
            await asyncio.sleep(0.01)
        assert 2 <= len(force.lost()) <= 8  # some hundred if each were begun at once
        await force.until(lambda: len(force.force) == 1)

    run(tmp_path, 1, body)


def test_a_supervisor_that_was_stopped_for_long_finds_all_its_workers(tmp_path: Path) -> None:
    async def body(force: Force) -> None:
        before = force.pids()
        for _ in range(3):
            await asyncio.sleep(0.3)
            time.sleep(2.0)  # nothing is heard or sent meanwhile: as if this process had been stopped
        await asyncio.sleep(1.5)
        assert force.lost() == []
        assert force.pids() == before

    run(tmp_path, 2, body)


@pytest.mark.parametrize("known", [True, False])
def test_who_computes_for_long_is_let_be_where_its_versions_take_long(tmp_path: Path, known: bool) -> None:
    async def body(force: Force) -> None:
        if known:
            force.force.may_be_busy(30.0)
        await force.force.install(deployment("busy"))  # for two seconds it hears nothing
        assert bool(force.lost()) is not known

    run(tmp_path, 2, body)


def test_who_loads_for_long_is_let_be(tmp_path: Path) -> None:
    async def body(force: Force) -> None:
        assert await force.force.install(deployment("slow")) == {}  # for two seconds it hears nothing
        assert force.lost() == []

    run(tmp_path, 2, body)


def test_a_worker_that_lived_for_long_is_replaced_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workforce, "STEADY_S", 0.0)

    async def body(force: Force) -> None:
        for number in range(1, 6):
            [pid] = force.pids()
            os.kill(pid, signal.SIGKILL)
            await force.until(lambda number=number: len(force.lost()) == number and len(force.force) == 1)  # type: ignore[misc]
            assert force.force._young == 0
        assert force.force._next == 0.0

    run(tmp_path, 1, body)


def test_keys_hold_at_every_worker_once_that_is_said(tmp_path: Path) -> None:
    async def body(force: Force) -> None:
        force.force.may_be_busy(30.0)
        slow, quick = force.force._workers
        os.kill(slow.child.pid, signal.SIGSTOP)
        told = asyncio.create_task(force.force.accept([]))
        await force.until(lambda: quick.keys > 0)
        await asyncio.sleep(0.3)
        assert not told.done()
        os.kill(slow.child.pid, signal.SIGCONT)
        await told
        assert slow.keys == quick.keys
        assert force.lost() == []

    run(tmp_path, 2, body)


def test_what_workers_say_of_their_work_is_summed_and_then_begun_anew(tmp_path: Path) -> None:
    async def body() -> None:
        force = Force(tmp_path, 2)
        await force.force.start()
        task = asyncio.create_task(force.force.run())
        try:
            await force.until(lambda: all(worker.cpu_s for worker in force.force._workers))
            assert force.force.load().busy == 0.0  # what they computed for before they took requests
            await force.force.install(deployment("first"))
            await force.force.open()
            force.force.load()
            await force.until(lambda: force.force._refused >= 8)
            load = force.force.load()
            assert load.workers == 2
            assert load.refused >= 8
            assert load.refused == 2 * sum(load.latency_us)
            assert load.busy > 0.0
            again = force.force.load()
            assert (again.refused, again.latency_us, again.busy) == (0, (), 0.0)
        finally:
            task.cancel()
            await force.force.end(0.0)
            force.listening.close()

    asyncio.run(body())


def test_when_the_nursery_is_gone_there_is_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_TOKEN", "canary-1")

    async def body(force: Force) -> None:
        before = force.pids()
        os.kill(force.force._nursery._process.pid, signal.SIGKILL)
        await force.until(lambda: len(force.lost()) >= 2 and len(force.force) == 2)
        assert not set(before) & set(force.pids())
        assert await force.force.install(deployment("second")) == {}
        for pid in (force.force._nursery._process.pid, *force.pids()):
            assert b"canary-1" not in Path(f"/proc/{pid}/environ").read_bytes()

    run(tmp_path, 2, body)
