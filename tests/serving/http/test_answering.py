"""How rows are answered: by their arm, else by others; what shadows say; and what is counted and logged of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.scoring.made import ROW, decision, encoder, program
from tests.serving.http.inside import Inside, Transport, answers, deployment, key, request, turns, version, within

from headrace.data.model import Field
from headrace.errors import HeadraceError, TroubleOutside
from headrace.features.errors import BeforeWatermark
from headrace.language.types import Type
from headrace.scoring.bodies import plain_rows
from headrace.scoring.errors import ScoreNotFinite
from headrace.scoring.model import Decision
from headrace.serving.http import endpoint as endpoints
from headrace.serving.http.asked import Tally
from headrace.serving.limits import Limits
from headrace.serving.log.errors import LogFull, LogUnavailable
from headrace.serving.versions import Version

BACKWARDS = {
    "program.json": msgspec.json.encode(
        msgspec.structs.replace(program(), outputs=tuple(reversed(program().outputs)), request=program().request[::-1])
    ),
    "encoder.json": msgspec.json.encode(msgspec.structs.replace(encoder(), columns=tuple(reversed(encoder().columns)))),
}
"""The same columns, all in the other order: a row that was made ready for another version is none for this one."""
OTHER = msgspec.structs.replace(program(), request=(*program().request, Field(name="gate", type=Type.STRING)))


class Failing(Version):
    """A version that has no answer where it is asked about so many seats."""

    seats = 7.0

    def answer(self, encoded: Sequence[bytes], amounts: Sequence[tuple[object, ...]]) -> Any:
        place = [field.name for field in self.scorer.program.outputs].index("seats")
        for number, row in enumerate(encoded):
            if memoryview(row).cast("f")[place] == self.seats:
                raise ScoreNotFinite(number)
        return super().answer(encoded, amounts)


def failing(number: int) -> Version:
    made = version(number)
    made.__class__ = Failing
    return made


def broken(number: int, error: Exception) -> Version:
    """A version that cannot make rows ready."""
    made = version(number)

    def prepare(values: object, now_us: int | None = None) -> Any:
        raise error

    object.__setattr__(made, "prepare", prepare)
    return made


def away(made: Version) -> Version:
    """The same, made ready on other threads."""
    object.__setattr__(made, "waits", True)
    return made


class StoreGone(TroubleOutside):
    """Like that of a store, with a place that nobody is to know."""

    code = "store-gone"

    def __init__(self) -> None:
        super().__init__("redis://secret:6379 is gone", fix="start it", url="redis://secret:6379")


def test_a_fallback_reads_the_row_itself(tmp_path: Path) -> None:
    async def run() -> None:
        arm, other = failing(1), version(2, replaced=BACKWARDS)
        inside = Inside(tmp_path, deployment({"v1": arm}, fallbacks=(other.served,)), [arm, other])
        asked = [ROW | {"seats": seats} for seats in (6, 7, 8)]
        status, _, answer = await inside.ask(asked)
        assert status == 200
        want = [arm.scorer.predict(asked[:1]), other.scorer.predict(asked[1:2]), arm.scorer.predict(asked[2:])]
        assert [each["probability"] for each in answer["predictions"]] == [each[0].probability for each in want]
        assert [each["version"] for each in answer["predictions"]] == [1, 2, 1]
        tally = inside.desk.tallies["delays", "v1"]
        assert (tally.rows, tally.failed, tally.fell_back) == (3, 1, 1)
        logged = inside.logged()
        assert [(route.version, route.fallback) for route, _ in logged] == [(1, False), (2, True), (1, False)]
        again = other.scorer.score_features(logged[1][1].features)
        assert logged[1][1].scores == (again,)

    within(run())


def test_where_nobody_can_answer_the_constant_does(tmp_path: Path) -> None:
    async def run() -> None:
        arm, other = failing(1), failing(2)
        made = deployment({"v1": arm}, fallbacks=(other.served,), constant=0.5)
        inside = Inside(tmp_path, made, [arm, other])
        status, _, answer = await inside.ask(ROW | {"seats": 7})
        assert (status, answer["probability"], answer["decision"], answer["version"]) == (200, 0.5, True, None)
        [(route, record)] = inside.logged()
        assert (route.package, route.version, route.fallback, record.scores) == ("", None, True, (0.5,))

    within(run())


@pytest.mark.parametrize("waits", [False, True])
@pytest.mark.parametrize("error", [StoreGone(), ZeroDivisionError()])
def test_fallbacks_are_asked_in_their_order_and_the_constant_is_the_last(
    tmp_path: Path, error: Exception, waits: bool
) -> None:
    async def run() -> None:
        arm, cannot, second, third = failing(1), broken(2, error), version(3), version(4)
        every = [arm, away(cannot) if waits else cannot, second, third]
        made = deployment({"v1": arm}, fallbacks=tuple(each.served for each in every[1:]), constant=0.5)
        inside = Inside(tmp_path, made, every)
        asked = [ROW | {"seats": seats, "distance": seats * 1.1} for seats in (6, 7, 8)]
        connection, transport = inside.connect()
        connection.data_received(request(asked))
        await until_sent(transport)
        [(status, _, answer)] = answers(transport.sent)
        assert status == 200
        want = [arm.scorer.predict(asked[:1]), second.scorer.predict(asked[1:2]), arm.scorer.predict(asked[2:])]
        assert [each["probability"] for each in answer["predictions"]] == [each[0].probability for each in want]
        assert [each["version"] for each in answer["predictions"]] == [1, 3, 1]

    within(run())


def test_a_fault_of_the_last_who_could_answer_is_noted(tmp_path: Path) -> None:
    async def run() -> None:
        arm, cannot = failing(1), broken(2, ZeroDivisionError())
        inside = Inside(tmp_path, deployment({"v1": arm}, fallbacks=(cannot.served,), constant=0.5), [arm, cannot])
        assert (await inside.ask(ROW | {"seats": 7}))[2]["version"] is None
        assert [type(fault) for fault in inside.faults] == [ZeroDivisionError]

    within(run())


def test_the_constant_alone_answers_where_an_arm_cannot_make_rows_ready(tmp_path: Path) -> None:
    async def run() -> None:
        arm = broken(1, StoreGone())
        inside = Inside(tmp_path, deployment({"v1": arm}, constant=0.25), [arm])
        for body in (ROW, [ROW]):
            status, _, answer = await inside.ask(body)
            [told] = answer.get("predictions", [answer])
            assert (status, told["probability"], told["version"]) == (200, 0.25, None)
        tally = inside.desk.tallies["delays", "v1"]
        assert (tally.rows, tally.failed, tally.fell_back) == (2, 2, 2)

    within(run())


def test_what_a_fallback_says_once_its_request_was_told_otherwise_is_told_nobody(tmp_path: Path) -> None:
    async def run() -> None:
        arm, other = failing(1), away(version(2))
        inside = Inside(tmp_path, deployment({"v1": arm}, fallbacks=(other.served,)), [arm, other])
        keep = inside.records.keep
        inside.records.keep = _raises(ZeroDivisionError())  # type: ignore[method-assign]
        both = [inside.connect() for _ in range(2)]
        for (connection, _), seats in zip(both, (7, 8), strict=True):
            connection.data_received(request(ROW | {"seats": seats}))
        for _, transport in both:
            await until_sent(transport)
        inside.records.keep = keep  # type: ignore[method-assign]
        inside.desk._answering._pool.shutdown()  # the fallback has answered by now
        await turns()
        assert [[status for status, _, _ in answers(transport.sent)] for _, transport in both] == [[500], [500]]
        assert inside.desk._answering.waiting == 0
        assert inside.logged() == []

    within(run())


def test_a_row_without_any_answer_fails_alone(tmp_path: Path) -> None:
    async def run() -> None:
        arm = failing(1)
        inside = Inside(tmp_path, deployment({"v1": arm}), [arm])
        one, other = inside.connect(), inside.connect()
        one[0].data_received(request(ROW | {"seats": 7}))
        other[0].data_received(request(ROW))
        await turns()
        assert b"500 Internal Server Error" in one[1].sent
        assert b"not-answered" in one[1].sent
        assert b"200 OK" in other[1].sent
        assert (await inside.ask(ROW))[0] == 200

    within(run())


def test_what_predictions_are_made_from_being_away_is_503_and_says_nothing_of_where(tmp_path: Path) -> None:
    async def run() -> None:
        arm = broken(1, StoreGone())
        inside = Inside(tmp_path, deployment({"v1": arm}), [arm])
        for body in (ROW, [ROW, ROW]):
            status, headers, problem = await inside.ask(body)
            assert (status, problem["code"]) == (503, "store-gone")
            assert "secret" not in str(problem)
            assert headers["retry-after"] in {"1", "2", "3"}
        assert inside.desk.tallies["delays", "v1"].failed == 2

    within(run())


def test_what_predictions_are_made_from_being_away_is_answered_by_who_does_without(tmp_path: Path) -> None:
    async def run() -> None:
        arm, other = broken(1, StoreGone()), version(2)
        inside = Inside(tmp_path, deployment({"v1": arm}, fallbacks=(other.served,)), [arm, other])
        for body in (ROW, [ROW]):
            status, _, answer = await inside.ask(body)
            assert status == 200
            told = answer["predictions"][0] if isinstance(body, list) else answer
            assert told["probability"] == other.scorer.predict([ROW])[0].probability
            assert told["version"] == 2

    within(run())


def test_a_row_that_is_wrong_is_no_failure_of_its_arm(tmp_path: Path) -> None:
    async def run() -> None:
        arm, other = version(1), version(2)
        inside = Inside(tmp_path, deployment({"v1": arm}, fallbacks=(other.served,)), [arm, other])
        assert (await inside.ask(ROW | {"vip": "so"}))[0] == 422
        assert (await inside.ask([ROW, ROW | {"vip": "so"}]))[0] == 422
        assert inside.desk.tallies == {}
        assert (await inside.ask(ROW))[0] == 200

    within(run())


@pytest.mark.parametrize("waits", [False, True])
def test_a_row_of_the_past_is_its_senders_fault_whoever_could_answer_it(tmp_path: Path, waits: bool) -> None:
    async def run() -> None:
        arm, other = broken(1, BeforeWatermark("line", t_us=1, watermark_us=2)), version(2)
        every = [away(arm) if waits else arm, other]
        inside = Inside(tmp_path, deployment({"v1": arm}, fallbacks=(other.served,), constant=0.5), every)
        for body in (ROW, [ROW, ROW]):
            connection, transport = inside.connect()
            connection.data_received(request(body))
            await until_sent(transport)
            [(status, _, problem)] = answers(transport.sent)
            assert (status, problem["code"]) == (422, "before-watermark")
        assert inside.desk.tallies == {}
        assert inside.desk._answering.waiting == 0

    within(run())


@pytest.mark.parametrize("waits", [False, True])
def test_of_many_rows_it_is_said_which_is_of_the_past(tmp_path: Path, waits: bool) -> None:
    async def run() -> None:
        arm = version(1)
        made, prepare = iter(range(4)), arm.prepare

        def third_fails(values: Any, now_us: int | None = None) -> Any:
            if next(made) % 3 == 2:
                raise BeforeWatermark("line", t_us=1, watermark_us=2)
            return prepare(values, now_us)

        object.__setattr__(arm, "prepare", third_fails)
        inside = Inside(tmp_path, deployment({"v1": arm}), [away(arm) if waits else arm])
        connection, transport = inside.connect()
        connection.data_received(request([ROW, ROW, ROW]))
        await until_sent(transport)
        [(status, _, problem)] = answers(transport.sent)
        assert (status, problem["code"], problem["facts"]["row"]) == (422, "before-watermark", 2)
        assert problem["detail"].startswith("rows[2]: the prediction time is ")
        assert inside.desk._answering.waiting == 0

    within(run())


def test_shadows_answer_the_same_rows_and_nobody_sees_it(tmp_path: Path) -> None:
    async def run() -> None:
        arm, shadow, worse = version(1), version(2, replaced=BACKWARDS), failing(3)
        made = deployment({"v1": arm}, shadows=(shadow.served, worse.served))
        inside = Inside(tmp_path, made, [arm, shadow, worse])
        asked = [ROW | {"seats": seats} for seats in (6, 7)]
        status, _, answer = await inside.ask(asked, x_request_id="q1")
        assert status == 200
        assert {each["version"] for each in answer["predictions"]} == {1}
        await turns()
        logged = inside.logged()
        want = [(each.probability,) for each in shadow.scorer.predict(asked)]
        said = [(record.row, record.scores) for route, record in logged if route.shadow and route.version == 2]
        assert said == list(enumerate(want))
        assert [record.row for route, record in logged if route.shadow and route.version == 3] == [0]
        assert {route.arm for route, _ in logged if route.shadow} == {"shadow-v2", "shadow-v3"}
        assert {record.request_id for _, record in logged} == {"q1"}
        tallies = inside.desk.tallies
        assert (tallies["delays", "shadow-v2"].rows, tallies["delays", "shadow-v3"].failed) == (2, 1)
        assert sum(tallies["delays", "shadow-v2"].scores) == 2

    within(run())


def test_rows_that_shadows_have_no_time_for_are_answered_and_counted(tmp_path: Path) -> None:
    async def run() -> None:
        arm, shadow = version(1), version(2)
        limits = Limits(waiting_rows=200)
        inside = Inside(tmp_path, deployment({"v1": arm}, shadows=(shadow.served,)), [arm, shadow], limits=limits)
        many = [inside.connect() for _ in range(3)]
        for (connection, _), rows in zip(many, (199, 199, 5), strict=True):
            if rows == 5:
                await turns(1)  # the others have been answered, and wait for the shadow, 128 rows a turn
            connection.data_received(request([ROW] * rows))
        await turns(20)
        assert [answers(transport.sent)[0][0] for _, transport in many] == [200] * 3
        tally = inside.desk.tallies["delays", "shadow-v2"]
        assert (tally.rows, tally.skipped) == (398, 5)

    within(run())


def test_a_shadow_that_waits_for_others_is_asked_each_row_once_and_goes_on(tmp_path: Path) -> None:
    async def run() -> None:
        arm, shadow = version(1), away(version(2))
        limits = Limits(waiting_rows=4)
        inside = Inside(tmp_path, deployment({"v1": arm}, shadows=(shadow.served,)), [arm, shadow], limits=limits)
        for number in range(1, 11):
            assert (await inside.ask(ROW))[0] == 200
            async with asyncio.timeout(60):
                while inside.desk.tallies.get(("delays", "shadow-v2"), Tally()).rows < number:
                    await asyncio.sleep(0.001)
        tally = inside.desk.tallies["delays", "shadow-v2"]
        assert (tally.rows, tally.skipped) == (10, 0)
        assert sum(route.shadow for route, _ in inside.logged()) == 10

    within(run())


def test_what_a_shadow_cannot_do_is_counted_and_nobody_answers_in_its_place(tmp_path: Path) -> None:
    async def run() -> None:
        arm, other = version(1), version(5)
        shadows = [failing(2), broken(3, StoreGone()), broken(4, ZeroDivisionError())]
        made = deployment(
            {"v1": arm}, shadows=tuple(each.served for each in shadows), fallbacks=(other.served,), constant=0.5
        )
        inside = Inside(tmp_path, made, [arm, other, *shadows])
        assert (await inside.ask(ROW | {"seats": 7}))[2]["version"] == 1
        await turns()
        tallies = inside.desk.tallies
        told = [tallies["delays", f"shadow-v{number}"] for number in (2, 3, 4)]
        assert [(tally.rows, tally.failed, tally.fell_back) for tally in told] == [(0, 1, 0)] * 3
        assert [type(fault) for fault in inside.faults] == [ZeroDivisionError]
        assert [route.version for route, _ in inside.logged()] == [1]

    within(run())


def test_what_shadows_say_and_the_log_does_not_take_is_counted_and_costs_nobody_anything(tmp_path: Path) -> None:
    async def run() -> None:
        arm, shadow = version(1), version(2)
        inside = Inside(tmp_path, deployment({"v1": arm}, shadows=(shadow.served,)), [arm, shadow])
        inside.desk._answering._shadows._keep = _raises(LogFull("somewhere"))
        assert (await inside.ask([ROW, ROW]))[0] == 200
        await turns()
        assert inside.desk.tallies["delays", "shadow-v2"].skipped == 2
        assert inside.faults == []

    within(run())


def test_arms_that_take_other_columns_each_read_their_own(tmp_path: Path) -> None:
    async def run() -> None:
        arm = version(1)
        other = version(2, replaced={"program.json": msgspec.json.encode(OTHER)})
        made = deployment({"v1": arm, "v2": other}, sticky=("carrier",))
        inside = Inside(tmp_path, made, [arm, other])
        seen = set()
        for number in range(30):
            row = ROW | {"carrier": f"C{number}", "gate": "B4"}
            status, _, answer = await inside.ask(row)
            assert status == 200, answer
            seen.add(answer["version"])
            by = arm if answer["version"] == 1 else other
            assert answer["probability"] == by.scorer.predict([row], extra="ignore")[0].probability
            status, _, without = await inside.ask(ROW | {"carrier": f"C{number}"})
            assert status == (200 if by is arm else 422), without
        assert seen == {1, 2}
        assert (await inside.ask(ROW | {"gates": "B4"}))[2]["code"] == "column-unknown"

    within(run())


def test_a_row_that_names_no_entity_is_drawn_by_its_request(tmp_path: Path) -> None:
    async def run() -> None:
        one, two = version(1), version(2)
        inside = Inside(tmp_path, deployment({"v1": one, "v2": two}, sticky=("carrier",)), [one, two])
        unnamed = {(await inside.ask(ROW | {"carrier": None}))[2]["version"] for _ in range(30)}
        assert unnamed == {1, 2}
        named = {(await inside.ask(ROW | {"carrier": "UA"}))[2]["version"] for _ in range(30)}
        assert len(named) == 1

    within(run())


def test_values_are_counted_by_where_the_golden_rows_lie(tmp_path: Path) -> None:
    async def run() -> None:
        one, two = version(1, task="regression"), version(2, task="regression")
        assert 5 <= len(one.score_edges) <= 9
        assert list(one.score_edges) == sorted(one.score_edges)
        inside = Inside(tmp_path, deployment({"v1": one, "v2": two}, sticky=("carrier",)), [one, two])
        for number in range(30):
            await inside.ask(ROW | {"carrier": f"C{number}", "distance": 0.1 * number - 1.5, "seats": number % 3})
        for tally in inside.desk.tallies.values():
            assert len(tally.scores) == len(one.score_edges) + 1
            assert sum(tally.scores) == tally.rows

    within(run())


class Filled:
    """History that was filled up to an instant."""

    waits = False
    watermark_us = 123

    def reader(self, steps: Sequence[int]) -> Any:
        return lambda keys, t_us: []


def test_the_log_says_up_to_when_values_were_filled(tmp_path: Path) -> None:
    async def run() -> None:
        made = version(1, history=Filled())
        inside = Inside(tmp_path, deployment({"v1": made}), [made])
        assert (await inside.ask(ROW))[0] == 200
        assert [record.watermark_us for _, record in inside.logged()] == [123]

    within(run())


TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENTS = {
    f"00-{TRACE}-00f067aa0ba902b7-01": TRACE,
    f"cc-{TRACE}-00f067aa0ba902b7-01-what-comes-later": TRACE,
    f"ff-{TRACE}-00f067aa0ba902b7-01": None,
    f"00-{'0' * 32}-00f067aa0ba902b7-01": None,
    f"00-{TRACE}-{'0' * 16}-01": None,
    f"00-{TRACE.upper()}-00f067aa0ba902b7-01": None,
    f"00-{TRACE}-00f067aa0ba902b7": None,
    "nonsense": None,
}


def test_the_log_says_which_trace_a_request_was_a_part_of(tmp_path: Path) -> None:
    async def run() -> None:
        made = version(1)
        inside = Inside(tmp_path, deployment({"v1": made}), [made])
        for parent in PARENTS:
            assert (await inside.ask(ROW, traceparent=parent))[0] == 200
        assert (await inside.ask(ROW))[0] == 200
        assert [record.trace for _, record in inside.logged()] == [*PARENTS.values(), None]

    within(run())


def test_the_log_says_what_the_answer_of_who_gave_it_costs(tmp_path: Path) -> None:
    async def run() -> None:
        arm, other = failing(1), version(2)
        for each, price in ((arm, 3e-6), (other, 5e-6)):
            object.__setattr__(each, "served", msgspec.structs.replace(each.served, price_usd=price))
        inside = Inside(tmp_path, deployment({"v1": arm}, fallbacks=(other.served,), constant=0.5), [arm, other])
        for seats in (6, 7):
            assert (await inside.ask(ROW | {"seats": seats}))[0] == 200
        assert [route.price_usd for route, _ in inside.logged()] == [3e-6, 5e-6]

    within(run())


def test_scores_and_time_of_each_arm_are_counted(tmp_path: Path) -> None:
    async def run() -> None:
        one, two = version(1), version(2)
        inside = Inside(tmp_path, deployment({"v1": one, "v2": two}, sticky=("carrier",)), [one, two])
        began = time.perf_counter()
        for number in range(40):
            await inside.ask(ROW | {"carrier": f"C{number}"})
        took_us = (time.perf_counter() - began) * 1e6
        tallies = inside.desk.tallies
        assert set(tallies) == {("delays", "v1"), ("delays", "v2")}
        assert sum(tally.row_sum for tally in tallies.values()) <= took_us  # one was asked after the other
        assert sum(tally.latency_sum for tally in tallies.values()) <= took_us
        for tally in tallies.values():
            assert sum(tally.scores) == tally.rows == sum(tally.latency)
            assert tally.row_sum > 0.0
            assert tally.row_squares >= tally.row_sum**2 / tally.rows * 0.999
            counts = tally.counts()
            assert (counts.rows, counts.scores, counts.row_sum_us) == (tally.rows, tuple(tally.scores), tally.row_sum)

    within(run())


@pytest.mark.parametrize(
    ("fault", "told"),
    [(LogFull("somewhere"), 507), (LogUnavailable("somewhere", "no"), 503), (ZeroDivisionError(), 500)],
)
def test_what_cannot_be_logged_does_not_leave_whatever_the_reason(tmp_path: Path, fault: Exception, told: int) -> None:
    async def run() -> None:
        arm = version(1)
        inside = Inside(tmp_path, deployment({"v1": arm}), [arm])
        keep = inside.records.keep
        inside.records.keep = _raises(fault)  # type: ignore[method-assign]
        status, headers, problem = await inside.ask(ROW)
        assert status == told
        assert ("retry-after" in headers) == isinstance(fault, HeadraceError)
        assert "somewhere" not in str(problem)
        assert len(inside.faults) == (0 if isinstance(fault, HeadraceError) else 1)
        inside.records.keep = keep  # type: ignore[method-assign]
        assert (await inside.ask(ROW))[0] == 200

    within(run())


def _raises(error: Exception) -> Any:
    def keep(*_: object) -> None:
        raise error

    return keep


async def until_sent(transport: Transport) -> None:
    async with asyncio.timeout(60):
        while not transport.sent:
            await asyncio.sleep(0.001)


def test_more_than_can_be_answered_is_refused_and_told_when_to_come_again(tmp_path: Path) -> None:
    async def run() -> None:
        arm = version(1)
        inside = Inside(tmp_path, deployment({"v1": arm}), [arm], limits=Limits(waiting=2))
        many = [inside.connect() for _ in range(4)]
        for connection, _ in many:
            connection.data_received(request())
        await turns()
        assert [b"200 OK" in transport.sent for _, transport in many] == [True, True, False, False]
        assert all(b"429 " in transport.sent and b"retry-after: " in transport.sent for _, transport in many[2:])
        assert inside.desk.refusals == 2  # by which a server is told that it has too few workers
        assert (await inside.ask(ROW))[0] == 200

    within(run())


def test_what_nobody_waits_for_any_more_is_not_begun(tmp_path: Path) -> None:
    async def run() -> None:
        arm = version(1)
        inside = Inside(tmp_path, deployment({"v1": arm}), [arm])
        assert (await inside.ask(ROW, x_timeout_ms="60000"))[0] == 200
        for wrong in ("0", "-1", "1.5", "soon", "3600001", "99999999999"):
            assert (await inside.ask(ROW, x_timeout_ms=wrong))[2]["code"] == "timeout-invalid"
        answering = inside.desk._answering
        answering.row_us = 5_000.0
        assert (await inside.ask(ROW, x_timeout_ms="1"))[0] == 429  # it could not be ready in time
        answering.row_us = 0.0
        released = list[int]()
        connection, transport = inside.connect()
        connection.data_received(request(x_timeout_ms="1") + request(x_request_id="next"))
        [row] = answering._rows
        assert row.asked.until_ns == row.asked.began_ns + 1_000_000
        row.asked.until_ns = row.asked.began_ns
        row.asked.release = lambda: released.append(1)
        await turns(12)
        late, following = answers(transport.sent)
        assert (late[0], late[2]["code"]) == (504, "deadline-passed")
        assert (following[0], following[1]["x-request-id"]) == (200, "next")
        assert (answering.waiting, answering._waiting_rows, answering._waiting_bytes, released) == (0, 0, 0, [1])
        assert len(inside.logged()) == 2

    within(run())


def test_a_worker_that_was_slow_once_is_not_taken_for_slow_for_ever(tmp_path: Path) -> None:
    async def run() -> None:
        arm = version(1)
        inside = Inside(tmp_path, deployment({"v1": arm}), [arm])
        inside.desk._answering.row_us = 1e9
        assert (await inside.ask(ROW, x_timeout_ms="60000"))[0] == 429
        for _ in range(200):
            assert (await inside.ask(ROW))[0] == 200
        assert (await inside.ask(ROW, x_timeout_ms="60000"))[0] == 200

    within(run())


def test_a_late_request_whose_arm_had_no_row_is_told_once_and_no_fallback_is_asked(tmp_path: Path) -> None:
    async def run() -> None:
        arm, other = broken(1, StoreGone()), version(2)
        inside = Inside(tmp_path, deployment({"v1": arm}, fallbacks=(other.served,)), [arm, other])
        connection, transport = inside.connect()
        connection.data_received(request(x_timeout_ms="60000"))
        [row] = inside.desk._answering._unable
        row.asked.until_ns = row.asked.began_ns
        await turns()
        assert [status for status, _, _ in answers(transport.sent)] == [504]
        assert inside.desk.tallies["delays", "v1"].fell_back == 0

    within(run())


def test_what_waits_is_bounded_by_rows_and_by_bytes(tmp_path: Path) -> None:
    async def run() -> None:
        arm = version(1)
        few = Inside(tmp_path / "a", deployment({"v1": arm}), [arm], limits=Limits(waiting_rows=3))
        many = [few.connect() for _ in range(3)]
        for connection, _ in many:
            connection.data_received(request([ROW, ROW]))
        await turns()
        assert [answers(transport.sent)[0][0] for _, transport in many] == [200, 200, 429]
        assert (await few.ask([ROW]))[0] == 200
        small = Inside(tmp_path / "b", deployment({"v1": arm}), [arm], limits=Limits(waiting_bytes=50))
        two = [small.connect() for _ in range(2)]
        for connection, _ in two:
            connection.data_received(request())
        await turns()
        assert [answers(transport.sent)[0][0] for _, transport in two] == [200, 429]
        assert (await small.ask(ROW))[0] == 200

    within(run())


def test_the_rows_of_a_large_request_are_read_once_for_shadows_and_fallbacks(tmp_path: Path) -> None:
    async def run() -> None:
        arm, shadow = failing(1), version(2)
        made = deployment({"v1": arm}, shadows=(shadow.served,), fallbacks=(shadow.served,))
        inside = Inside(tmp_path, made, [arm, shadow])
        read = list[int]()

        def plain(body: bytes, **how: Any) -> Any:
            read.append(1)
            return plain_rows(body, **how)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(endpoints, "plain_rows", plain)
            status, _, answer = await inside.ask([ROW | {"seats": 7}] * 600)
            assert (status, len(answer["predictions"])) == (200, 600)
            await turns(20)
        assert read == [1]
        assert inside.desk.tallies["delays", "shadow-v2"].rows == 600

    within(run())


def test_shadows_answer_a_few_rows_a_turn(tmp_path: Path) -> None:
    async def run() -> None:
        arm, shadow = version(1), version(2)
        inside = Inside(tmp_path, deployment({"v1": arm}, shadows=(shadow.served,)), [arm, shadow])
        sizes = list[int]()
        answer = shadow.answer

        def counting(rows: Sequence[bytes], own: Sequence[tuple[object, ...]]) -> Any:
            sizes.append(len(rows))
            return answer(rows, own)

        object.__setattr__(shadow, "answer", counting)
        assert (await inside.ask([ROW] * 500))[0] == 200
        await turns(20)
        assert sum(sizes) == 500
        assert max(sizes) <= 128

    within(run())


def test_a_worker_is_busy_until_every_answer_has_left(tmp_path: Path) -> None:
    async def run() -> None:
        arm = version(1)
        inside = Inside(tmp_path, deployment({"v1": arm}), [arm])
        connection, transport = inside.connect()
        assert inside.desk.busy == 0
        connection.data_received(request())
        assert inside.desk.busy > 0
        await turns()
        assert inside.desk.busy == 0
        transport.unsent = 70_000
        assert inside.desk.busy == 1
        connection.close()
        assert inside.desk.busy == 1
        transport.unsent = 0
        assert inside.desk.busy == 0

    within(run())


def test_scores_by_other_edges_are_counted_anew() -> None:
    tally = Tally()
    tally.scored(3, 4)
    tally.scored(8, 9)
    tally.scored(2, 9)
    assert tally.scores == [0, 0, 1, 0, 0, 0, 0, 0, 1]


def test_who_may_send_outcomes_alone_is_told_nothing_of_predictions(tmp_path: Path) -> None:
    async def run() -> None:
        arm = version(1)
        inside = Inside(tmp_path, deployment({"v1": arm}), [arm], held=key(verbs=("outcomes",)))
        for path in ("/v1/deployments", "/openapi.json", "/v1/deployments/delays", "/v2/models/delays"):
            assert (await inside.ask(b"", path=path, method="GET"))[0] == 403, path
        inside.install(deployment({"v1": arm}), key(deployments=("delays",)))
        assert (await inside.ask(b"", path="/v1/deploymentss", method="GET"))[0] == 404

    within(run())


def test_no_rows_are_no_predictions_and_wait_for_nothing(tmp_path: Path) -> None:
    async def run() -> None:
        arm = version(1)
        inside = Inside(tmp_path, deployment({"v1": arm}), [arm])
        for _ in range(3):
            status, _, answer = await inside.ask([])
            assert (status, answer["predictions"]) == (200, [])
        assert inside.desk._answering.waiting == 0

    within(run())


@pytest.mark.parametrize("task", ["multiclass", "regression", "binary"])
def test_an_answer_says_what_the_scorer_says(tmp_path: Path, task: Any) -> None:
    async def run() -> None:
        made = version(1, task=task)
        inside = Inside(tmp_path, deployment({"v1": made}), [made])
        _, _, answer = await inside.ask(ROW, x_request_id="q1")
        want = msgspec.to_builtins(made.scorer.predict([ROW])[0])
        told = {name: value for name, value in answer.items() if name not in {"deployment", "arm", "id"}}
        assert told == {name: value for name, value in want.items() if value is not None and name != "reasons"}

    within(run())


def test_an_answer_that_leaves_the_row_to_people_says_so(tmp_path: Path) -> None:
    costs = ((0.0, 1.0), (1.0, 0.0))
    left: Decision = msgspec.structs.replace(decision(), cost_matrix=costs, threshold=None, reject=0.0001)

    async def run() -> None:
        made = version(1, replaced={"decision.json": msgspec.json.encode(left)})
        inside = Inside(tmp_path, deployment({"v1": made}), [made])
        _, _, answer = await inside.ask(ROW)
        want = made.scorer.predict([ROW])[0]
        assert (answer.get("review"), answer.get("decision")) == (want.review, want.decision)
        assert want.review is True

    within(run())


def test_a_key_sees_the_deployments_that_it_is_for(tmp_path: Path) -> None:
    async def run() -> None:
        arm = version(1)
        inside = Inside(tmp_path, deployment({"v1": arm}), [arm], held=key(deployments=("other",)))
        _, _, listed = await inside.ask(b"", path="/v1/deployments", method="GET")
        assert listed == {"deployments": []}
        _, _, page = await inside.ask(b"", path="/openapi.json", method="GET")
        assert not any("delays" in path for path in page["paths"])
        assert (await inside.ask(ROW))[0] == 403
        inside.install(deployment({"v1": arm}), key(deployments=("delays",)))
        _, _, listed = await inside.ask(b"", path="/v1/deployments", method="GET")
        assert [each["name"] for each in listed["deployments"]] == ["delays"]

    within(run())
