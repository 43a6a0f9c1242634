"""A whole server: what it answers, to whom, and what becomes of it when parts of it end."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from tests.scoring.made import OUTPUTS, ROW, forest
from tests.serving.http.running import Client, Place, Running, change, children

from headrace.scoring.package import read_package
from headrace.scoring.scorer import Scorer
from headrace.serving.log.reader import Predictions, read_log
from headrace.serving.model import Served
from headrace.serving.pulling import tell_changes
from headrace.serving.revisions import deploy_canary, deploy_whole, rollback


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.fixture
def running(place: Place) -> Iterator[Running]:
    place.deploy(place.version(1))
    server = Running(place)
    server.wait_for("ready")
    yield server
    server.end()


def scorer_of(place: Place, served: Served) -> Scorer:
    prefix = f"packages/{served.package}/"
    package = read_package(
        lambda name: place.objects.get(prefix + name), package=served.package, signers=place.settings().signers
    )
    return Scorer(package, served.version)


def rows(n: int) -> list[dict[str, Any]]:
    return [
        ROW
        | {
            "distance": None if i % 7 == 0 else 100.0 + 3.7 * i,
            "seats": None if i % 11 == 0 else i % 300,
            "carrier": None if i % 5 == 0 else ["UA", "AA", "ZZ"][i % 3],
            "vip": [True, False, None][i % 3],
        }
        for i in range(n)
    ]


def test_a_row_is_answered_as_in_process_alone_and_among_others(running: Running, place: Place) -> None:
    scorer = scorer_of(place, place.deployments.get("delays").arms[0].serves)
    expected = scorer.predict(rows(200))
    client = Client(running)
    status, _, many = client.predict(rows(200))
    assert status == 200
    for row, want, among in zip(rows(200), expected, many["predictions"], strict=True):
        status, headers, alone = client.predict(row)
        assert status == 200
        assert alone["probability"] == among["probability"] == want.probability
        assert alone["decision"] == among["decision"] == want.decision
        assert (alone["deployment"], alone["arm"], alone["version"]) == ("delays", "v1", 1)
        assert headers["x-request-id"] == alone["id"]


def test_what_workers_are_forked_from_has_one_thread(running: Running) -> None:
    """A fork copies the one that forks, and no other: what the others held would be held for ever."""
    [nursery] = children(running.process.pid)
    assert len(list(Path(f"/proc/{nursery}/task").iterdir())) == 1


def test_the_id_that_was_sent_comes_back(running: Running) -> None:
    _, headers, answer = Client(running).predict(ROW, **{"x-request-id": "order-7:a"})
    assert answer["id"] == headers["x-request-id"] == "order-7:a"
    status, _, problem = Client(running).predict(ROW, **{"x-request-id": 'a"b'})
    assert (status, problem["code"]) == (400, "request-id-invalid")


def test_who_has_no_key_that_holds_gets_no_answer(running: Running, place: Place) -> None:
    for key in ("", "hr_x_y", place.key + "x"):
        for path in ("/v1/deployments/delays/predict", "/v1/deployments/none/predict"):
            status, headers, problem = Client(running, key).ask("POST", path, ROW)
            assert (status, problem["code"]) == (401, "not-authenticated")
            assert headers["www-authenticate"] == "Bearer"
    for path in ("/v1/deployments", "/openapi.json", "/nowhere"):
        assert Client(running, "").ask("GET", path)[0] == 401
    for path in ("/healthz", "/readyz", "/metrics"):
        assert Client(running, "").ask("GET", path)[0] == 200


def test_a_key_is_good_for_its_deployments_and_verbs_alone(running: Running, place: Place) -> None:
    text, _ = place.keys.create(verbs=("outcomes",), lifetime_us=None, by="ann")
    other, _ = place.keys.create(verbs=("predict",), deployments=("other",), lifetime_us=None, by="ann")
    place.write(deploy_whole(place.deployments.get("delays"), place.version(2), change()))
    running.wait_for("serving", 2)
    for key in (text, other):
        status, _, problem = Client(running, key).predict(ROW)
        assert (status, problem["code"]) == (403, "not-allowed")


def test_a_revoked_key_ends_while_the_server_runs(running: Running, place: Place) -> None:
    text, key = place.keys.create(verbs=("predict",), lifetime_us=None, by="ann")
    tell_changes(place.objects, "delays")
    client = Client(running, text)
    until = time.monotonic() + 30
    while client.predict(ROW)[0] != 200 and time.monotonic() < until:
        time.sleep(0.05)
    place.keys.revoke(key.id)
    tell_changes(place.objects, "delays")
    while client.predict(ROW)[0] == 200 and time.monotonic() < until:
        time.sleep(0.02)
    assert client.predict(ROW)[0] == 401


@pytest.mark.parametrize(
    ("change_row", "code"),
    [
        ({"distance": "far"}, "value-refused"),
        ({"vipp": 1}, "column-unknown"),
        ({"vip": 1}, "value-refused"),
    ],
)
def test_a_row_that_cannot_be_read_is_told_by_column(running: Running, change_row: dict[str, Any], code: str) -> None:
    status, headers, problem = Client(running).predict(ROW | change_row)
    assert (status, problem["code"], problem["status"]) == (422, code, 422)
    assert headers["content-type"] == "application/problem+json"
    assert next(iter(change_row)) in problem["detail"]
    assert "far" not in json.dumps(problem)


def test_requests_of_another_kind_are_refused_each_in_its_way(running: Running) -> None:
    client = Client(running)
    path = "/v1/deployments/delays/predict"
    assert client.ask("GET", path)[0] == 405
    assert client.ask("POST", "/healthz", {})[0] == 405
    assert client.ask("POST", path, ROW, {"content-type": "text/plain"})[0] == 415
    assert client.ask("POST", path, b"x", {"content-encoding": "gzip"})[0] == 415
    assert client.ask("POST", path, b"{")[0] == 400
    assert client.ask("POST", "/v1/deployments/other/predict", ROW)[0] == 404
    assert client.ask("GET", "/v1/deployments/other")[0] == 404
    assert client.ask("GET", "/v3")[0] == 404
    assert client.ask("GET", "/healthz", None, {"host": "evil.example"})[0] == 421
    assert client.predict(ROW)[0] == 200  # and it goes on


def test_no_rows_are_no_predictions(running: Running) -> None:
    status, _, answer = Client(running).predict([])
    assert (status, answer["predictions"]) == (200, [])


def test_a_new_version_is_taken_up_without_a_failed_or_mixed_answer(running: Running, place: Place) -> None:
    one, two = place.deployments.get("delays").arms[0].serves, place.version(2)
    expected = {s.version: scorer_of(place, s).predict([ROW])[0].probability for s in (one, two)}
    assert expected[1] != expected[2]
    seen: list[tuple[int, Any]] = []
    stop = threading.Event()

    def ask() -> None:
        client = Client(running)
        while not stop.is_set():
            status, _, answer = client.predict(ROW)
            seen.append((status, answer))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for turn in range(4):
        now = place.deployments.get("delays")
        if turn % 2 == 0:
            place.write(deploy_whole(now, two, change()))
        else:
            place.write(rollback(now, place.deployments.history("delays"), change()))
        running.wait_for("serving", turn + 2)
        assert Client(running).predict(ROW)[2]["version"] == 2 - turn % 2
    stop.set()
    for thread in threads:
        thread.join()
    assert {status for status, _ in seen} == {200}
    assert all(answer["probability"] == expected[answer["version"]] for _, answer in seen)
    assert {answer["version"] for _, answer in seen} == {1, 2}


def not_finite() -> bytes:
    """A forest whose leaves are no numbers."""
    model = onnx.load_model_from_string(forest(len(OUTPUTS), trees=3, depth=3, link="Sigmoid"))
    for attribute in model.graph.node[0].attribute:
        if attribute.name == "target_weights":
            attribute.floats[:] = [float("nan")] * len(attribute.floats)
    return bytes(model.SerializeToString())


def by_the_others() -> bytes:
    """A forest whose answers are shares of the first row's that is asked together with them."""
    model = onnx.load_model_from_string(forest(len(OUTPUTS), trees=3, depth=3, link="Sigmoid"))
    model.graph.node[-1].output[:] = ["own"]
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.zeros(1, np.int64), "place"))
    model.graph.node.append(onnx.helper.make_node("Gather", ["own", "place"], ["first"], axis=0))
    model.graph.node.append(onnx.helper.make_node("Mul", ["own", "first"], ["y"]))
    return bytes(model.SerializeToString())


