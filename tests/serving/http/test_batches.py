"""Batches over real HTTP: what pyarrow and Polars send and read, as JSON answers it; what is refused; who is away."""

from __future__ import annotations

import datetime as dt
import io
import json
import math
import os
import random
import signal
import socket
import struct
from collections.abc import Iterator, Sequence
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.scoring.made import ROW, forest
from tests.serving.http.running import PROJECT, Client, Place, Running, children, now_us
from tests.serving.http.test_metrics import count, judged

from headrace.data.model import Field
from headrace.features.model import EncodedColumn, Encoder, ExpressionStep, Numeric, Program
from headrace.language.parse import parse
from headrace.language.types import Type
from headrace.serving.limits import Limits
from headrace.serving.log.reader import Predictions, read_log
from headrace.serving.log.record import Record, Route
from headrace.serving.model import Arm, Deployment
from headrace.serving.pulling import tell_changes

ARROW = "application/vnd.apache.arrow.stream"
PARQUET = "application/vnd.apache.parquet"
EVERY: dict[str, Type] = {
    "carrier": Type.CATEGORY,
    "name": Type.STRING,
    "distance": Type.FLOAT,
    "seats": Type.INTEGER,
    "vip": Type.BOOLEAN,
    "due": Type.TIMESTAMP,
    "day": Type.DATE,
    "wait": Type.DURATION,
    "fare": Type.DECIMAL,
}
STEPS = {
    "of_day": "hour(due) * 60 + minute(due)",
    "of_month": "day(day)",
    "fares": "CAST(fare * 3 AS FLOAT)",
    "long": "length(name)",
    "waits": "CAST(wait > minutes(30) AS INTEGER)",
}
LIMITS = Limits(
    body_bytes=1024 * 1024, batch_rows=20_000, batch_bytes=4 * 1024 * 1024, batch_decoded_bytes=16 * 1024 * 1024
)


def every_type() -> dict[str, bytes]:
    """A package whose request has a column of each type, all of which its forest looks at."""
    types = dict(EVERY)
    steps = []
    for name, text in STEPS.items():
        node = parse(text, types)
        types[name] = node.type
        steps.append(ExpressionStep(name=name, type=node.type, node=node))
    outputs = ("distance", "seats", "vip", *STEPS)
    made = Program(
        model="delays",
        source="flights",
        time="due",
        key=("carrier",),
        request=tuple(Field(name=name, type=type_) for name, type_ in EVERY.items()),
        steps=tuple(steps),
        outputs=tuple(Field(name=name, type=types[name]) for name in outputs),
    )
    encoder = Encoder(
        columns=tuple(
            EncodedColumn(name=field.name, type=field.type, encoding=Numeric(), typical=0.0) for field in made.outputs
        )
    )
    return {
        "program.json": msgspec.json.encode(made),
        "encoder.json": msgspec.json.encode(encoder),
        "model.onnx": forest(len(outputs), trees=12, depth=4, link="Sigmoid"),
    }


def split(place: Place, name: str, *arms: Any, **more: Any) -> None:
    """A deployment of versions of equal weight, drawn by carrier and seats."""
    made = tuple(Arm(name=f"v{each.version}", serves=each, weight=1 / len(arms)) for each in arms)
    facts: dict[str, Any] = {"revision": 1, "salt": "s", "at_us": now_us(), "by": "ann", "reason": "", "verb": "deploy"}
    place.write(Deployment(project="delays", name=name, arms=made, sticky=("carrier", "seats"), **(facts | more)))


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    place = Place(tmp_path_factory.mktemp("batches"), batch=True, limits=LIMITS)
    one = place.version(1)
    place.deploy(one)
    place.deploy(place.version(2, task="multiclass"), name="kinds")
    place.deploy(place.version(3, task="regression"), name="values")
    four = place.version(4, replaced=every_type())  # one of that content: a server loads it once, under one number
    place.deploy(four, name="every")
    split(place, "unlike", one, four)
    split(place, "split", one, place.version(5), shadows=(place.version(6),))
    server = Running(place)
    server.wait_for("batch_process")
    server.wait_for("ready")
    yield server
    assert server.faults() == []
    server.end()


def parquet(table: pa.Table, **how: Any) -> bytes:
    file = io.BytesIO()
    pq.write_table(table, file, **how)
    return file.getvalue()


