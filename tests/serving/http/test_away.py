"""Rows that are made of what another machine holds: others do not wait for them, and it may go and come back."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import pytest
from tests.scoring.made import KEY, OUTPUTS, ROW, decision, encoder, forest, id_of, package_files, program, signed
from tests.servers import RedisServer
from tests.serving.http.inside import (
    Inside,
    Transport,
    answers,
    deployment,
    key,
    now_us,
    request,
    turns,
    version,
    within,
)
from tests.serving.http.test_answering import failing

from headrace.data.model import Field
from headrace.errors import TroubleOutside
from headrace.features.errors import OnlineStale
from headrace.features.materialize import materialize
from headrace.features.model import EncodedColumn, LookupStep, Numeric, Program
from headrace.features.naming import fields_of
from headrace.features.online import OnlineHistory
from headrace.language.types import Type
from headrace.scoring.package import read_package
from headrace.serving.breaker import Breaker
from headrace.serving.model import Served
from headrace.serving.versions import Version
from headrace.stores.online.redis import RedisOnlineStore

LOOKUP = LookupStep(name="line", source="lines", key=(("carrier", "carrier"),), take=(("fleet", Type.FLOAT),))
CARRIERS = [f"C{number}" for number in range(200)]


def with_lookup() -> Program:
    [fleet] = fields_of(LOOKUP)
    made = program()
    return msgspec.structs.replace(
        made,
        steps=(*made.steps, LOOKUP),
        outputs=(*made.outputs, Field(name=fleet.name, type=fleet.type)),
    )


def looking_up_files(number: int) -> dict[str, bytes]:
    """Of a package whose model looks at what is looked up."""
    whole = with_lookup()
    field = whole.outputs[-1]
    column = EncodedColumn(name=field.name, type=field.type, encoding=Numeric(), typical=1.0)
    columns = (*encoder().columns, column)
    return {
        "program.json": msgspec.json.encode(whole),
        "encoder.json": msgspec.json.encode(msgspec.structs.replace(encoder(), columns=columns)),
        "decision.json": msgspec.json.encode(msgspec.structs.replace(decision(), knots=((0.0, 0.0), (1.0, 1.0)))),
        "model.onnx": forest(len(OUTPUTS) + 1, trees=60, depth=6, link="Sigmoid", seed=number),
    }


def looking_up(number: int, history: Any) -> Version:
    stored = signed(package_files(seed=number, replaced=looking_up_files(number)))
    listing = {name: len(data) for name, data in stored.items()}
    package = read_package(stored.__getitem__, package=id_of(stored), signers=(KEY.public,), listing=listing)
    return Version(Served(model="delays", version=number, package=id_of(stored)), package, history)


def filled(url: str) -> RedisOnlineStore:
    store = RedisOnlineStore(url)
    lines = pl.DataFrame({"carrier": CARRIERS, "fleet": [number / 40 - 2.5 for number in range(len(CARRIERS))]})
    materialize(with_lookup(), {"lines": lines.lazy()}, store, "delays", now_us=now_us())
    return store


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not true():
            await asyncio.sleep(0.01)


async def ask(inside: Inside, body: Any, **headers: str) -> tuple[int, dict[str, str], Any]:
    connection, transport = inside.connect()
    connection.data_received(request(body, **headers))
    await until(lambda: bool(transport.sent))
    [answer] = answers(transport.sent)
    return answer


def test_who_asks_for_something_else_does_not_wait(tmp_path: Path) -> None:
    async def run() -> None:
        with RedisServer(tmp_path / "redis") as server:
            store = filled(server.url)
            made = looking_up(1, OnlineHistory(with_lookup(), store, "delays"))
            inside = Inside(tmp_path / "log", deployment({"v1": made}), [made])
            assert (await ask(inside, []))[0] == 200
            rows = [ROW | {"carrier": carrier} for carrier in CARRIERS[:50]]
            _, _, many = await ask(inside, rows)
            want = [each.probability for each in made.scorer.predict(rows)]
            assert [each["probability"] for each in many["predictions"]] == want
            assert len(set(want)) > 5
            status, _, problem = await ask(inside, [ROW, ROW | {"vip": "so"}])
            assert (status, problem["code"]) == (422, "value-refused")
            pid = server.facts()["pid"]
            os.kill(pid, signal.SIGSTOP)
            try:
                waiting = [inside.connect() for _ in range(3)]
                for connection, _ in waiting:
                    connection.data_received(request())
                await turns(20)
                assert (await ask(inside, b"", path="/healthz", method="GET"))[0] == 200
                assert not any(transport.sent for _, transport in waiting)
            finally:
                os.kill(pid, signal.SIGCONT)
            await until(partial(_all_sent, [transport for _, transport in waiting]))
            assert {answers(transport.sent)[0][0] for _, transport in waiting} == {200}
            store.close()

    within(run())


def test_what_is_away_is_answered_by_who_does_without_it_until_it_is_back(tmp_path: Path) -> None:
    async def run() -> None:
        with RedisServer(tmp_path / "redis") as server:
            store = filled(server.url)
            made, other = looking_up(1, OnlineHistory(with_lookup(), store, "delays")), version(2)
            alone = Inside(tmp_path / "a", deployment({"v1": made}), [made])
            helped = Inside(tmp_path / "b", deployment({"v1": made}, fallbacks=(other.served,)), [made, other])
            assert (await ask(alone, ROW))[0] == 200
            server.stop()
            for _ in range(5):
                status, headers, problem = await ask(alone, ROW)
                assert (status, problem["code"]) == (503, "store-unavailable")
                assert "retry-after" in headers
                assert "redis" not in str(problem)
                status, _, answer = await ask(helped, ROW)
                assert (status, answer["version"]) == (200, 2)
            server.start()
            async with asyncio.timeout(60):
                while (await ask(alone, ROW))[0] != 200:
                    await asyncio.sleep(0.05)
            _, _, answer = await ask(helped, ROW)
            assert answer["version"] == 1
            store.close()

    within(run())


def test_a_fallback_that_looks_up_is_asked_away_from_the_loop(tmp_path: Path) -> None:
    async def run() -> None:
        with RedisServer(tmp_path / "redis") as server:
            store = filled(server.url)
            arm, other = failing(1), looking_up(2, OnlineHistory(with_lookup(), store, "delays"))
            made = deployment({"v1": arm}, fallbacks=(other.served,))
            inside = Inside(tmp_path / "a", made, [arm, other])
            rows = [ROW | {"seats": seats, "carrier": "C7"} for seats in (6, 7, 8, 7)]
            _, _, answer = await ask(inside, rows)
            assert [each["version"] for each in answer["predictions"]] == [1, 2, 1, 2]
            want = other.scorer.predict([rows[1]])[0].probability
            assert [each["probability"] for each in answer["predictions"]][1::2] == [want, want]
            pid = server.facts()["pid"]
            os.kill(pid, signal.SIGSTOP)
            try:
                connection, transport = inside.connect()
                connection.data_received(request(rows[1]))
                await turns(20)
                assert (await ask(inside, rows[0]))[0] == 200
                assert not transport.sent
            finally:
                os.kill(pid, signal.SIGCONT)
            await until(lambda: bool(transport.sent))
            assert answers(transport.sent)[0][2]["version"] == 2
            server.stop()
            status, _, problem = await ask(inside, rows[:2])
            assert (status, problem["code"]) == (500, "not-answered")
            inside.install(msgspec.structs.replace(made, constant=0.25), key())
            _, _, answer = await ask(inside, rows[1])
            assert (answer["probability"], answer["version"]) == (0.25, None)
            assert inside.desk._answering.waiting == 0
            store.close()

    within(run())


def test_a_shadow_that_looks_up_waits_alone(tmp_path: Path) -> None:
    async def run() -> None:
        with RedisServer(tmp_path / "redis") as server:
            store = filled(server.url)
            arm, shadow = version(1), looking_up(2, OnlineHistory(with_lookup(), store, "delays"))
            inside = Inside(tmp_path / "log", deployment({"v1": arm}, shadows=(shadow.served,)), [arm, shadow])
            row = ROW | {"carrier": "C7"}
            assert (await ask(inside, row))[2]["version"] == 1
            tallies = inside.desk.tallies
            await until(lambda: ("delays", "shadow-v2") in tallies)
            pid = server.facts()["pid"]
            os.kill(pid, signal.SIGSTOP)
            try:
                for _ in range(3):
                    assert (await ask(inside, row))[2]["version"] == 1
                await turns(20)
            finally:
                os.kill(pid, signal.SIGCONT)
            tally = tallies["delays", "shadow-v2"]
            await until(lambda: tally.rows + tally.failed == 4)
            assert tally.failed == 0  # had it kept the others waiting, nobody could have let it go on
            said = [record.scores for route, record in inside.logged() if route.shadow]
            assert said == [(shadow.scorer.predict([row])[0].probability,)] * 4
            store.close()

    within(run())


def test_clients_that_leave_never_get_each_others_values(tmp_path: Path) -> None:
    draw = random.Random(0)

    async def run() -> None:
        with RedisServer(tmp_path / "redis") as server:
            store = filled(server.url)
            made = looking_up(1, OnlineHistory(with_lookup(), store, "delays"))
            inside = Inside(tmp_path / "log", deployment({"v1": made}), [made])
            want = {carrier: made.scorer.predict([ROW | {"carrier": carrier}])[0].probability for carrier in CARRIERS}
            answered = 0
            for _ in range(100):
                asked = []
                for _ in range(30):
                    carrier = draw.choice(CARRIERS)
                    connection, transport = inside.connect()
                    connection.data_received(request(ROW | {"carrier": carrier}, x_request_id=carrier))
                    asked.append((carrier, connection, transport))
                await turns(draw.randrange(4))
                stays = []
                for each in asked:
                    if draw.random() < 0.5:
                        each[1].connection_lost(None)
                    else:
                        stays.append(each)
                await until(partial(_all_sent, [transport for _, _, transport in stays]))
                for carrier, _, transport in stays:
                    [(status, _, answer)] = answers(transport.sent)
                    assert (status, answer["id"], answer["probability"]) == (200, carrier, want[carrier])
                    answered += 1
            assert answered > 1_000
            for _, record in inside.logged():
                assert record.scores == (want[record.request_id],)
            store.close()

    within(run())


def _all_sent(transports: list[Transport]) -> bool:
    return all(each.sent for each in transports)


class Gone(TroubleOutside):
    code = "gone"


def test_a_breaker_asks_seldom_while_it_is_away_and_always_once_it_is_back() -> None:
    clock, asked, away = [10.0], [0], [True]

    def call(value: int) -> int:
        asked[0] += 1
        if value < 0:
            raise ValueError(value)
        if away[0]:
            raise Gone("gone")
        return value

    guarded = Breaker(clock=lambda: clock[0]).guard(call)
    for _ in range(1_000):
        with pytest.raises(Gone):
            guarded(1)
        clock[0] += 0.01
    assert 10 <= asked[0] <= 16  # 10 s: after 0.1, 0.2, 0.4, 0.8 s, then every second
    away[0] = False
    until_s = clock[0] + 1.01
    while clock[0] < until_s:
        try:
            assert guarded(2) == 2
            break
        except Gone:
            clock[0] += 0.01
    else:
        raise AssertionError("it is back for a second and was not asked")
    before = asked[0]
    assert [guarded(n) for n in range(50)] == list(range(50))
    assert asked[0] == before + 50
    with pytest.raises(ValueError, match="-1"):
        guarded(-1)
    assert guarded(3) == 3  # a fault of the row opens nothing


def test_trouble_that_is_of_one_row_alone_opens_nothing() -> None:
    def call(value: int) -> int:
        if value < 0:
            raise Gone("gone")
        return value

    guarded = Breaker(but_not=(Gone,), clock=lambda: 10.0).guard(call)
    for _ in range(3):
        with pytest.raises(Gone):
            guarded(-1)
        assert guarded(1) == 1


def test_while_one_asks_whether_it_is_back_the_others_are_told_at_once() -> None:
    clock, asked = [10.0], [0]
    asking, go = threading.Event(), threading.Event()

    def call(waits: bool) -> None:
        asked[0] += 1
        if waits:
            asking.set()
            assert go.wait(30)
        raise Gone("gone")

    guarded = Breaker(clock=lambda: clock[0]).guard(call)
    with pytest.raises(Gone):
        guarded(False)
    clock[0] += 0.2
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(guarded, True)
        assert asking.wait(30)
        for _ in range(5):
            with pytest.raises(Gone):
                guarded(False)
        go.set()
        with pytest.raises(Gone):
            slow.result(30)
    assert asked == [2]


class Counting:
    """History on another machine, that is asked in vain and counts how often."""

    waits = True
    watermark_us = None

    def __init__(self, error: Exception) -> None:
        self.asked, self._error = 0, error

    def reader(self, steps: Sequence[int]) -> Any:
        def read(keys: object, t_us: object) -> Any:
            self.asked += 1
            raise self._error

        return read


def test_a_version_asks_seldom_for_what_is_away_and_every_time_for_what_is_only_old() -> None:
    stale = OnlineStale("line", behind_us=2, limit_us=1)
    for error, most in ((Gone("gone"), 30), (stale, 300)):
        history = Counting(error)
        made = looking_up(1, history)
        values = made.bodies.one(json.dumps(ROW).encode())
        for _ in range(300):
            with pytest.raises(type(error)):
                made.prepare(values, now_us())
        assert 0 < history.asked <= most
        assert (history.asked == 300) == (error is stale)
