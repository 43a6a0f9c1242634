"""Answers as the log of predictions keeps them, before they leave."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

from headrace.serving.http.desk import Answered, Asked, Leave
from headrace.serving.http.endpoint import Endpoint, Slot
from headrace.serving.log.record import Outcome, Record, Route
from headrace.serving.log.writer import LogWriter


class Records:
    """What a worker's desk keeps, in the worker's log."""

    def __init__(self, log: LogWriter) -> None:
        self._log = log
        self._routes: dict[tuple[Slot, Slot], int] = {}

    def begin(self, endpoints: Iterable[Endpoint]) -> None:
        """Other deployments answer from now on."""
        for number in self._routes.values():
            self._log.forget(number)
        self._routes = {}
        for endpoint in endpoints:
            for slot in endpoint.slots:
                self._route(endpoint, slot, slot)

    def keep(self, asked: Sequence[Asked], leave: Leave) -> None:
        """See `headrace.serving.http.desk.Records`."""
        now = time.perf_counter_ns()
        records = [self._record(each, answered, now) for each in asked for answered in each.answers if answered]
        self._log.when_durable(self._log.append(records), leave)

    def keep_outcomes(self, outcomes: Sequence[Outcome], leave: Leave) -> None:
        """See `headrace.serving.http.desk.Records`."""
        self._log.when_durable(self._log.append_outcomes(outcomes), leave)

    def close(self) -> None:
        """Nothing is asked any more."""
        self._log.close()

    def _record(self, asked: Asked, answered: Answered, now_ns: int) -> Record:
        row, said = answered.row, answered.prediction
        route = self._routes.get((row.slot, answered.by))
        if route is None:
            route = self._route(asked.endpoint, row.slot, answered.by)
        return Record(
            request_id=asked.id.decode(),
            row=row.place,
            route=route,
            at_us=asked.instant_us,
            entity=tuple(row.entity),
            features=row.encoded,
            scores=answered.scores,
            decision=said.decision,
            review=said.review,
            own=row.amounts,
            latency_us=(now_ns - asked.began_ns) // 1000,
        )

    def _route(self, endpoint: Endpoint, slot: Slot, by: Slot) -> int:
        deployment, served = endpoint.deployment, by.version.served
        number = self._log.introduce(
            Route(
                deployment=deployment.name,
                revision=deployment.revision,
                arm=slot.arm,
                model=served.model,
                version=served.version,
                package=served.package,
                sticky=tuple(by.version.columns[place] for place in by.entity),
                fallback=by is not slot,
            )
        )
        self._routes[slot, by] = number
        return number
