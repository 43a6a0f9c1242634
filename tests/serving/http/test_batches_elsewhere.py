"""Batches as servers in earnest get them: over TLS with clients' certificates, at one of two workers, of rows that are
looked up in Redis, and where a constant answers in place of a version."""

from __future__ import annotations

import http.client
import io
import json
import socket
import ssl
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from onnx import helper
from tests.scoring.made import ML, OUTPUTS, ROW, onnx_bytes
from tests.servers import RedisServer
from tests.serving.http.running import PROJECT, Place, Running, change
from tests.serving.http.test_away import CARRIERS, filled, looking_up_files
from tests.serving.http.test_batches import ARROW, PARQUET, logged, new_key, parquet, rows_of
from tests.serving.http.test_tls import Authority, client, tls

from headrace.serving.limits import Limits
from headrace.serving.revisions import begin

LIMITS = Limits(body_bytes=256 * 1024, batch_bytes=8 * 1024 * 1024)


def sometimes() -> bytes:
    """A model that has no answer where the distance is above a million."""
    node = helper.make_node(
        "TreeEnsembleRegressor",
        ["x"],
        ["scores"],
        domain=ML,
        nodes_treeids=[0, 0, 0],
        nodes_nodeids=[0, 1, 2],
        nodes_featureids=[OUTPUTS.index("distance"), 0, 0],
        nodes_values=[1e6, 0.0, 0.0],
        nodes_truenodeids=[1, 0, 0],
        nodes_falsenodeids=[2, 0, 0],
        nodes_missing_value_tracks_true=[1, 0, 0],
        nodes_modes=["BRANCH_LEQ", "LEAF", "LEAF"],
        target_treeids=[0, 0],
        target_nodeids=[1, 2],
        target_ids=[0, 0],
        target_weights=[0.3, float("nan")],
        n_targets=1,
        aggregate_function="SUM",
        post_transform="NONE",
    )
    return onnx_bytes([node, helper.make_node("Sigmoid", ["scores"], ["y"])], width=len(OUTPUTS))


class Elsewhere(NamedTuple):
    running: Running
    folder: Path
    redis: RedisServer

    def post(
        self, body: bytes, name: str = "delays", kind: str = PARQUET, key: str | None = None, **headers: str
    ) -> tuple[int, bytes]:
        """On a connection of its own: whichever worker takes it."""
        shown = client(self.folder, shows="client")
        connection = http.client.HTTPSConnection("localhost", self.running.address[1], timeout=60, context=shown)
        sent = {"authorization": f"Bearer {key or self.running.place.key}", "content-type": kind}
        sent |= {each.replace("_", "-"): value for each, value in headers.items()}
        try:
            connection.request("POST", f"/v1/deployments/{name}/predict", body, sent)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def answered(self, rows: Sequence[dict[str, Any]], name: str = "delays", **headers: str) -> pa.Table:
        status, told = self.post(parquet(pa.Table.from_pylist(rows)), name, **headers)
        assert status == 200, told
        return pq.read_table(io.BytesIO(told))

    def in_json(self, body: Any, name: str = "delays", key: str | None = None) -> tuple[int, dict[str, Any]]:
        status, told = self.post(json.dumps(body).encode(), name, "application/json", key)
        return status, json.loads(told)

    def same_as_in_json(self, rows: Sequence[dict[str, Any]], name: str, **headers: str) -> pa.Table:
        found = self.answered(rows, name, **headers)
        status, told = self.in_json(rows, name)
        assert status == 200, told
        for column in ("deployment", "arm", "model", "version", "probability", "decision"):
            assert found[column].to_pylist() == [each[column] for each in told["predictions"]], column
        return found


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Elsewhere]:
    folder = tmp_path_factory.mktemp("elsewhere")
    authority = Authority()
    authority.write(folder, "server")
    authority.write(folder, "client")
    with RedisServer(folder / "redis") as redis:
        filled(redis.url).close()
        place = Place(folder, batch=True, limits=LIMITS, tls=tls(folder, clients=True), online=redis.url)
        place.deploy(place.version(1))
        looks = place.version(2, replaced=looking_up_files(2))
        place.deploy(looks, name="looks")
        guarded = {"looks-or-constant": looks, "sometimes": place.version(3, replaced={"model.onnx": sometimes()})}
        for name, served in guarded.items():
            made = begin(served, change(), project=PROJECT, name=name, sticky=())
            place.write(msgspec.structs.replace(made, constant=0.75))
        running = Running(place, workers=2)
        running.wait_for("batch_process")
        running.wait_for("ready")
        yield Elsewhere(running, folder, redis)
        assert running.faults() == []
        running.end()


def test_clients_that_show_their_certificate_are_answered_as_in_json(elsewhere: Elsewhere) -> None:
    rows = [ROW | {"distance": float(n), "seats": n % 300} for n in range(1_000)]
    elsewhere.same_as_in_json(rows, "delays")
    many = pa.table({name: [value] * 10_000 for name, value in ROW.items()})
    noise = pa.array(np.random.default_rng(5).normal(size=10_000))
    large = parquet(many.set_column(1, "distance", noise), compression="none")
    assert len(large) > 2 * 32 * 1024  # in many of TLS's records
    status, told = elsewhere.post(large)
    assert status == 200, told
    assert pq.read_table(io.BytesIO(told)).num_rows == 10_000


