"""Where a worker's requests are answered: who may ask, and the rows of one loop turn joined into one model call."""

from __future__ import annotations

import asyncio
import re
import secrets
import time
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from email.utils import formatdate
from functools import partial
from typing import Final, Protocol

from headrace.errors import HeadraceError
from headrace.scoring.errors import ScoreNotFinite
from headrace.scoring.model import Prediction
from headrace.serving.http.connection import Connection, Request
from headrace.serving.http.endpoint import Endpoint, Slot
from headrace.serving.http.responses import JSON, PROBLEM, Problem, encode, head, problem_body, problem_of
from headrace.serving.keys import ApiKey, KeyRing, Verb
from headrace.serving.limits import Limits
from headrace.serving.log.errors import LogBehind, LogFull, LogUnavailable
from headrace.serving.log.posted import posted_outcomes
from headrace.serving.log.record import Outcome
from headrace.serving.model import LATENCY_EDGES_US, Counts
from headrace.serving.versions import answer_of

OUTCOMES: Final = re.compile(rb"/v1/deployments/([a-z0-9][a-z0-9_-]{0,63})/outcomes")
PREDICT: Final = re.compile(rb"/v1/deployments/([a-z0-9][a-z0-9_-]{0,63})/predict")
_ID: Final = re.compile(rb"[A-Za-z0-9._:-]{1,128}")
_TITLES: Final = {200: b"HTTP/1.1 200 OK\r\n"}
_EDGES: Final = list(LATENCY_EDGES_US)
_ONCE_A_SECOND: Final = 1.0


Leave = Callable[[HeadraceError | None], object]
"""The answers may leave, or must not."""


class Records(Protocol):
    """Who keeps every answer before it leaves."""

    def keep(self, asked: Sequence[Asked], leave: Leave) -> None:
        """Keep them, and call back, at once or later; raises what the log raises."""
        ...

    def keep_outcomes(self, outcomes: Sequence[Outcome], leave: Leave) -> None:
        """The same for truths."""
        ...


class Asked:
    """A request for predictions that is under way."""

    __slots__ = ("answers", "began_ns", "endpoint", "id", "instant_us", "left", "many", "request")

    def __init__(
        self, request: Request, endpoint: Endpoint, name: bytes, rows: int, instant_us: int, *, many: bool
    ) -> None:
        self.request, self.endpoint, self.id, self.many, self.instant_us = request, endpoint, name, many, instant_us
        self.began_ns = time.perf_counter_ns()
        self.answers: list[Answered | None] = [None] * rows
        self.left = rows


class Row:
    """One row that waits for its answer."""

    __slots__ = ("amounts", "asked", "encoded", "entity", "place", "slot")

    def __init__(
        self,
        asked: Asked,
        place: int,
        slot: Slot,
        entity: Sequence[object],
        encoded: bytes,
        amounts: tuple[object, ...],
    ) -> None:
        self.asked, self.place, self.slot, self.entity = asked, place, slot, entity
        self.encoded, self.amounts = encoded, amounts


class Answered:
    """A row and what was said."""

    __slots__ = ("by", "prediction", "row", "scores")

    def __init__(self, row: Row, by: Slot, prediction: Prediction, scores: tuple[float, ...]) -> None:
        self.row, self.by, self.prediction, self.scores = row, by, prediction, scores


class Tally:
    """What was counted of one arm since it was last said."""

    __slots__ = ("failed", "fell_back", "latency", "latency_squares", "latency_sum", "rows")

    def __init__(self) -> None:
        self.rows = self.failed = self.fell_back = 0
        self.latency = [0] * (len(_EDGES) + 1)
        self.latency_sum = self.latency_squares = 0.0

    def counts(self) -> Counts:
        return Counts(
            rows=self.rows,
            failed=self.failed,
            fell_back=self.fell_back,
            latency_us=tuple(self.latency),
            latency_sum_us=self.latency_sum,
            latency_squares_us=self.latency_squares,
        )