GRAPHS = {
    "no graph": b"nonsense",
    "empty": b"",
    "other columns": forest(len(OUTPUTS) + 1, trees=3, depth=3, link="Sigmoid"),
    "other outputs": forest(len(OUTPUTS), trees=3, depth=3, outputs=3, link="Softmax"),
    "nothing finite": not_finite(),
    "by the others": by_the_others(),
}


@pytest.mark.parametrize("graph", GRAPHS)
def test_a_version_that_cannot_be_served_touches_no_request(running: Running, place: Place, graph: str) -> None:
    client = Client(running)
    assert client.predict(ROW)[2]["version"] == 1
    now = place.deployments.get("delays")
    place.write(deploy_whole(now, place.version(2, replaced={"model.onnx": GRAPHS[graph]}), change()))
    failed = running.wait_for("not_served")
    assert failed["deployment"] == "delays"
    assert failed["revision"] == 2
    assert "delays@2" in failed["why"]
    assert client.predict(ROW)[2]["version"] == 1
    place.write(deploy_whole(place.deployments.get("delays"), place.version(3), change()))
    running.wait_for("serving", 2)
    assert client.predict(ROW)[2]["version"] == 3


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_worker_that_is_gone_or_hangs_is_replaced(place: Place, number: int) -> None:
    place.deploy(place.version(1))
    running = Running(place, workers=2)
    try:
        running.wait_for("ready")
        before = running.workers()
        assert len(before) == 2
        os.kill(before[0], number)
        running.wait_for("worker_lost")
        until = time.monotonic() + 20
        while (before[0] in (now := running.workers()) or len(now) < 2) and time.monotonic() < until:
            time.sleep(0.05)  # the new one is there before the kernel has let go of the old one
        assert before[0] not in running.workers()
        for _ in range(20):
            assert Client(running).predict(ROW)[0] == 200
    finally:
        running.end()


