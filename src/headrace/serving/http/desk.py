"""Where a worker's requests come to: who may ask, what for, and how it is told; rows are answered in `answering`."""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from email.utils import formatdate
from itertools import cycle, islice
from socket import socket
from time import perf_counter_ns
from typing import TYPE_CHECKING, Final

from headrace.errors import HeadraceError
from headrace.scoring.errors import BodyNotJson
from headrace.scoring.golden import GoldenCheck
from headrace.serving.batch.counts import BatchCounts
from headrace.serving.batch.messages import Format, format_of
from headrace.serving.http.answering import Answering, Records
from headrace.serving.http.asked import Asked, Tally
from headrace.serving.http.connection import Connection, Request
from headrace.serving.http.endpoint import Endpoint
from headrace.serving.http.gate import Gate, check_id, is_limited
from headrace.serving.http.heads import Head, Heads, Own
from headrace.serving.http.quota import Quota
from headrace.serving.http.refusals import OF_THE_ROW, ComeAgain, not_kept, told_of
from headrace.serving.http.responses import (
    JSON,
    PROBLEM,
    Problem,
    head,
    problem_body,
    problem_of,
    retry_after,
    version_not_chosen,
)
from headrace.serving.keys import ApiKey, KeyRing
from headrace.serving.limits import Limits
from headrace.serving.log.errors import LogBehind, LogFull, LogUnavailable, OutcomesRefused
from headrace.serving.log.posted import posted_outcomes

if TYPE_CHECKING:
    from headrace.serving.http.batches import Batches

OUTCOMES: Final = re.compile(rb"/v1/deployments/([a-z0-9][a-z0-9_-]{0,63})/outcomes")
PREDICT: Final = re.compile(rb"/v1/deployments/([a-z0-9][a-z0-9_-]{0,63})/predict")
INFER: Final = re.compile(rb"/v2/models/([a-z0-9][a-z0-9_-]{0,63})(?:/versions/([1-9][0-9]{0,8}))?/infer")
INFERENCE: Final = b"/v2/"
"""What addresses of the Open Inference Protocol begin with."""
_TRACE: Final = re.compile(rb"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-|$)")
"""W3C's trace context: what is none is passed over, as it says."""
_BATCHES: Final = b"application/vnd.apache."
"""What the types of batches begin with."""
_ONCE_A_SECOND: Final = 1.0
_MS: Final = 1_000_000
_LONGEST_MS: Final = 3_600_000