def stream(table: pa.Table, rows: int | None = None, **how: Any) -> bytes:
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(**how)) as writer:
        writer.write_table(table, rows)
    return sink.getvalue()


def post(
    running: Running,
    data: bytes,
    kind: str = PARQUET,
    name: str = "delays",
    key: str | None = None,
    start: str = "",
    **headers: str,
) -> tuple[int, dict[str, str], bytes]:
    """A batch on a connection of its own."""
    client = Client(running, key)
    sent = {"content-type": kind} | {each.replace("_", "-"): value for each, value in headers.items()}
    if client.key:
        sent["authorization"] = f"Bearer {client.key}"
    with suppress(BrokenPipeError, ConnectionResetError):  # it may be told before it has sent everything
        client.connection.request("POST", f"{start}/v1/deployments/{name}/predict", data, sent)
    answer = client.connection.getresponse()
    told = answer.read()
    client.connection.close()
    return answer.status, dict(answer.headers.items()), told


def answered(running: Running, data: bytes, kind: str = PARQUET, **how: str) -> pa.Table:
    status, headers, told = post(running, data, kind, **how)
    assert status == 200, told
    if headers["content-type"] == ARROW:
        return pa.ipc.open_stream(told).read_all()
    return pq.read_table(io.BytesIO(told))


def refused(running: Running, data: bytes, kind: str = PARQUET, **how: Any) -> tuple[int, dict[str, Any]]:
    status, headers, told = post(running, data, kind, **how)
    assert headers["content-type"] == "application/problem+json", told[:200]
    return status, json.loads(told)


def in_json(running: Running, rows: Sequence[dict[str, Any]], name: str = "delays") -> list[dict[str, Any]]:
    """What JSON answers to the same rows."""
    client = Client(running)
    told: list[dict[str, Any]] = []
    for start in range(0, len(rows), 1_000):
        status, _, body = client.predict(list(rows[start : start + 1_000]), name)
        assert status == 200, body
        told += body["predictions"]
    return told


def logged(running: Running, name: str) -> list[tuple[Route, Record]]:
    found = []
    for read in read_log(Path(running.place.settings().log)):
        if isinstance(read, Predictions):
            found += [
                (route, record)
                for route, record in zip(read.routes, read.records, strict=True)
                if record.request_id == name
            ]
    return found


def new_key(running: Running, *verbs: Any, **limits: Any) -> str:
    """A key of which the server learns within a second."""
    key, _ = running.place.keys.create(verbs=verbs or ("predict",), lifetime_us=None, by="ann", **limits)
    tell_changes(running.place.objects, PROJECT)
    return key


def metrics(running: Running) -> str:
    """What the server counted of everything before now."""
    client = Client(running)
    page = str(client.ask("GET", "/metrics")[2])
    before = count(page, "headrace_requests_refused_total", status="421")  # what nobody else here is answered with
    assert Client(running).ask("GET", "/healthz", headers={"host": "elsewhere"})[0] == 421

    def counted() -> bool:
        nonlocal page
        page = str(client.ask("GET", "/metrics")[2])
        return count(page, "headrace_requests_refused_total", status="421") > before

    running.wait_until(counted, "counted")
    return page


def drawn(n: int) -> list[dict[str, Any]]:
    """Rows with every type and nulls, as Python has them."""
    random_ = random.Random(7)

    def some(value: Any) -> Any:
        return None if random_.random() < 0.1 else value

    return [
        {
            "carrier": some(random_.choice(["AA", "UA", "DL", "B6"])),
            "name": some("x" * random_.randrange(9) + "ü"),
            "distance": some(random_.uniform(0, 3_000)),
            "seats": some(random_.randrange(400)),
            "vip": some(random_.random() < 0.5),
            "due": some(dt.datetime(2013, 1, 1, tzinfo=dt.UTC) + dt.timedelta(seconds=random_.randrange(10**9))),
            "day": some(dt.date(2013, 1, 1) + dt.timedelta(days=random_.randrange(10_000))),
            "wait": some(dt.timedelta(milliseconds=random_.randrange(10**7))),
            "fare": some(Decimal(random_.randrange(-(10**9), 10**9)).scaleb(-4)),
        }
        for _ in range(n)
    ]