def test_when_the_store_is_away_the_last_that_was_known_is_served_and_later_refused(place: Place) -> None:
    place.deploy(place.version(1))
    place.max_stale_s = 3.0
    running = Running(place)
    client = Client(running)
    assert client.predict(ROW)[0] == 200
    hidden = place.root / "away"
    (place.root / "objects").rename(hidden)
    (place.root / "objects").write_bytes(b"")  # what is no folder is no store
    running.wait_for("store_away")
    assert client.predict(ROW)[0] == 200
    until = time.monotonic() + 15
    while client.predict(ROW)[0] == 200 and time.monotonic() < until:
        time.sleep(0.05)
    status, headers, problem = client.predict(ROW)
    assert (status, problem["code"]) == (503, "too-stale")
    assert "retry-after" in headers
    assert client.ask("GET", "/readyz")[0] == 503
    (place.root / "objects").unlink()
    hidden.rename(place.root / "objects")
    until = time.monotonic() + 15
    while client.predict(ROW)[0] != 200 and time.monotonic() < until:
        time.sleep(0.05)
    assert client.predict(ROW)[0] == 200
    running.end()


def test_told_to_end_it_answers_what_was_asked_and_ends(running: Running) -> None:
    clients = [Client(running) for _ in range(4)]
    for client in clients:
        assert client.predict(ROW)[0] == 200
    assert running.end() == 0
    assert running.events()[-1]["event"] == "ended"


def test_what_was_answered_is_in_the_log_although_the_worker_is_killed(running: Running, place: Place) -> None:
    client = Client(running)
    said = {}
    for n, row in enumerate(rows(40)):
        _, _, answer = client.predict(row, **{"x-request-id": f"row-{n}"})
        said[answer["id"], 0] = answer["probability"]
    _, _, answer = client.predict(rows(30), **{"x-request-id": "many"})
    said |= {("many", n): each["probability"] for n, each in enumerate(answer["predictions"])}
    os.kill(running.workers()[0], signal.SIGKILL)
    running.wait_for("worker_lost")
    logged = {}
    for read in read_log(Path(place.settings().log)):
        assert isinstance(read, Predictions)
        for record, route in zip(read.records, read.routes, strict=True):
            logged[record.request_id, record.row] = record.scores[0]
            assert (route.deployment, route.arm, route.version) == ("delays", "v1", 1)
            assert len(record.features) % 4 == 0
    assert logged == said