class Desk:
    """One worker's.

    Parameters
    ----------
    hosts : what a `Host` header may say, in lower case, without a port; none: whatever it likes
    clock : microseconds since 1970 UTC
    batches : the socket over which the process is asked that reads batches; None: they are not answered
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        limits: Limits,
        hosts: frozenset[bytes],
        clock: Callable[[], int],
        records: Records | None = None,
        quota: Quota | None = None,
        metrics: Callable[[], bytes] = lambda: b"",
        batches: socket | None = None,
        fault: Callable[[Exception], None] = lambda _: None,
    ) -> None:
        self._loop, self.limits, self._clock = loop, limits, clock
        self._records, self.metrics, self._fault = records, metrics, fault
        self.gate: Final = Gate(hosts, quota, clock=clock)
        self.now: Final = loop.time
        self.later: Final = loop.call_soon
        self._answering: Final = Answering(
            limits,
            records=records,
            send=self._send,
            fail=self._fail,
            later=loop.call_soon,
            soon=loop.call_soon_threadsafe,
            fault=fault,
        )
        self._batches: Batches | None = None
        if batches is not None:
            from headrace.serving.http.batches import Batches

            self._batches = Batches(self, loop, batches)
        self.flush: Final = self._answering.flush
        self._connections: set[Connection] = set()
        self.held = 0
        """Bytes of requests that have begun and are not whole."""
        self.unread = 0
        """Bytes of answers that clients do not read, about."""
        self._endpoints: dict[bytes, Endpoint] = {}
        self.heads: Final = Heads()
        self._prefix = secrets.token_hex(8).encode()
        self._numbers = 0
        self.ready = False
        """Whether predictions are answered."""
        self._golden: Iterator[GoldenCheck] = iter(())
        """Of the loaded versions, in turn."""
        self._draining = False
        self._stale: str | None = None
        self.statuses: dict[int, int] = {}
        """Answers since they were last said, by status, predictions left out."""
        self.batch_counts: BatchCounts | None = None
        """Batches since they were last said; None: there was none."""
        self._sweep()

    def install(self, endpoints: Mapping[str, Endpoint], ring: KeyRing) -> None:
        """From the next request on answer by these."""
        self.flush()
        self.gate.install(ring)
        self._endpoints = {name.encode(): endpoint for name, endpoint in endpoints.items()}
        for tally in self._answering.tallies.values():  # by edges that may be others from now on
            tally.scores = []
        self.heads.clear()
        loaded = {version for endpoint in endpoints.values() for version in endpoint.versions}
        self._golden = cycle([golden for version in loaded if (golden := version.scorer.golden) is not None])

    def answers_right(self) -> bool:
        """Whether a loaded version answers one of its golden rows as it did when it was made; another one each time."""
        try:
            for golden in islice(self._golden, 1):
                golden.next()
        except HeadraceError as error:
            self._fault(error)
            return False
        return True

    @property
    def endpoints(self) -> list[Endpoint]:
        """The deployments that are answered, by name."""
        return [self._endpoints[name] for name in sorted(self._endpoints)]

    @property
    def tallies(self) -> dict[tuple[str, str], Tally]:
        """What was counted of each deployment's arms; set it to count anew."""
        return self._answering.tallies

    @tallies.setter
    def tallies(self, anew: dict[tuple[str, str], Tally]) -> None:
        self._answering.tallies = anew

    @property
    def refusals(self) -> int:
        """Requests that were told to come again, as there was too much to do; set it to count anew."""
        return self._answering.refusals

    @refusals.setter
    def refusals(self, anew: int) -> None:
        self._answering.refusals = anew

    @property
    def draining(self) -> bool:
        """Whether no new connections are wanted."""
        return self._draining

    @draining.setter
    def draining(self, draining: bool) -> None:
        self._draining = draining
        self.heads.clear()

    @property
    def stale(self) -> str | None:
        """Why predictions are refused; None: they are not."""
        return self._stale

    @stale.setter
    def stale(self, why: str | None) -> None:
        if why != self._stale:
            self._stale = why
            self.heads.clear()

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
        """Requests that are under way, and connections that are owed an answer or are sending."""
        due = sum(not connection.is_idle or connection.is_sending for connection in self._connections)
        return due + self._answering.waiting

    def close_idle(self) -> None:
        """Let go of connections that nothing is due on."""
        for connection in list(self._connections):
            if connection.is_idle:
                connection.close()

    def _sweep(self) -> None:
        self._loop.call_later(_ONCE_A_SECOND, self._sweep)
        now = self.now()
        self._date = formatdate(usegmt=True).encode()
        self._heads = {
            keep: b"HTTP/1.1 200 OK\r\ndate: %b\r\n%bcontent-type: " % (self._date, b"" if keep else _CLOSE)
            for keep in (True, False)
        }
        self._begun = {keep: self._heads[keep] + b"application/json\r\ncontent-length: " for keep in (True, False)}
        self._come_again = [ComeAgain(self._date, seconds) for seconds in (1, 2, 3)]
        for connection in list(self._connections):
            connection.sweep(now)

    # requests

    def take_known(self, connection: Connection, known: Head, body: bytes, own: Own | None) -> None:
        """Answer a request whose head is one that was read before, but for what it says of itself alone."""
        now_us = self._clock()
        if now_us >= known.until_us:
            self.heads.clear()
            headers = known.headers if own is None else known.headers | own
            self.take(Request(connection, b"POST", known.url, headers, body, True, self.now()))
            return
        self._numbers += 1
        name = None if own is None else own.get(b"x-request-id")
        if self._answering.is_full:  # refusing must cost next to nothing, or there is no time left to answer
            self.statuses[429] = self.statuses.get(429, 0) + 1
            self._answering.refusals += 1
            connection.write(self._come_again[self._numbers % 3].told(name), True)
            return
        asked = Asked(
            connection, name or b"%b-%x" % (self._prefix, self._numbers), known.endpoint, body, now_us, keep=True
        )
        try:
            if own is not None:
                _hear(asked, own)
            if known.limited:
                asked.release = self.gate.take_turn(known.key)
            self._answering.ask(asked, many=body[:1] != b"{" and is_many(body), has_room=True)
        except Exception as error:
            self._refuse(asked, error)

    def take(self, request: Request) -> None:
        """Answer a request, at once or at the end of this turn of the loop."""
        try:
            self._take(request)
        except Exception as error:
            self._refuse(request, error)

    def problem_of(self, error: Exception) -> Problem:
        """What a client is told of what went wrong."""
        if isinstance(error, Problem):
            return error
        if isinstance(error, BodyNotJson):
            return problem_of(error, 400)
        if isinstance(error, (*OF_THE_ROW, OutcomesRefused)):
            return problem_of(error)
        if not isinstance(error, HeadraceError):
            self._fault(error)
        return told_of(error)

    def _refuse(self, request: Request | Asked, error: Exception) -> None:
        problem = self.problem_of(error)
        if isinstance(request, Asked) and request.release is not None:
            request.release()
        self._fail(request, problem)

    def _take(self, request: Request) -> None:
        headers = request.headers
        asked_id = headers.get(b"x-request-id")
        if asked_id is None:
            self._numbers += 1
            request.id = b"%b-%x" % (self._prefix, self._numbers)
        else:
            check_id(asked_id)
            request.id = asked_id
        self.gate.check_host(headers.get(b"host"))
        if self._draining:
            request.keep = False
        path = request.url.partition(b"?")[0]
        found = PREDICT.fullmatch(path)
        if found is None:
            if (told := OUTCOMES.fullmatch(path)) is not None:
                self._outcomes(request, told[1])
            elif (told := INFER.fullmatch(path)) is not None:
                self._infer(request, told[1], told[2])
            else:
                self._other(request)
            return
        self._predict(request, found[1])

    def _predict(self, request: Request, name: bytes) -> None:
        key = self.gate.allowed(request, "predict", name.decode())
        if request.method != b"POST":
            raise Problem(405, "method-not-allowed", "predictions are asked for with POST", headers=(b"allow: POST",))
        endpoint = self.endpoint(name)
        kind = request.headers.get(b"content-type", b"")
        if kind.startswith(_BATCHES):
            self._batch(request, endpoint, key)
            return
        check_json(request)
        asked = self.asked(request, endpoint)
        self._ask(asked, key, many=is_many(request.body))
        if request.head is not None and request.keep:
            self.heads.learn(request.head, request, endpoint, key)

    def _batch(self, request: Request, endpoint: Endpoint, key: ApiKey) -> None:
        """Predictions for the rows of an Arrow stream or a Parquet file."""
        from headrace.serving.http.batches import answer_format, not_served

        sent = format_of(request.headers[b"content-type"])
        if sent is None:
            check_json(request)
            return
        if self._batches is None:
            raise not_served()
        if b"content-encoding" in request.headers:
            raise Problem(415, "encoding-refused", "bodies are sent without a content-encoding")
        answer = answer_format(request.headers.get(b"accept"), sent)
        asked = self.asked(request, endpoint)
        if is_limited(key):
            asked.release = self.gate.take_turn(key)
        try:
            self._batches.begin(request, asked, (sent, answer))
        except Exception:
            if asked.release is not None:
                asked.release()
            raise

    def most_bytes(self, url: bytes, headers: Mapping[bytes, bytes]) -> int:
        """How large the body of such a request may be: that of a batch larger, where its key may ask for one."""
        found = PREDICT.fullmatch(url.partition(b"?")[0])
        if self._batches is None or found is None or not headers.get(b"content-type", b"").startswith(_BATCHES):
            return self.limits.body_bytes
        may = self.gate.known_key(headers).allows("predict", found[1].decode())
        return self.limits.batch_bytes if may else self.limits.body_bytes

    def batch_format(self, url: bytes, headers: Mapping[bytes, bytes]) -> Format | None:
        """The format of the batch that such a request is; None: it is none, or none is answered."""
        if self._batches is None or PREDICT.fullmatch(url.partition(b"?")[0]) is None:
            return None
        return format_of(headers.get(b"content-type", b""))

    @property
    def answers_batches(self) -> bool:
        """Whether rows may come in Arrow and Parquet."""
        return self._batches is not None

    @property
    def is_full(self) -> bool:
        """Whether further requests are told to come again."""
        return self._answering.is_full

    def ask_slice(self, asked: Asked) -> float:
        """Ask for some rows of a batch; microseconds that a row of them takes, about. Raises as `Answering.ask`."""
        self._answering.ask(asked, many=True)
        took_us = (perf_counter_ns() - asked.began_ns) / 1000.0
        return took_us / max(1, asked.size) + self._answering.row_us

    def _infer(self, request: Request, name: bytes, number: bytes | None) -> None:
        """Predictions by the Open Inference Protocol."""
        from headrace.serving.http.inference import read_infer, versions

        key = self.gate.allowed(request, "predict", name.decode())
        if request.method != b"POST":
            raise Problem(405, "method-not-allowed", "inference is asked for with POST", headers=(b"allow: POST",))
        endpoint = self.endpoint(name)
        if number is not None and versions(endpoint) != [number.decode()]:
            raise version_not_chosen()
        if b"content-encoding" in request.headers:
            raise Problem(415, "encoding-refused", "bodies are sent without a content-encoding")
        json_length = request.headers.get(b"inference-header-content-length")
        if json_length is None and b"content-type" in request.headers:  # Triton's client says none
            check_json(request)
        read = read_infer(endpoint, request.body, json_length, self.limits.rows)
        if read.id is not None and b"x-request-id" not in request.headers:
            check_id(read.id)
            request.id = read.id
        asked = self.asked(request, endpoint)
        asked.body, asked.tell = read.body, read.tell
        self._ask(asked, key, many=True)

    def _ask(self, asked: Asked, key: ApiKey, *, many: bool) -> None:
        if is_limited(key):
            asked.release = self.gate.take_turn(key)
        try:
            self._answering.ask(asked, many=many)
        except Exception:
            if asked.release is not None:
                asked.release()
            raise

    def endpoint(self, name: bytes) -> Endpoint:
        """A deployment that is answered now; raises `Problem`."""
        if self._stale is not None:
            raise Problem(503, "too-stale", self._stale, headers=(retry_after(),))
        endpoint = self._endpoints.get(name)
        if endpoint is None:
            raise Problem(404, "deployment-unknown", "there is no deployment of that name")
        return endpoint

    def asked(self, request: Request, endpoint: Endpoint) -> Asked:
        """A request for predictions under way."""
        assert request.id is not None, "it was given one"
        asked = Asked(request.connection, request.id, endpoint, request.body, self._clock(), keep=request.keep)
        _hear(asked, request.headers)
        return asked

    def _outcomes(self, request: Request, name: bytes) -> None:
        """Keep truths that came later."""
        key = self.gate.allowed(request, "outcomes", name.decode())
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

        release = self.gate.take_turn(key) if is_limited(key) else None

        def leave(error: HeadraceError | None) -> None:
            if release is not None:
                release()
            if error is not None:
                self._fail(request, not_kept(error))
            else:
                self.reply(request, 202, JSON, b'{"accepted":%d}' % len(outcomes))

        try:
            self._records.keep_outcomes(outcomes, leave)
        except (LogFull, LogUnavailable, LogBehind) as error:
            leave(error)

    # answers

    def _send(self, asked: Asked) -> None:
        keep = asked.keep
        if asked.batch is not None:
            asked.batch.answered(asked)
            return
        if asked.tell is not None:
            kind, more, body = asked.tell(asked)
            asked.connection.write(
                b"%b%b\r\n%bcontent-length: %d\r\nx-request-id: %b\r\n\r\n%b"
                % (self._heads[keep], kind, more, len(body), asked.id, body),
                keep,
            )
            return
        if len(asked.rows) == 1 and asked.body[:1] == b"{":
            [row] = asked.rows
            by, prediction = row.by, row.prediction
            assert by is not None, "it is answered"
            assert prediction is not None, "it is answered"
            body = b'%b,"id":"%b",%b' % (by.prefix, asked.id, asked.endpoint.tell(by, prediction))
        else:
            body = many_body(asked)
        asked.connection.write(
            b"%b%d\r\nx-request-id: %b\r\n\r\n%b" % (self._begun[keep], len(body), asked.id, body), keep
        )

    def send_parts(self, request: Request, kind: bytes, parts: Sequence[bytes], said: Callable[[], None]) -> None:
        """Send a long answer to a request for predictions; `said` is called once it has left."""
        assert request.id is not None, "it was given one"
        more = () if request.keep else (b"connection: close",)
        begun = head(200, kind, sum(map(len, parts)), b"date: " + self._date, b"x-request-id: " + request.id, *more)
        request.connection.write_parts([begun, *parts], request.keep, said)

    def fail(self, request: Request, problem: Problem) -> None:
        """Tell a request that it has no answer."""
        self._fail(request, problem)

    def _fail(self, request: Request | Asked, problem: Problem) -> None:
        if isinstance(request, Asked) and request.batch is not None:
            request.batch.failed(problem)
            return
        self.refused(problem, self.batch_format(request.url, request.headers) if isinstance(request, Request) else None)
        inference = request.url.startswith(INFERENCE) or (isinstance(request, Asked) and request.tell is not None)
        name = None if request.id is None else request.id.decode()
        body = problem_body(problem, name, inference=inference)
        keep = request.keep and not problem.close
        more = [*problem.headers, *(() if keep else (b"connection: close",))]
        if request.id is not None:
            more.append(b"x-request-id: " + request.id)
        shown = b"" if request.method == b"HEAD" else body
        request.connection.write(head(problem.status, PROBLEM, len(body), b"date: " + self._date, *more) + shown, keep)

    def refused(self, problem: Problem, batch: Format | None = None) -> None:
        """Count what was not answered; where it was a batch, of which format."""
        self.statuses[problem.status] = self.statuses.get(problem.status, 0) + 1
        if batch is not None:
            self.count_batch(BatchCounts.of_refused(batch, problem.code))

    def count_batch(self, counts: BatchCounts) -> None:
        """Count what became of one."""
        self.batch_counts = counts if self.batch_counts is None else self.batch_counts + counts

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