def test_without_a_certificate_nothing_is_answered_and_what_is_too_large_is_said(elsewhere: Elsewhere) -> None:
    port = elsewhere.running.address[1]
    unknown = http.client.HTTPSConnection("localhost", port, timeout=20, context=client(elsewhere.folder))
    with pytest.raises((ssl.SSLError, ConnectionError, http.client.RemoteDisconnected)):
        unknown.request("POST", "/v1/deployments/delays/predict", parquet(rows_of(3)), {"content-type": PARQUET})
        unknown.getresponse()
    unknown.close()
    shown = client(elsewhere.folder, shows="client")
    connection = http.client.HTTPSConnection("localhost", port, timeout=20, context=shown)
    connection.putrequest("POST", "/v1/deployments/delays/predict")
    key = elsewhere.running.place.key
    sent = {"content-type": PARQUET, "authorization": f"Bearer {key}", "content-length": str(LIMITS.batch_bytes + 1)}
    for name, value in sent.items():
        connection.putheader(name, value)
    connection.endheaders()
    answer = connection.getresponse()
    assert (answer.status, json.loads(answer.read())["code"]) == (413, "body-too-large")
    connection.close()


def test_all_workers_hold_a_key_to_its_limits_and_a_batch_is_one_request(elsewhere: Elsewhere) -> None:
    running, data = elsewhere.running, parquet(rows_of(2_000))
    once = new_key(running, rate=0.001)
    running.wait_until(lambda: elsewhere.post(data, key=once)[0] == 200, "known")
    for _ in range(6):  # whichever of the two they come to
        for status, told in (elsewhere.post(data, key=once), elsewhere.post(b"{}", "delays", "application/json", once)):
            assert (status, json.loads(told)["code"]) == (429, "key-too-fast")

    alone = new_key(running, concurrency=1)
    running.wait_until(lambda: elsewhere.in_json(ROW, key=alone)[0] == 200, "known")
    plain = socket.socket()
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # an answer that is not read has not left
    plain.connect(running.address)
    connection = http.client.HTTPSConnection("localhost", running.address[1], timeout=60)
    connection.sock = client(elsewhere.folder, shows="client").wrap_socket(plain, server_hostname="localhost")
    headers = {"authorization": f"Bearer {alone}", "content-type": PARQUET, "accept": ARROW, "x-request-id": "x" * 128}
    connection.request("POST", "/v1/deployments/delays/predict", parquet(rows_of(30_000)), headers)
    for _ in range(3):
        running.wait_until(lambda: elsewhere.in_json(ROW, key=alone)[1].get("code") == "key-too-many", "under way")
    answer = connection.getresponse()
    assert (answer.status, pa.ipc.open_stream(answer.read()).read_all().num_rows) == (200, 30_000)
    connection.close()
    running.wait_until(lambda: elsewhere.in_json(ROW, key=alone)[0] == 200, "let go of")


def test_where_the_version_has_no_answer_the_constant_answers_that_row(elsewhere: Elsewhere) -> None:
    rows = [ROW | {"distance": 2e6 if n % 5 == 0 else 10.0 * n} for n in range(900)]
    found = elsewhere.same_as_in_json(rows, "sometimes", x_request_id="constant")
    missing = [n % 5 == 0 for n in range(900)]
    assert [version is None for version in found["version"].to_pylist()] == missing
    assert [score == 0.75 for score in found["probability"].to_pylist()] == missing
    assert set(found["arm"].to_pylist()) == {"v3", "constant"}
    kept = {record.row: route.fallback for route, record in logged(elsewhere.running, "constant")}
    assert [kept[n] for n in range(900)] == missing


def test_rows_that_are_looked_up_in_redis(elsewhere: Elsewhere) -> None:
    rows = [ROW | {"carrier": CARRIERS[n % 200], "seats": n % 7} for n in range(400)]
    found = elsewhere.same_as_in_json(rows, "looks")
    assert len(set(found["probability"].to_pylist())) > 50
    elsewhere.same_as_in_json(rows[:100], "looks-or-constant")
    elsewhere.redis.stop()
    try:
        status, told = elsewhere.post(parquet(pa.Table.from_pylist(rows)), "looks")
        problem = json.loads(told)
        assert status == 503
        assert "redis" not in json.dumps(problem)
        instead = elsewhere.answered(rows[:100], "looks-or-constant")
        assert set(zip(instead["version"].to_pylist(), instead["probability"].to_pylist(), strict=True)) == {
            (None, 0.75)
        }
        assert elsewhere.answered(rows[:3]).num_rows == 3
    finally:
        elsewhere.redis.start()
    table = parquet(pa.Table.from_pylist(rows))
    elsewhere.running.wait_until(lambda: elsewhere.post(table, "looks")[0] == 200, "back")
    assert elsewhere.answered(rows, "looks")["probability"].to_pylist() == found["probability"].to_pylist()
