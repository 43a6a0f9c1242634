"""Clients that leave in the middle: nobody gets another's answer, each is logged once, nothing is kept."""

from __future__ import annotations

import json
import socket
import struct
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random
from typing import Any

import msgspec
from tests.scoring.made import ROW
from tests.serving.http.inside import request
from tests.serving.http.inside import version as made_version
from tests.serving.http.running import PROJECT, Client, Place, Running
from tests.serving.http.test_fuzz import open_files, read_answers, wait_until

from headrace.serving.log.reader import Predictions, read_log
from headrace.serving.messages import Settings
from headrace.serving.pulling import tell_changes

THREADS, CONNECTIONS = 4, 450


class Durable(Place):
    """Answers wait for the disk: there is a moment to leave in."""

    def settings(self) -> Settings:
        return msgspec.structs.replace(super().settings(), durability="power")


def rows_by_score() -> dict[float, dict[str, Any]]:
    """Rows that all score differently."""
    random = Random(3)
    rows = [ROW | {"distance": random.uniform(-3, 3), "seats": random.randrange(-3, 4)} for _ in range(4_000)]
    rows += [ROW | {"vip": None, "carrier": carrier, "distance": random.uniform(-3, 3)} for carrier in "abc" * 500]
    told = made_version(1).scorer.predict(rows)
    return {each.probability: row for each, row in zip(told, rows, strict=True) if each.probability is not None}


class Storm:
    """One client's connections, one after another, each left when chance says so."""

    def __init__(
        self, address: tuple[str, int], seed: int, keys: list[str], rows: Mapping[float, dict[str, Any]]
    ) -> None:
        self._address, self._random, self._keys, self._seed = address, Random(seed), keys, seed
        self._rows = list(rows.items())
        self.answered: dict[str, float] = {}
        self.asked = 0
        self.statuses: Counter[int] = Counter()

    def run(self) -> Storm:
        for number in range(CONNECTIONS):
            self._connection(number)
        return self

    def _connection(self, number: int) -> None:
        random = self._random
        wanted, data = list[tuple[str | None, float]](), b""
        key = random.choice(self._keys)
        for place in range(random.choice((1, 3, 8, 12))):
            score, row = random.choice(self._rows)
            name = None if random.random() < 0.3 else f"{self._seed}-{number}-{place}"
            named = {} if name is None else {"x_request_id": name}
            body: Any = row if random.random() < 0.8 else [row]
            data += request(body, text=key, **named)
            wanted.append((name, score))
        self.asked += len(wanted)
        leave_at = random.choice((len(data), len(data), random.randrange(len(data))))
        with socket.create_connection(self._address) as client:
            client.settimeout(20)
            client.sendall(data[:leave_at])
            if leave_at == len(data):
                self._read(client, wanted[: random.randrange(len(wanted) + 1)])
            if random.random() < 0.5:  # at once, whatever is on its way
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def _read(self, client: socket.socket, wanted: list[tuple[str | None, float]]) -> None:
        held = b""
        for name, score in wanted:
            while not whole(held):
                part = client.recv(65_536)
                assert part, held
                held += part
            size = whole(held)
            [(status, _, body)] = read_answers(held[:size])
            head, held = held[:size], held[size:]
            told = json.loads(body)
            self.statuses[status] += 1
            if name is not None:
                assert told["id"] == name
                assert f"x-request-id: {name}\r\n".encode() in head
            if status == 429:
                assert told["code"] in ("key-too-many", "too-busy")
                continue
            assert status == 200
            [one] = told.get("predictions", [told])
            assert one["probability"] == score
            self.answered[told["id"]] = score


def whole(held: bytes) -> int:
    """How long the first answer is; 0 while it is not whole."""
    head, end, rest = held.partition(b"\r\n\r\n")
    if not end:
        return 0
    length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
    return len(head) + len(end) + length if len(rest) >= length else 0


def test_of_ten_thousand_requests_whose_clients_leave_no_answer_is_anothers(tmp_path: Path) -> None:
    place = Durable(tmp_path)
    place.deploy(place.version(1))
    plain, _ = place.keys.create(verbs=("predict",), lifetime_us=None, by="ann")
    few, _ = place.keys.create(verbs=("predict",), lifetime_us=None, by="ann", concurrency=3)
    tell_changes(place.objects, PROJECT)
    rows = rows_by_score()
    assert len(rows) > 50
    running = Running(place)
    try:
        [worker] = (running.address, running.workers())[1]
        files = open_files(worker)
        storms = [Storm(running.address, seed, [plain, plain, few], rows) for seed in range(THREADS)]
        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(Storm.run, storms))
        assert sum(storm.asked for storm in storms) >= 10_000
        wait_until(lambda: open_files(worker) <= files)
        for _ in range(10):  # what was under way for a key ended when its client left
            assert Client(running, few).predict(ROW)[0] == 200
        assert running.workers() == [worker]
        assert not running.faults()
    finally:
        running.end()
    answered = {name: score for storm in storms for name, score in storm.answered.items()}
    assert len(answered) > 2_000
    logged = Counter[str]()
    for read in read_log(place.root / "serving" / "log"):
        if isinstance(read, Predictions):
            for record in read.records:
                logged[record.request_id] += 1
                assert answered.get(record.request_id, record.scores[0]) == record.scores[0]
    assert set(answered) <= set(logged)
    assert set(logged.values()) == {1}