def test_a_canary_that_does_no_harm_gets_to_everybody_by_itself(place: Place) -> None:
    place.deploy(place.version(1), sticky=("seats",))
    running = Running(place, workers=2)
    running.wait_for("ready")
    now = place.deployments.get("delays")
    same = place.version(2, seed=1, replaced={"README.md": b"# the same forest\n"})
    place.write(deploy_canary(now, same, 20.0, change(), steps=(0.5, 1.0), hold_s=0.0, least_rows=50))
    running.wait_for("serving", 2)
    client = Client(running)
    arms: dict[int, set[str]] = {}
    until = time.monotonic() + 60
    while not any(each["event"] == "promote" for each in running.events()) and time.monotonic() < until:
        for seats in range(100):
            status, _, answer = client.predict(ROW | {"seats": seats + 1})
            assert status == 200
            arms.setdefault(seats, set()).add(answer["arm"])
    running.wait_for("promote", within_s=1.0)
    history = place.deployments.history("delays")
    assert [each.verb for each in history] == ["deploy", "deploy", "ramp", "promote"]
    assert [each.by for each in history[2:]] == ["headrace", "headrace"]
    assert {len(seen) for seen in arms.values()} <= {1, 2}
    running.end()


def test_a_canary_that_scores_otherwise_is_taken_back(place: Place) -> None:
    place.deploy(place.version(1), sticky=("seats",))
    running = Running(place)
    running.wait_for("ready")
    now = place.deployments.get("delays")
    place.write(deploy_canary(now, place.version(2), 50.0, change(), steps=(1.0,), hold_s=3600.0))
    running.wait_for("serving", 2)
    client = Client(running)
    until = time.monotonic() + 60
    while not any(each["event"] == "rollback" for each in running.events()) and time.monotonic() < until:
        for seats in range(100):
            assert client.predict(ROW | {"seats": seats + 1})[0] == 200
    told = running.wait_for("rollback", within_s=1.0)
    assert "scores of v2" in told["reason"]
    running.end()


def test_truths_that_come_later_are_kept_with_what_was_predicted(running: Running, place: Place) -> None:
    client = Client(running)
    _, _, answer = client.predict(ROW)
    path = "/v1/deployments/delays/outcomes"
    told = {"outcomes": [{"request_id": answer["id"], "value": True}]}
    assert client.ask("POST", path, told)[0] == 403
    text, _ = place.keys.create(verbs=("outcomes",), lifetime_us=None, by="ann")
    tell_changes(place.objects, "delays")
    running.wait_for("keys", 2)
    other = Client(running, text)
    assert other.ask("POST", path, told)[::2] == (202, {"accepted": 1})
    status, _, problem = other.ask("POST", path, {"outcomes": [{"value": True}]})
    assert (status, problem["code"]) == (422, "outcomes-refused")
    assert other.ask("POST", "/v1/deployments/none/outcomes", told)[0] == 404
    assert other.ask("GET", path)[0] == 405
    assert other.predict(ROW)[0] == 403


def test_metrics_count_every_answer(running: Running) -> None:
    client = Client(running)
    for _ in range(7):
        client.predict(ROW)
    client.predict(rows(5))
    client.predict({})
    until = time.monotonic() + 10
    text = ""
    while 'headrace_predictions_total{deployment="delays",arm="v1"} 12' not in text and time.monotonic() < until:
        time.sleep(0.1)
        text = client.ask("GET", "/metrics")[2]
    assert 'headrace_predictions_total{deployment="delays",arm="v1"} 12' in text
    assert 'headrace_requests_refused_total{status="422"} 1' in text
    assert 'headrace_prediction_seconds_count{deployment="delays",arm="v1"} 8' in text


def test_the_openapi_page_is_typed_by_the_model(running: Running) -> None:
    status, _, page = Client(running).ask("GET", "/openapi.json")
    assert status == 200
    assert page["openapi"] == "3.1.0"
    row = page["components"]["schemas"]["delays.Row"]
    assert row["properties"]["distance"] == {"type": ["number", "null"]}
    assert sorted(row["required"]) == sorted(ROW)