def told_in_json(row: dict[str, Any]) -> dict[str, Any]:
    """A row as a client would write it without Arrow."""
    told = dict(row)
    for name, value in row.items():
        if isinstance(value, dt.datetime):
            told[name] = value.isoformat()
        elif isinstance(value, dt.date):
            told[name] = str(value)
        elif isinstance(value, dt.timedelta):
            told[name] = value / dt.timedelta(seconds=1)
        elif isinstance(value, Decimal):
            told[name] = str(value)
    return told


SCHEMAS: dict[str, dict[str, Any]] = {
    "as Arrow would": {
        "due": pa.timestamp("us", "UTC"),
        "wait": pa.duration("us"),
        "fare": pa.decimal128(13, 4),
        "seats": pa.int64(),
    },
    "as pandas does": {
        "carrier": pa.dictionary(pa.int8(), pa.string()),
        "name": pa.large_string(),
        "due": pa.timestamp("ns", "America/New_York"),
        "wait": pa.duration("ns"),
        "seats": pa.float64(),
        "fare": pa.decimal256(40, 6),
    },
    "coarse and naive": {
        "due": pa.timestamp("s"),
        "wait": pa.duration("ms"),
        "seats": pa.int16(),
        "day": pa.date64(),
        "fare": pa.string(),
        "carrier": pa.string_view(),
    },
}


@pytest.fixture(scope="module")
def every(running: Running) -> tuple[list[dict[str, Any]], list[dict[str, Any]], list[bytes]]:
    """Rows, what JSON answers to them, and what the model was given for each."""
    rows = drawn(10_000)
    client, told, given = Client(running), list[dict[str, Any]](), list[bytes]()
    for start in range(0, len(rows), 1_000):
        asked = [told_in_json(row) for row in rows[start : start + 1_000]]
        status, _, body = client.predict(asked, "every", **{"x-request-id": f"json-{start}"})
        assert status == 200, body
        told += body["predictions"]
        given += [record.features for _, record in logged(running, f"json-{start}")]
    assert len(set(given)) > 9_000
    return rows, told, given


@pytest.mark.parametrize("as_", SCHEMAS)
@pytest.mark.parametrize("kind", [ARROW, PARQUET])
def test_ten_thousand_rows_of_every_type_are_answered_as_in_json(
    running: Running, every: tuple[list[dict[str, Any]], list[dict[str, Any]], list[bytes]], kind: str, as_: str
) -> None:
    rows, told, given = every
    table = pa.table({name: _column([row[name] for row in rows], SCHEMAS[as_].get(name)) for name in EVERY})
    data = stream(table, 3_000) if kind == ARROW else parquet(table, row_group_size=3_000)
    request = f"batch-{kind[-7:]}-{as_.replace(' ', '-')}"
    found = answered(running, data, kind, name="every", x_request_id=request)
    assert found["row"].to_pylist() == list(range(len(rows)))
    assert found["probability"].to_pylist() == [each["probability"] for each in told]
    assert found["decision"].to_pylist() == [each["decision"] for each in told]
    assert [record.features for _, record in logged(running, request)] == given


def _column(values: Sequence[Any], kind: Any) -> Any:
    if kind == pa.string():
        values = [None if value is None else str(value) for value in values]
    return pa.array(values, kind)


def test_a_split_is_answered_by_the_arms_that_json_is_answered_by_and_logged_alike(running: Running) -> None:
    rows = [ROW | {"seats": n % 300, "distance": None if n % 7 == 0 else n * 1.1} for n in range(2_500)]
    found = answered(running, parquet(pa.Table.from_pylist(rows)), name="split", x_request_id="batch-1", accept=ARROW)
    told = in_json(running, rows, "split")
    for name in ("deployment", "arm", "model", "version", "probability", "decision"):
        assert found[name].to_pylist() == [each[name] for each in told], name
    assert set(found["arm"].to_pylist()) == {"v1", "v5"}
    assert set(found["request_id"].to_pylist()) == {"batch-1"}

    running.wait_until(lambda: len(logged(running, "batch-1")) == 2 * len(rows), "all logged, by the shadow too")
    records = logged(running, "batch-1")
    kept = {record.row: (route, record) for route, record in records if not route.shadow}
    assert sorted(kept) == list(range(len(rows)))
    assert [kept[n][1].scores[0] for n in range(len(rows))] == found["probability"].to_pylist()
    assert [kept[n][0].arm for n in range(len(rows))] == found["arm"].to_pylist()
    assert len({record.at_us for _, record in records}) == 1
    assert sorted(record.row for route, record in records if route.shadow) == list(range(len(rows)))


