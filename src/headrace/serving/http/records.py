"""Answers as the log of predictions keeps them, before they leave."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

from headrace.serving.http.answering import Leave
from headrace.serving.http.asked import Asked, Row
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
        """See `headrace.serving.http.answering.Records`."""
        now_ns = time.perf_counter_ns()
        records: list[Record] = []
        for each in asked:
            records += self._records(each, each.rows, now_ns)
        self._log.when_durable(self._log.append(records), leave)

    def keep_shadows(self, rows: Sequence[Row]) -> None:
        """See `headrace.serving.http.answering.Records`."""
        now_ns = time.perf_counter_ns()
        self._log.append([record for row in rows for record in self._records(row.asked, (row,), now_ns)])

    def keep_outcomes(self, outcomes: Sequence[Outcome], leave: Leave) -> None:
        """See `headrace.serving.http.answering.Records`."""
        self._log.when_durable(self._log.append_outcomes(outcomes), leave)

    def close(self) -> None:
        """Nothing is asked any more."""
        self._log.close()

    def _records(self, asked: Asked, rows: Sequence[Row], now_ns: int) -> list[Record]:
        """Of rows of one request."""
        name, instant_us, trace = asked.id.decode(), asked.instant_us, asked.trace
        took_us = (now_ns - asked.began_ns) // 1000
        slot, by, route, watermark_us = None, None, 0, None
        records = []
        for row in rows:
            said = row.prediction
            assert said is not None, "it is answered"
            if row.slot is not slot or row.by is not by:  # rarely: most rows of a request have one arm
                slot, by = row.slot, row.by
                assert by is not None, "it is answered"
                route = self._routes.get((slot, by)) or self._route(asked.endpoint, slot, by)
                watermark_us = None if by.version is None else by.version.watermark_us
            records.append(
                Record(
                    name,
                    asked.first + row.place,
                    route,
                    instant_us,
                    row.entity,
                    row.encoded,
                    row.scores,
                    said.decision,
                    said.review,
                    row.amounts,
                    took_us,
                    watermark_us,
                    trace,
                )
            )
        return records

    def _route(self, endpoint: Endpoint, slot: Slot, by: Slot) -> int:
        deployment, version = endpoint.deployment, by.version
        number = self._log.introduce(
            Route(
                deployment=deployment.name,
                revision=deployment.revision,
                arm=slot.arm,
                model=endpoint.version_of(slot).served.model if version is None else version.served.model,
                version=None if version is None else version.served.version,
                package="" if version is None else version.served.package,
                sticky=tuple(endpoint.sticky),
                price_usd=None if version is None else version.served.price_usd,
                fallback=by is not slot,
                shadow=slot.shadow,
            )
        )
        self._routes[slot, by] = number
        return number
