"""The Open Inference Protocol: what Triton's own client sends and reads, and what is refused."""

from __future__ import annotations

import json
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.examples import python_with
from tests.scoring.made import ROW, decision
from tests.serving.http.inside import Inside, deployment, version, within
from tests.serving.http.running import Place, Running

from headrace.serving.http.endpoint import Endpoint
from headrace.serving.http.inference import read_infer

INFER = "/v2/models/delays/infer"
KINDS = {"carrier": "BYTES", "distance": "FP64", "seats": "INT64", "vip": "BOOL", "due": "BYTES"}


def infer(rows: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    inputs = [
        {"name": name, "datatype": kind, "shape": [len(rows)], "data": [row[name] for row in rows]}
        for name, kind in KINDS.items()
    ]
    return {"inputs": inputs, **more}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    place = Place(tmp_path_factory.mktemp("inference"))
    place.deploy(place.version(1))
    place.deploy(place.version(2, task="multiclass"), name="kinds")
    server = Running(place)
    server.wait_for("ready")
    yield server
    server.end()


@pytest.fixture(scope="module")
def triton(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python with Triton's client."""
    return python_with("tritonclient", tmp_path_factory)


CLIENT = """
import json, sys
import numpy as np
import tritonclient.http as http
address, key, rows = json.loads(sys.argv[1])
who = {"Authorization": f"Bearer {key}"}  # the client writes into what it is given
client = http.InferenceServerClient(address)
assert client.is_server_live(headers=dict(who)) and client.is_server_ready(headers=dict(who))
assert client.is_model_ready("delays", headers=dict(who))
about = client.get_model_metadata("delays", headers=dict(who))
kinds = {"BYTES": np.object_, "FP64": np.float64, "INT64": np.int64, "BOOL": np.bool_}
found = {"metadata": about, "server": client.get_server_metadata(headers=dict(who))}
for binary in (True, False):
    inputs = []
    for each in about["inputs"]:
        tensor = http.InferInput(each["name"], [len(rows)], each["datatype"])
        data = np.array([row[each["name"]] for row in rows], dtype=kinds[each["datatype"]])
        tensor.set_data_from_numpy(data, binary_data=binary)
        inputs.append(tensor)
    outputs = [http.InferRequestedOutput(each["name"], binary_data=binary) for each in about["outputs"]]
    answer = client.infer("delays", inputs, outputs=outputs, request_id=f"q{binary}", headers=dict(who))
    found[str(binary)] = {each["name"]: answer.as_numpy(each["name"]).tolist() for each in about["outputs"]}
    found["id"] = answer.get_response()["id"]
    plain = client.infer("delays", inputs, headers=dict(who))
    assert plain.as_numpy("probability").tolist() == found[str(binary)]["probability"]
try:
    client.infer("delays", inputs[:1], headers=dict(who))
except http.InferenceServerException as error:
    found["refused"] = str(error)
try:
    client.infer("delays", inputs, headers={"Authorization": "Bearer hr_x_y"})
except http.InferenceServerException as error:
    found["unknown"] = str(error)
answer = client.infer("kinds", inputs, headers=dict(who))
found["kinds"] = [answer.as_numpy("probabilities").tolist(), answer.as_numpy("decision").tolist()]
print(json.dumps(found, default=lambda value: value.decode()))
"""


def test_tritons_own_client_gets_what_our_own_json_gets(running: Running, triton: Path) -> None:
    rows = [ROW | {"seats": seats, "distance": seats * 1.1} for seats in range(1, 40)]
    host, port = running.address
    told = json.dumps([f"{host}:{port}", running.place.key, rows])
    done = subprocess.run([triton, "-c", CLIENT, told], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    from tests.serving.http.running import Client

    client = Client(running)
    ours = client.predict(rows)[2]["predictions"]
    for binary in ("True", "False"):
        assert found[binary]["probability"] == [each["probability"] for each in ours]
        assert found[binary]["decision"] == [each["decision"] for each in ours]
        assert found[binary]["version"] == [1] * len(rows)
    assert found["id"] == "qFalse"
    assert found["metadata"]["platform"] == "headrace"
    assert found["server"]["extensions"] == ["binary_tensor_data"]
    assert "has no column" in found["refused"]
    assert "not known" in found["unknown"]
    kinds = client.predict(rows, "kinds")[2]["predictions"]
    assert found["kinds"][0] == [list(each["probabilities"].values()) for each in kinds]
    assert found["kinds"][1] == [each["decision"] for each in kinds]


def test_what_is_not_known_is_null_in_json_and_nan_in_bytes(tmp_path: Path) -> None:
    async def run() -> None:
        made = version(1)
        inside = Inside(tmp_path, deployment({"v1": made}), [made])
        row = ROW | {"distance": None}
        _, _, told = await inside.ask(infer([row]), path=INFER)
        want = made.scorer.predict([row])[0].probability
        assert told["outputs"][0] == {"name": "probability", "datatype": "FP64", "shape": [1], "data": [want]}
        asked = infer([row])
        distance = next(each for each in asked["inputs"] if each["name"] == "distance")
        del distance["data"]
        for kind, text in (("FP64", "<d"), ("FP32", "<f")):
            distance |= {"parameters": {"binary_data_size": struct.calcsize(text)}, "datatype": kind}
            data = json.dumps(asked).encode()
            for value, expected in ((float("nan"), want), (100.0, None)):
                body = data + struct.pack(text, value)
                headers = {"inference_header_content_length": str(len(data))}
                status, _, told = await inside.ask(body, path=INFER, **headers)
                assert status == 200
                other = made.scorer.predict([ROW | {"distance": 100.0}])[0].probability
                assert told["outputs"][0]["data"] == [other if expected is None else expected]

    within(run())


@pytest.mark.parametrize("threshold", [None, 0.5], ids=["without a threshold", "as training makes it"])
def test_a_decision_that_may_be_left_to_people_is_a_number(tmp_path: Path, threshold: float | None) -> None:
    costs = ((0.0, 1.0), (1.0, 0.0))
    left = msgspec.structs.replace(decision(), cost_matrix=costs, threshold=threshold, reject=0.0001)

    async def run() -> None:
        made = version(1, replaced={"decision.json": msgspec.json.encode(left)})
        inside = Inside(tmp_path, deployment({"v1": made}), [made])
        _, _, told = await inside.ask(infer([ROW]), path=INFER)
        assert {each["name"]: each["data"] for each in told["outputs"]}["decision"] == [-1]
        _, _, about = await inside.ask(b"", path="/v2/models/delays", method="GET")
        assert {each["name"]: each["datatype"] for each in about["outputs"]}["decision"] == "INT8"

    within(run())


def test_values_are_tensors_too_and_shapes_may_have_two_dimensions(tmp_path: Path) -> None:
    async def run() -> None:
        made = version(1, task="regression")
        inside = Inside(tmp_path, deployment({"v1": made}), [made])
        asked = infer([ROW, ROW])
        for each in asked["inputs"]:
            each["shape"], each["data"] = [2, 1], [[value] for value in each["data"]]
        _, _, told = await inside.ask(asked, path=INFER)
        want = made.scorer.predict([ROW])[0].value
        assert told["outputs"][0] == {"name": "value", "datatype": "FP64", "shape": [2], "data": [want, want]}
        asked["outputs"] = [{"name": "version"}]
        _, _, told = await inside.ask(asked, path=INFER)
        assert told["outputs"] == [{"name": "version", "datatype": "INT64", "shape": [2], "data": [1, 1]}]

    within(run())


def test_the_version_is_the_routes_to_choose(tmp_path: Path) -> None:
    async def run() -> None:
        one, two = version(1), version(2)
        inside = Inside(tmp_path, deployment({"v1": one}), [one, two])
        assert (await inside.ask(infer([ROW]), path="/v2/models/delays/versions/1/infer"))[0] == 200
        for path in ("/v2/models/delays/versions/2/infer", "/v2/models/none/infer"):
            assert (await inside.ask(infer([ROW]), path=path))[0] == 404
        assert (await inside.ask(b"", path="/v2/models/delays/versions/1", method="GET"))[0] == 200
        assert (await inside.ask(b"", path="/v2/models/delays/versions/2/ready", method="GET"))[0] == 404

    within(run())


def _without(place: str) -> Any:
    asked = infer([ROW])
    del asked["inputs"][0][place]
    return asked


def _with(**more: Any) -> Any:
    asked = infer([ROW])
    asked["inputs"][1] |= more
    return asked


WRONG: dict[str, tuple[Any, dict[str, str], str]] = {
    "no JSON": (b"{", {}, "body-not-json"),
    "too deep": (b'{"inputs":[{"name":"a","shape":[1],"datatype":"FP64","data":' + b"[" * 100_000, {}, "body-not-json"),
    "no inputs": ({"inputs": []}, {}, "inference-refused"),
    "no name": (_without("name"), {}, "inference-refused"),
    "no shape": (_without("shape"), {}, "inference-refused"),
    "no data": (_without("data"), {}, "inference-refused"),
    "three dimensions": (_with(shape=[1, 1, 1]), {}, "inference-refused"),
    "two columns in one": (_with(shape=[1, 2], data=[1.0]), {}, "inference-refused"),
    "negative": (_with(shape=[-1]), {}, "inference-refused"),
    "more rows": (_with(shape=[2], data=[1.0, 2.0]), {}, "inference-refused"),
    "fewer data": (_with(data=[]), {}, "inference-refused"),
    "nested data": (_with(data=[[1.0]]), {}, "inference-refused"),
    "too many rows": (infer([ROW] * 1_001), {}, "inference-refused"),
    "text for a number": (_with(data=["far"]), {}, "value-refused"),
    "twice": (_with(name="carrier"), {}, "inference-refused"),
    "an unknown column": (_with(name="miles"), {}, "column-unknown"),
    "an unknown output": (infer([ROW], outputs=[{"name": "miles"}]), {}, "inference-refused"),
    "an output twice": (infer([ROW], outputs=[{"name": "probability"}] * 2), {}, "inference-refused"),
    "more inputs than columns": (
        {"inputs": [{"name": f"i{n}", "datatype": "FP64", "shape": [1], "data": [1.0]} for n in range(40)]},
        {},
        "inference-refused",
    ),
    "no id": (infer([ROW], id='a"b'), {}, "request-id-invalid"),
    "binary that is not there": (_with(parameters={"binary_data_size": 8}), {}, "inference-refused"),
    "a length that is too large": (infer([ROW]), {"inference_header_content_length": "9999999"}, "inference-refused"),
    "a length of words": (infer([ROW]), {"inference_header_content_length": "ten"}, "inference-refused"),
    "data behind": (
        json.dumps(infer([ROW])).encode() + b"1234",
        {"inference_header_content_length": str(len(json.dumps(infer([ROW]))))},
        "inference-refused",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_request_that_is_none_is_refused_with_what_is_wrong(tmp_path: Path, name: str) -> None:
    body, headers, code = WRONG[name]

    async def run() -> None:
        made = version(1)
        inside = Inside(tmp_path, deployment({"v1": made}), [made])
        status, _, problem = await inside.ask(body, path=INFER, **headers)
        assert (400 <= status < 500, problem["code"]) == (True, code)
        assert problem["error"] == problem["detail"]
        assert "far" not in problem["detail"]
        assert not inside.faults

    within(run())


@pytest.mark.parametrize(
    ("kind", "text", "values"),
    [
        ("BOOL", "??", [True, False]),
        ("UINT8", "BB", [200, 1]),
        ("UINT16", "<HH", [60_000, 1]),
        ("UINT32", "<II", [4_000_000_000, 1]),
        ("UINT64", "<QQ", [2**63 + 1, 1]),
        ("INT8", "bb", [-100, 1]),
        ("INT16", "<hh", [-30_000, 1]),
        ("INT32", "<ii", [-2_000_000_000, 1]),
        ("INT64", "<qq", [-(2**62), 1]),
        ("FP16", "<ee", [-0.5, 1.0]),
        ("FP32", "<ff", [-1.25, 1.0]),
        ("FP64", "<dd", [0.1, 1.0]),
    ],
)
def test_numbers_of_every_datatype_are_read_as_what_they_are(kind: str, text: str, values: list[Any]) -> None:
    made = version(1)
    asked = infer([ROW, ROW])
    distance = next(each for each in asked["inputs"] if each["name"] == "distance")
    del distance["data"]
    data = struct.pack(text, *values)
    distance |= {"datatype": kind, "parameters": {"binary_data_size": len(data)}}
    told = json.dumps(asked).encode()
    endpoint = Endpoint(deployment({"v1": made}), {made.served.package: made})
    rows = json.loads(read_infer(endpoint, told + data, b"%d" % len(told), 10).body)
    assert [row["distance"] for row in rows] == values
    assert [type(row["distance"]) for row in rows] == [type(value) for value in values]


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("BYTES", struct.pack("<I", 9) + b"UA"),
        ("BYTES", struct.pack("<I", 2) + b"\xff\xfe"),
        ("BYTES", struct.pack("<I", 2) + b"UA" + b"more"),
        ("BYTES", b"\x01"),
        ("FP64", b"1234"),
        ("FP64", struct.pack("<dd", 1.0, 2.0)),
        ("FP64", struct.pack("<d", float("inf"))),
        ("BF16", b"12"),
        ("FP99", b"12345678"),
    ],
)
def test_binary_data_that_are_none_are_refused(tmp_path: Path, kind: str, data: bytes) -> None:
    async def run() -> None:
        made = version(1)
        inside = Inside(tmp_path, deployment({"v1": made}), [made])
        asked = infer([ROW])
        name = "carrier" if kind == "BYTES" else "distance"
        tensor = next(each for each in asked["inputs"] if each["name"] == name)
        del tensor["data"]
        tensor |= {"datatype": kind, "parameters": {"binary_data_size": len(data)}}
        told = json.dumps(asked).encode()
        status, _, problem = await inside.ask(told + data, path=INFER, inference_header_content_length=str(len(told)))
        assert (status, problem["code"]) == (422, "inference-refused")
        assert not inside.faults

    within(run())