def test_arms_that_read_other_columns_each_get_theirs(running: Running) -> None:
    rows = [row | {"carrier": f"C{n}", "seats": n, "hour_at": None} for n, row in enumerate(drawn(400))]
    found = answered(running, parquet(pa.Table.from_pylist(rows)), name="unlike")
    told = in_json(running, [told_in_json(row) for row in rows], "unlike")
    assert set(found["version"].to_pylist()) == {1, 4}
    for name in ("arm", "version", "probability", "decision"):
        assert found[name].to_pylist() == [each[name] for each in told], name
    status, problem = refused(running, parquet(pa.Table.from_pylist(rows).drop_columns("fare")), name="unlike")
    assert (status, problem["code"], problem["facts"]["column"]) == (422, "column-missing", "fare")


def test_a_batch_that_nobody_waits_for_is_let_go_of(running: Running) -> None:
    key = new_key(running, concurrency=1)
    small, large = parquet(rows_of(10)), parquet(rows_of(20_000))
    running.wait_until(lambda: post(running, small, key=key)[0] == 200, "known")
    before = metrics(running)
    client = Client(running, key)
    headers = {"content-type": PARQUET, "authorization": f"Bearer {key}", "x-request-id": "left"}
    client.connection.request("POST", "/v1/deployments/delays/predict", large, headers)
    running.wait_until(lambda: post(running, small, key=key)[0] == 429, "begun")
    # an end alone would be a client that has nothing more to say, and waits for its answer
    client.connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.connection.close()
    running.wait_until(lambda: post(running, small, key=key)[0] == 200, "let go of")
    after = metrics(running)
    assert [count(page, "headrace_batches_total", outcome="left") for page in (before, after)] == [0, 1]


@pytest.mark.parametrize("name", ["kinds", "values", "delays"])
def test_polars_asks_and_reads_every_kind_of_answer(running: Running, name: str) -> None:
    rows = [ROW | {"seats": n, "carrier": ["AA", "UA", None][n % 3]} for n in range(700)]
    frame = pl.DataFrame(rows).with_columns(
        pl.col("carrier").cast(pl.Categorical), pl.col("due").str.to_datetime(time_zone="UTC")
    )
    told = in_json(running, rows, name)
    sent = io.BytesIO()
    frame.write_ipc_stream(sent)
    file = io.BytesIO()
    frame.write_parquet(file)
    for data, kind in ((sent, ARROW), (file, PARQUET)):
        status, _, body = post(running, data.getvalue(), kind, name)
        assert status == 200, body
        found = pl.read_ipc_stream(body) if kind == ARROW else pl.read_parquet(body)
        assert found["version"].to_list() == [each["version"] for each in told]
        if name == "values":
            assert found["value"].to_list() == [each["value"] for each in told]
        else:
            assert found["decision"].to_list() == [each["decision"] for each in told]
        if name == "kinds":
            names = ["early", "on time", "late"]
            shares = found.select(f"probability_{each}" for each in names).rows()
            assert shares == [tuple(each["probabilities"][one] for one in names) for each in told]


def test_the_answer_has_the_form_that_was_asked_for(running: Running) -> None:
    data = parquet(pa.Table.from_pylist([ROW]))
    for accept, kind in (
        ("*/*", PARQUET),
        (ARROW, ARROW),
        (f"{PARQUET};q=0.5, {ARROW}", ARROW),
        (f"{ARROW};q=0.5, application/*", PARQUET),
        (f"text/html, {PARQUET}", PARQUET),
    ):
        assert post(running, data, accept=accept)[1]["content-type"] == kind, accept
    status, problem = refused(running, data, accept="application/json")
    assert (status, problem["code"]) == (406, "not-acceptable")


def test_no_rows_are_no_predictions(running: Running) -> None:
    empty = pa.Table.from_pylist([ROW]).slice(0, 0)
    for data, kind in ((parquet(empty), PARQUET), (stream(empty), ARROW)):
        found = answered(running, data, kind)
        assert found.num_rows == 0
        assert found.column_names[-2:] == ["probability", "decision"]