_CLOSE: Final = b"connection: close\r\n"


def _hear(asked: Asked, headers: Mapping[bytes, bytes]) -> None:
    """What a request says of its trace, and how long it waits; raises `Problem`."""
    parent = headers.get(b"traceparent")
    if parent is not None and (traced := _TRACE.match(parent)) is not None:
        asked.trace = traced[1].decode()
    waits = headers.get(b"x-timeout-ms")
    if waits is not None:
        if not waits.isdigit() or len(waits) > 9 or not 0 < int(waits) <= _LONGEST_MS:
            raise Problem(
                400, "timeout-invalid", f"x-timeout-ms is a whole number of milliseconds, 1 to {_LONGEST_MS:,}"
            )
        asked.until_ns = asked.began_ns + int(waits) * _MS


def is_many(body: bytes) -> bool:
    """Whether it is an array."""
    return body.lstrip()[:1] == b"["


def many_body(asked: Asked) -> bytes:
    """The answer to several rows; to one that was asked for alone, if space stood before it."""
    parts = []
    for row in asked.rows:
        assert row.by is not None, "it is answered"
        assert row.prediction is not None, "it is answered"
        parts += [row.by.prefix, asked.endpoint.tell(row.by, row.prediction)]
    if not is_many(asked.body):
        prefix, told = parts
        return b'%b,"id":"%b",%b' % (prefix, asked.id, told)
    # every part but the last is followed by a comma: between what is the same of all rows and what is a row's own, too
    return b'{"id":"%b","predictions":[%b]}' % (asked.id, b",".join(parts))


def check_json(request: Request) -> None:
    """Raise `Problem` unless the body says that it is plain JSON."""
    if request.headers.get(b"content-type", b"").partition(b";")[0].strip().lower() != JSON:
        raise Problem(415, "not-json", "bodies are JSON", fix="send the header content-type: application/json")
    if b"content-encoding" in request.headers:
        raise Problem(415, "encoding-refused", "bodies are sent without a content-encoding")
