"""The process that reads batches, as its keeper tells of it."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from headrace.serving.batch import keeping
from headrace.serving.batch.counts import BatchProcess


def test_a_process_that_hangs_is_told_not_to_answer_before_it_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeping, "TURN_S", 0.02)
    monkeypatch.setattr(keeping, "START_TURNS", 10_000)
    told: list[tuple[str, BatchProcess]] = []
    heard = asyncio.Event()

    def say(event: str, /, **_: object) -> None:
        told.append((event, keeper.state))
        heard.set()

    async def until(events: int) -> None:
        while len(told) < events:
            heard.clear()
            await asyncio.wait_for(heard.wait(), 60)

    async def live() -> None:
        keeps = asyncio.create_task(keeper.run())
        await until(1)
        assert keeper.state == BatchProcess(answers=True, restarts=0)
        child = keeper._child  # whom nobody else knows
        assert child is not None
        os.kill(child.pid, signal.SIGSTOP)
        await until(3)
        assert keeper.state == BatchProcess(answers=True, restarts=1)
        keeps.cancel()
        await keeper._end_child()  # else its line would outlive the loop

    keeper = keeping.Keeping(say=say)
    assert keeper.state == BatchProcess(answers=False, restarts=0)
    try:
        asyncio.run(live())
    finally:
        keeper.close()
    assert [event for event, _ in told] == ["batch_process", "batch_process_lost", "batch_process"]
    assert told[1][1] == BatchProcess(answers=False, restarts=0)