@pytest.mark.parametrize(
    ("change", "code", "column", "row"),
    [
        ({"distance": pa.array([1.0] * 4_000 + [math.inf] + [math.nan] * 999)}, "value-refused", "distance", 4_000),
        ({"seats": pa.array([None] * 77 + ["many"] + [None] * 4_922)}, "value-refused", "seats", 77),
        ({"due": pa.array([None] * 4_999 + ["then"])}, "value-refused", "due", 4_999),
        ({"seats": pa.array([[1]] * 5_000)}, "value-refused", "seats", 0),
        ({"other": pa.array([1] * 5_000)}, "column-unknown", "other", 0),
        ({"seats": None}, "column-missing", "seats", 0),
    ],
)
@pytest.mark.parametrize("name", ["delays", "split"])
def test_one_bad_cell_is_named_and_nothing_is_answered(
    running: Running, change: dict[str, Any], code: str, column: str, row: int, name: str
) -> None:
    columns = {each: pa.array([value] * 5_000) for each, value in ROW.items()} | change
    table = pa.table({each: values for each, values in columns.items() if values is not None})
    status, problem = refused(running, stream(table, 1_000), ARROW, name=name, x_request_id=f"bad-{code}-{column}")
    assert (status, problem["code"]) == (422, code)
    assert problem["facts"]["column"] == column
    assert problem["facts"]["row"] == row
    assert f"rows[{row}]" in problem["detail"]
    assert logged(running, f"bad-{code}-{column}") == []


def test_a_column_that_comes_twice_is_refused(running: Running) -> None:
    row = pa.Table.from_pylist([ROW])
    twice = pa.Table.from_arrays([*row.columns, row["seats"]], [*row.column_names, "seats"])
    status, problem = refused(running, stream(twice), ARROW)
    assert (status, problem["code"]) == (422, "batch-refused")


def rows_of(n: int) -> pa.Table:
    return pa.table({name: [value] * n for name, value in ROW.items()})


def test_more_than_is_answered_at_once_is_413_and_says_how_much_is(running: Running) -> None:
    for data, kind in ((parquet(rows_of(20_001)), PARQUET), (stream(rows_of(20_001), 5_000), ARROW)):
        status, problem = refused(running, data, kind)
        assert (status, problem["code"]) == (413, "batch-too-large")
        assert "20,000 rows" in problem["detail"]
    assert answered(running, parquet(rows_of(20_000))).num_rows == 20_000
    status, problem = refused(running, os.urandom(LIMITS.batch_bytes + 1))
    assert (status, problem["code"]) == (413, "body-too-large")
    assert "4,194,304" in problem["detail"]


def bombs() -> dict[str, tuple[bytes, str]]:
    """Few bytes that would be many."""
    n = 20_000
    long = "x" * 100_000
    columns = {name: pa.array([value] * n) for name, value in ROW.items()}
    named = pa.DictionaryArray.from_arrays(pa.array(np.zeros(n, np.int32)), pa.array([long]))
    _, view, data = pa.array([long], pa.string_view()).buffers()
    views = pa.Array.from_buffers(pa.string_view(), n, [None, pa.py_buffer(view.to_pybytes() * n), data])
    texts = pa.table(columns | {"carrier": pa.array([long] * 1_000 + [None] * (n - 1_000))})
    zeros = pa.table(columns | {"carrier": pa.array(["\0" * 50_000] * 5_000 + [None] * (n - 5_000))})
    return {
        "a dictionary in Arrow": (stream(pa.table(columns | {"carrier": named})), ARROW),
        "a dictionary in Parquet": (parquet(texts), PARQUET),
        "views": (stream(pa.table(columns | {"carrier": views})), ARROW),
        "zstd in Arrow": (stream(zeros, compression="zstd"), ARROW),
        "zstd in Parquet": (parquet(zeros, compression="zstd", use_dictionary=False), PARQUET),
        "gzip in Parquet": (parquet(texts, compression="gzip", use_dictionary=False), PARQUET),
    }


def test_few_bytes_that_would_be_many_are_413(running: Running) -> None:
    before = running.workers()
    for name, (data, kind) in bombs().items():
        assert len(data) < LIMITS.batch_bytes, name
        status, problem = refused(running, data, kind)
        assert (status, problem["code"]) == (413, "batch-too-large"), (name, problem)
    assert running.workers() == before
    assert Client(running).predict(ROW)[0] == 200


def test_a_row_that_has_no_room_in_json_is_413(running: Running) -> None:
    rows = rows_of(3).set_column(0, "carrier", pa.array(["UA", "\0" * 2_000_000, "UA"]))
    status, problem = refused(running, parquet(rows))
    assert (status, problem["code"]) == (413, "batch-too-large")
    assert "one row" in problem["detail"]