class Desk:
    """One worker's.

    Parameters
    ----------
    hosts : what a `Host` header may say, in lower case, without a port; none: whatever it likes
    clock : microseconds since 1970 UTC
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        limits: Limits,
        hosts: frozenset[bytes],
        clock: Callable[[], int],
        records: Records | None = None,
        metrics: Callable[[], bytes] = lambda: b"",
        fault: Callable[[Exception], None] = lambda _: None,
    ) -> None:
        self._loop, self.limits, self._hosts, self._clock = loop, limits, hosts, clock
        self._records, self.metrics, self._fault = records, metrics, fault
        self.now: Final = loop.time
        self.later: Final = loop.call_soon
        self._connections: set[Connection] = set()
        self._hosts_seen: set[bytes] = set()
        self._endpoints: dict[bytes, Endpoint] = {}
        self._ring = KeyRing(())
        self._rows: list[Row] = []
        self._flushing = False
        self._waiting = 0
        """Requests of these rows."""
        self._prefix = secrets.token_hex(8).encode()
        self._numbers = 0
        self.ready = False
        self.draining = False
        self.stale: str | None = None
        """Why nothing is answered any more: what this server knows is too old."""
        self.tallies: dict[tuple[str, str], Tally] = {}
        """By deployment and arm."""
        self.statuses: dict[int, int] = {}
        """How many requests ended with each status, predictions answered aside."""
        self._date = b""
        self._sweep()

    def install(self, endpoints: Mapping[str, Endpoint], ring: KeyRing) -> None:
        """From the next request on these deployments and keys."""
        self.flush()
        self._endpoints = {name.encode(): endpoint for name, endpoint in endpoints.items()}
        self._ring = ring

    @property
    def endpoints(self) -> list[Endpoint]:
        """The deployments that are answered, by name."""
        return [self._endpoints[name] for name in sorted(self._endpoints)]

    # connections

    def open(self, connection: Connection) -> None:
        """One more."""
        self._connections.add(connection)
        if len(self._connections) > self.limits.connections:
            connection.abort()

    def closed(self, connection: Connection) -> None:
        """One less."""
        self._connections.discard(connection)

    @property
    def connections(self) -> int:
        """How many there are."""
        return len(self._connections)

    @property
    def busy(self) -> int:
        """Connections that are owed an answer, or are sending."""
        return sum(not connection.is_idle for connection in self._connections)

    def close_idle(self) -> None:
        """Let go of connections that nothing is due on."""
        for connection in list(self._connections):
            if connection.is_idle:
                connection.close()

    def _sweep(self) -> None:
        now = self.now()
        self._date = formatdate(usegmt=True).encode()
        self._heads = {
            (keep): b"HTTP/1.1 200 OK\r\ndate: %b\r\ncontent-type: application/json\r\n%bcontent-length: "
            % (self._date, b"" if keep else b"connection: close\r\n")
            for keep in (True, False)
        }
        for connection in list(self._connections):
            connection.sweep(now)
        self._loop.call_later(_ONCE_A_SECOND, self._sweep)

    # requests

    def take(self, request: Request) -> None:
        """Answer a request, at once or at the end of this turn of the loop."""
        try:
            self._take(request)
        except Problem as problem:
            self._fail(request, problem)
        except HeadraceError as error:
            self._fail(request, problem_of(error))
        except Exception as error:
            self._fault(error)
            self._fail(request, Problem(500, "internal", "the server has a fault: it was noted"))

    def _take(self, request: Request) -> None:
        headers = request.headers
        asked_id = headers.get(b"x-request-id")
        if asked_id is not None and _ID.fullmatch(asked_id):
            request.id = asked_id
        else:
            self._numbers += 1
            request.id = b"%b-%x" % (self._prefix, self._numbers)
        if asked_id is not None and request.id is not asked_id:
            raise Problem(400, "request-id-invalid", "x-request-id has 1 to 128 of A-Z, a-z, 0-9, . _ : -")
        self._check_host(headers.get(b"host"))
        if self.draining:
            request.keep = False
        path = request.url.partition(b"?")[0]
        found = PREDICT.fullmatch(path)
        if found is None:
            told = OUTCOMES.fullmatch(path)
            if told is None:
                self._other(request)
            else:
                self._outcomes(request, told[1])
            return
        if request.method != b"POST":
            raise Problem(405, "method-not-allowed", "predictions are asked for with POST", headers=(b"allow: POST",))
        self._predict(request, found[1])

    def _check_host(self, host: bytes | None) -> None:
        if not self._hosts or host in self._hosts_seen:
            return
        if host is None:
            raise Problem(400, "host-missing", "a request has a Host header", close=True)
        name = host.rpartition(b":")[0] if re.search(rb":\d*$", host) else host
        if name.lower() not in self._hosts:
            raise Problem(
                421,
                "host-not-served",
                "this server does not answer under that name",
                fix="add the name to hosts under [serving], or ask by one that is there",
                close=True,
            )
        if len(self._hosts_seen) < 64:
            self._hosts_seen.add(host)

    def allowed(self, request: Request, verb: Verb, deployment: str) -> ApiKey:
        """The key that was sent, if it may do that; raises `Problem`."""
        authorization = request.headers.get(b"authorization")
        key = None if authorization is None else self._ring.find(authorization, self._clock())
        if key is None:
            what = "no API key was sent" if authorization is None else "the API key is not known, or no longer holds"
            raise Problem(
                401,
                "not-authenticated",
                what,
                fix="send `Authorization: Bearer KEY`; headrace keys create makes one",
                headers=(b"www-authenticate: Bearer",),
            )
        if not key.allows(verb, deployment):
            raise Problem(403, "not-allowed", f"this API key may not {verb} here", facts={"key": key.id})
        return key

    def _predict(self, request: Request, name: bytes) -> None:
        self.allowed(request, "predict", name.decode())
        if self.stale is not None:
            raise Problem(503, "too-stale", self.stale, headers=(b"retry-after: 5",))
        endpoint = self._endpoints.get(name)
        if endpoint is None:
            raise Problem(404, "deployment-unknown", "there is no deployment of that name")
        check_json(request)
        if self._waiting >= self.limits.waiting or len(self._rows) >= self.limits.waiting_rows:
            raise Problem(429, "too-busy", "more is asked than can be answered", headers=(b"retry-after: 1",))
        body = request.body
        many = body.lstrip()[:1] == b"["
        slot = endpoint.slots[0]
        bodies = slot.version.bodies
        rows = bodies.many(body, self.limits.rows) if many else [bodies.one(body)]
        now_us = self._clock()
        assert request.id is not None, "it was given one"
        asked = Asked(request, endpoint, request.id, len(rows), now_us, many=many)
        made: list[Row] = []
        for place, values in enumerate(rows):
            number, entity = endpoint.place(slot, values, request.id)
            own = endpoint.slots[number]
            if own is not slot and not endpoint.alike:
                values = (
                    own.version.bodies.many(body, self.limits.rows)[place] if many else own.version.bodies.one(body)
                )
            encoded, amounts = own.version.prepare(values, now_us)
            made.append(Row(asked, place, own, entity, encoded, amounts))
        self._rows += made
        self._waiting += 1
        if not self._flushing:
            self._flushing = True
            self.later(self.flush)
        if not rows:
            self.reply(request, 200, JSON, b'{"id":"%b","predictions":[]}' % request.id)

    def _outcomes(self, request: Request, name: bytes) -> None:
        """Keep truths that came later."""
        self.allowed(request, "outcomes", name.decode())
        if request.method != b"POST":
            raise Problem(405, "method-not-allowed", "truths are sent with POST", headers=(b"allow: POST",))
        endpoint = self._endpoints.get(name)
        if endpoint is None or self._records is None:
            raise Problem(404, "deployment-unknown", "there is no deployment of that name")
        check_json(request)
        sticky = endpoint.sticky
        outcomes = posted_outcomes(
            request.body, deployment=endpoint.name, sticky=tuple(sticky), types=sticky, now_us=self._clock()
        )

        def leave(error: HeadraceError | None) -> None:
            if error is not None:
                self._fail(request, not_kept(error))
            else:
                self.reply(request, 202, JSON, b'{"accepted":%d}' % len(outcomes))

        try:
            self._records.keep_outcomes(outcomes, leave)
        except (LogFull, LogUnavailable, LogBehind) as error:
            leave(error)

    # answers

    def flush(self) -> None:
        """Answer every row that waits."""
        self._flushing = False
        self._waiting = 0
        rows, self._rows = self._rows, []
        if not rows:
            return
        asked = list(dict.fromkeys(row.asked for row in rows)) if len(rows) > 1 else [rows[0].asked]
        first = rows[0].slot
        if all(row.slot is first for row in rows):
            self._answer(first, rows)
        else:
            by_slot: dict[int, list[Row]] = {}
            for row in rows:
                by_slot.setdefault(id(row.slot), []).append(row)
            for group in by_slot.values():
                self._answer(group[0].slot, group)
        whole = [each for each in asked if not each.left]
        if len(whole) < len(asked):
            for each in asked:
                if each.left:
                    self._fail(each.request, Problem(500, "not-answered", "no version that serves this has an answer"))
        if not whole:
            return
        if self._records is None:
            self._leave(whole, None)
            return
        try:
            self._records.keep(whole, partial(self._leave, whole))
        except HeadraceError as error:
            self._leave(whole, error)

    def _leave(self, whole: Sequence[Asked], error: HeadraceError | None) -> None:
        """Send what is kept; nothing leaves that had to be kept and is not."""
        if error is not None:
            for each in whole:
                self._fail(each.request, not_kept(error))
            return
        ended = time.perf_counter_ns()
        for each in whole:
            self._write(each, ended)

    def _answer(self, slot: Slot, rows: Sequence[Row]) -> None:
        try:
            predictions, scores = slot.version.answer([row.encoded for row in rows], [row.amounts for row in rows])
        except Exception as error:
            if len(rows) > 1:  # one of them alone may be at fault
                for row in rows:
                    self._answer(slot, [row])
                return
            self._tally(rows[0].asked.endpoint, slot).failed += 1
            if not isinstance(error, HeadraceError):
                self._fault(error)
            self._fall_back(rows[0])
            return
        for row, prediction, score in zip(rows, predictions, scores, strict=True):
            row.asked.answers[row.place] = Answered(row, slot, prediction, score)
            row.asked.left -= 1

    def _fall_back(self, row: Row) -> None:
        """Another version's answer in place of one that there is not."""
        for slot in row.asked.endpoint.fallbacks:
            if slot.version.scorer.program.request != row.slot.version.scorer.program.request:
                continue
            try:
                predictions, scores = slot.version.answer([row.encoded], [row.amounts])
            except (HeadraceError, ScoreNotFinite):
                continue
            self._tally(row.asked.endpoint, row.slot).fell_back += 1
            row.asked.answers[row.place] = Answered(row, slot, predictions[0], scores[0])
            row.asked.left -= 1
            return

    def _write(self, asked: Asked, ended_ns: int) -> None:
        took_us = (ended_ns - asked.began_ns) / 1e3
        bucket = bisect_left(_EDGES, took_us)
        parts = []
        for answered in asked.answers:
            assert answered is not None, "it is whole"
            tally = self._tally(asked.endpoint, answered.row.slot)
            tally.rows += 1
            tally.latency[bucket] += 1
            tally.latency_sum += took_us
            tally.latency_squares += took_us * took_us
            if asked.many:
                parts.append(b"%b,%b" % (answered.by.prefix, encode(answer_of(answered.prediction))[1:]))
            else:
                told = encode(answer_of(answered.prediction))
                parts.append(b'%b,"id":"%b",%b' % (answered.by.prefix, asked.id, told[1:]))
        body = b'{"id":"%b","predictions":[%b]}' % (asked.id, b",".join(parts)) if asked.many else parts[0]
        asked.answers.clear()  # they know the rows, which know the request: nothing is left to the collector of circles
        keep = asked.request.keep
        asked.request.connection.write(
            b"%b%d\r\nx-request-id: %b\r\n\r\n%b" % (self._heads[keep], len(body), asked.id, body), keep
        )

    def _tally(self, endpoint: Endpoint, slot: Slot) -> Tally:
        key = (endpoint.name, slot.arm)
        tally = self.tallies.get(key)
        if tally is None:
            tally = self.tallies[key] = Tally()
        return tally

    def _fail(self, request: Request, problem: Problem) -> None:
        self.refused(problem)
        body = problem_body(problem, None if request.id is None else request.id.decode())
        keep = request.keep and not problem.close
        more = [*problem.headers, *(() if keep else (b"connection: close",))]
        if request.id is not None:
            more.append(b"x-request-id: " + request.id)
        request.connection.write(head(problem.status, PROBLEM, len(body), b"date: " + self._date, *more) + body, keep)

    def refused(self, problem: Problem) -> None:
        """Count what was not answered."""
        self.statuses[problem.status] = self.statuses.get(problem.status, 0) + 1

    def reply(self, request: Request, status: int, kind: bytes, body: bytes) -> None:
        """Answer anything but a prediction."""
        self.statuses[status] = self.statuses.get(status, 0) + 1
        more = () if request.keep else (b"connection: close",)
        shown = b"" if request.method == b"HEAD" else body
        request.connection.write(head(status, kind, len(body), b"date: " + self._date, *more) + shown, request.keep)

    # other routes

    def _other(self, request: Request) -> None:
        from headrace.serving.http.routes import route

        route(self, request)


def check_json(request: Request) -> None:
    """Raise `Problem` unless the body says that it is plain JSON."""
    if request.headers.get(b"content-type", b"").partition(b";")[0].strip().lower() != JSON:
        raise Problem(415, "not-json", "bodies are JSON", fix="send the header content-type: application/json")
    if b"content-encoding" in request.headers:
        raise Problem(415, "encoding-refused", "bodies are sent without a content-encoding")


def not_kept(error: HeadraceError) -> Problem:
    """What is answered where the log could not take it."""
    problem = problem_of(error, 507 if isinstance(error, LogFull) else 503)
    problem.facts, problem.headers = {}, (b"retry-after: 1",)  # where the log lies is nobody's to know
    problem.detail = "the log of predictions cannot take it"
    return problem