def test_damaged_bytes_are_refused_and_touch_nobody(running: Running) -> None:
    before = running.workers()
    random_ = random.Random(11)
    whole = {PARQUET: parquet(rows_of(300)), ARROW: stream(rows_of(300), 100, compression="lz4")}
    for turn in range(60):
        kind = random_.choice([PARQUET, ARROW])
        data = bytearray(whole[kind])
        match turn % 4:
            case 0:
                del data[random_.randrange(len(data)) :]
            case 1:
                data = bytearray(random_.randbytes(random_.randrange(1, 3_000)))
            case _:
                for _ in range(random_.randrange(1, 20)):
                    data[random_.randrange(len(data))] = random_.randrange(256)
        status, headers, told = post(running, bytes(data), kind)
        assert status in (200, 413, 422), told  # some damage leaves a table that is one
        assert status == 200 or json.loads(told)["code"] in (
            *("batch-unreadable", "batch-refused", "batch-too-large", "batch-not-survived"),
            *("value-refused", "column-missing", "column-unknown"),
        ), headers
    assert running.workers() == before
    assert Client(running).predict(ROW)[0] == 200


def test_keys_names_and_kinds_are_looked_at_as_for_json(running: Running) -> None:
    data = parquet(rows_of(3))
    truths, elsewhere = new_key(running, "outcomes"), new_key(running, deployments=("kinds",))
    running.wait_until(lambda: post(running, data, name="kinds", key=elsewhere)[0] == 200, "known")
    for key, status in (("", 401), ("hr_abc_x", 401), (truths, 403), (elsewhere, 403)):
        assert refused(running, data, key=key)[0] == status
    large = b"\0" * (LIMITS.body_bytes + 1)
    assert refused(running, large, key="")[0] == 401
    assert refused(running, large, key=elsewhere)[0] == 413  # what it may not ask for is no batch
    assert refused(running, large)[0] == 422
    assert refused(running, large, start="http://localhost")[0] == 422
    assert refused(running, data, name="nobody")[0] == 404
    assert refused(running, data, "application/vnd.apache.orc")[0] == 415
    assert refused(running, data, content_encoding="gzip")[0] == 415
    assert refused(running, data, x_timeout_ms="soon")[1]["code"] == "timeout-invalid"
    assert refused(running, parquet(rows_of(20_000)), x_timeout_ms="1")[1]["code"] == "deadline-passed"


def test_a_batch_is_one_request_of_its_keys_limit(running: Running) -> None:
    key = new_key(running, rate=0.001)
    data = parquet(rows_of(1_000))
    running.wait_until(lambda: post(running, data, key=key)[0] == 200, "known")
    status, problem = refused(running, data, key=key)
    assert (status, problem["code"]) == (429, "key-too-fast")


def test_each_batch_is_counted_once_by_what_became_of_it(running: Running) -> None:
    before = metrics(running)
    for _ in range(2):
        answered(running, parquet(rows_of(700)))
    answered(running, stream(rows_of(3)), ARROW, accept=PARQUET)
    refusals: list[tuple[str, dict[str, Any]]] = [
        ("batch-unreadable", {"data": b"none"}),
        ("batch-unreadable", {"data": b"none", "kind": f"{ARROW}; v=1"}),
        ("column-missing", {"data": parquet(rows_of(3).drop_columns("seats"))}),
        ("not-acceptable", {"data": parquet(rows_of(3)), "accept": "text/html"}),
        ("not-authenticated", {"data": parquet(rows_of(3)), "key": ""}),
        ("deployment-unknown", {"data": parquet(rows_of(3)), "name": "nobody"}),
        ("body-too-large", {"data": b"x" * (LIMITS.batch_bytes + 1), "kind": ARROW}),  # refused before it is whole
    ]
    for code, asked in refusals:
        assert refused(running, **asked)[1]["code"] == code
    assert Client(running).predict(ROW | {"vip": "so"})[0] == 422  # no batch
    after = metrics(running)
    judged(after)

    def more(name: str, **labels: str) -> float:
        return count(after, name, **labels) - count(before, name, **labels)

    assert more("headrace_batches_total", format="parquet", outcome="answered") == 2
    assert more("headrace_batches_total", format="arrow", outcome="answered") == 1
    assert more("headrace_batches_total", format="parquet", outcome="refused") == 5
    assert more("headrace_batches_total", format="arrow", outcome="refused") == 2
    assert more("headrace_batches_total", outcome="left") == 0
    assert more("headrace_batch_rows_total", format="parquet") == 1_400
    assert more("headrace_batch_rows_total", format="arrow") == 3
    assert more("headrace_batch_seconds_count", format="parquet") == 2
    assert more("headrace_batch_seconds_bucket", format="arrow", le=r"+Inf") == 1
    assert more("headrace_batch_seconds_sum", format="parquet") > more("headrace_batch_seconds_sum", format="arrow") > 0
    codes = [code for code, _ in refusals]
    for code in codes:
        assert more("headrace_batches_refused_total", reason=code) == codes.count(code), code
    assert more("headrace_batches_refused_total") == len(codes)
    assert more("headrace_predictions_total", deployment="delays") == 1_403
    assert count(after, "headrace_batch_process_up") == 1


def test_the_worker_loads_nothing_that_reads_batches(running: Running) -> None:
    answered(running, parquet(rows_of(10)))
    # what it began for one batch ends after the answer
    running.wait_until(lambda: len(readers(running)) == 1, "ended")
    reader = reader_of(running)
    assert all("polars" not in Path(f"/proc/{pid}/maps").read_text() for pid in (*running.workers(), reader))


def below(pid: int) -> list[int]:
    found = [pid]
    with suppress(FileNotFoundError, ProcessLookupError):  # it has ended since
        for each in children(pid):
            found += below(each)
    return found


def readers(running: Running) -> list[int]:
    """Processes that have loaded what reads batches."""
    found = []
    for pid in below(running.process.pid):
        with suppress(FileNotFoundError, ProcessLookupError):
            found += [pid] * ("libarrow" in Path(f"/proc/{pid}/maps").read_text())
    return found


def reader_of(running: Running) -> int:
    """The one that is there before any batch."""
    return min(readers(running))


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Running]:
    place = Place(tmp_path, batch=True)
    place.deploy(place.version(1))
    server = Running(place)
    server.wait_for("batch_process")
    server.wait_for("ready")
    yield server
    server.end()


def test_a_reader_that_is_gone_is_begun_again(alone: Running) -> None:
    data = parquet(rows_of(50))
    assert post(alone, data)[0] == 200
    os.kill(reader_of(alone), signal.SIGKILL)
    alone.wait_for("batch_process_lost")
    alone.wait_for("batch_process", 2)
    assert answered(alone, data).num_rows == 50
    page = metrics(alone)
    assert count(page, "headrace_batch_process_restarts_total") == 1
    assert count(page, "headrace_batch_process_up") == 1
    assert alone.faults() == []


def test_a_reader_that_hangs_is_503_and_json_goes_on_until_it_is_replaced(alone: Running) -> None:
    data = parquet(rows_of(50))
    os.kill(reader_of(alone), signal.SIGSTOP)
    status, headers, told = post(alone, data)
    assert (status, json.loads(told)["code"]) == (503, "batch-process-away")
    assert int(headers["retry-after"]) in (1, 2, 3)
    assert Client(alone).predict(ROW)[0] == 200
    alone.wait_until(lambda: count(metrics(alone), "headrace_batch_process_up") == 0, "said to hang")
    lost = alone.wait_for("batch_process_lost", within_s=60.0)
    assert "did not answer" in lost["why"]
    alone.wait_for("batch_process", 2)
    assert answered(alone, data).num_rows == 50


def test_a_server_without_the_process_says_how_to_get_it(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.deploy(place.version(1))
    server = Running(place)
    try:
        status, problem = refused(server, parquet(rows_of(3)))
        assert (status, problem["code"]) == (415, "batch-not-served")
        assert "batch = true" in problem["fix"]
        assert "headrace[serve,batch]" in problem["fix"]
        assert Client(server).predict(ROW)[0] == 200
    finally:
        server.end()


def test_the_openapi_page_lists_the_forms(running: Running) -> None:
    page = Client(running).ask("GET", "/openapi.json")[2]
    said = page["paths"]["/v1/deployments/delays/predict"]["post"]
    assert {ARROW, PARQUET, "application/json"} == set(said["requestBody"]["content"])
    assert {ARROW, PARQUET, "application/json"} == set(said["responses"]["200"]["content"])
    assert "406" in said["responses"]
