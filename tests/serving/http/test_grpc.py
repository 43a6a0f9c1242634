"""The Open Inference Protocol over gRPC: what Triton's own client and a plain one send and read, what is refused."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography import x509
from tests.scoring.made import ROW
from tests.servers import free_ports
from tests.serving.http.inside import TEXT, Inside, deployment, version, within
from tests.serving.http.running import Client, Place, Running
from tests.serving.http.test_inference import KINDS, triton
from tests.serving.http.test_tls import Authority, begun, client, is_cut, tls

from headrace.serving.grpc import server
from headrace.serving.grpc.messages import SERVICE, messages
from headrace.serving.http.connection import Request
from headrace.serving.limits import Limits
from headrace.serving.log.reader import Predictions, read_log

__all__ = ["triton"]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    place = Place(tmp_path_factory.mktemp("grpc"), grpc=("127.0.0.1", free_ports(1)[0]))
    place.deploy(place.version(1))
    place.deploy(place.version(2, task="multiclass"), name="kinds")
    made = Running(place, workers=2)
    made.wait_for("grpc", 2)
    made.wait_for("ready")
    yield made
    made.end()


CLIENT = """
import json, sys
import numpy as np
import tritonclient.grpc as grpc
address, key, rows = json.loads(sys.argv[1])
who = {"authorization": f"Bearer {key}"}
client = grpc.InferenceServerClient(address)
assert client.is_server_live(headers=who) and client.is_server_ready(headers=who)
assert client.is_model_ready("delays", headers=who)
about = client.get_model_metadata("delays", headers=who, as_json=True)
kinds = {"BYTES": np.object_, "FP64": np.float64, "INT64": np.int64, "BOOL": np.bool_}
inputs = []
for each in about["inputs"]:
    tensor = grpc.InferInput(each["name"], [len(rows)], each["datatype"])
    tensor.set_data_from_numpy(np.array([row[each["name"]] for row in rows], dtype=kinds[each["datatype"]]))
    inputs.append(tensor)
found = {"metadata": about, "server": client.get_server_metadata(headers=who, as_json=True)}
outputs = [grpc.InferRequestedOutput(each["name"]) for each in about["outputs"]]
answer = client.infer("delays", inputs, outputs=outputs, request_id="q7", headers=who, client_timeout=30)
found["id"] = answer.get_response().id
found["told"] = {each["name"]: answer.as_numpy(each["name"]).tolist() for each in about["outputs"]}
for name, who_else in (("refused", who), ("unknown", {"authorization": "Bearer hr_x_y"}), ("nobody", {})):
    try:
        client.infer("delays", inputs[:1] if name == "refused" else inputs, headers=who_else)
    except grpc.InferenceServerException as error:
        found[name] = [error.status(), error.message()]
answer = client.infer("kinds", inputs, headers=who)
found["kinds"] = [answer.as_numpy("probabilities").tolist(), answer.as_numpy("decision").tolist()]
print(json.dumps(found, default=lambda value: value.decode()))
"""


def test_tritons_own_client_gets_what_our_own_json_gets(running: Running, triton: Path) -> None:
    rows = [ROW | {"seats": seats, "distance": seats * 1.1} for seats in range(1, 40)]
    assert running.place.grpc is not None
    told = json.dumps([f"127.0.0.1:{running.place.grpc[1]}", running.place.key, rows])
    done = subprocess.run([triton, "-c", CLIENT, told], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    asking = Client(running)
    ours = asking.predict(rows)[2]["predictions"]
    assert found["told"]["probability"] == [each["probability"] for each in ours]
    assert found["told"]["decision"] == [each["decision"] for each in ours]
    assert found["told"]["version"] == [1] * len(rows)
    assert found["id"] == "q7"
    assert found["metadata"]["platform"] == "headrace"
    assert found["server"]["name"] == "headrace"
    assert found["refused"][0] == "StatusCode.INVALID_ARGUMENT"
    assert "has no column" in found["refused"][1]
    assert found["unknown"][0] == found["nobody"][0] == "StatusCode.UNAUTHENTICATED"
    kinds = asking.predict(rows, "kinds")[2]["predictions"]
    assert found["kinds"][0] == [list(each["probabilities"].values()) for each in kinds]
    assert found["kinds"][1] == [each["decision"] for each in kinds]
    logged = [
        record.request_id
        for read in read_log(Path(running.place.settings().log))
        if isinstance(read, Predictions)
        for record in read.records
    ]
    assert logged.count("q7") == len(rows)


def asked(rows: list[dict[str, Any]], **more: Any) -> Any:
    """A request with typed contents, as clients make it that have no raw ones."""
    made = messages()["ModelInferRequest"](**({"model_name": "delays"} | more))
    fields = {"BYTES": "bytes_contents", "FP64": "fp64_contents", "INT64": "int64_contents", "BOOL": "bool_contents"}
    for name, kind in KINDS.items():
        tensor = made.inputs.add(name=name, datatype=kind, shape=[len(rows)])
        values = [row[name] for row in rows]
        getattr(tensor.contents, fields[kind]).extend(
            [value.encode() for value in values] if kind == "BYTES" else values
        )
    return made


def call(
    channel: grpc.Channel, method: str, request: Any, key: str | None, *, trace: str | None = None, **more: Any
) -> Any:
    made = messages()
    ask = channel.unary_unary(
        f"/{SERVICE}/{method}",
        request_serializer=made[f"{method}Request"].SerializeToString,
        response_deserializer=made[f"{method}Response"].FromString,
    )
    metadata = [] if key is None else [("authorization", f"Bearer {key}")]
    metadata += [] if trace is None else [("traceparent", trace)]
    return ask(request, metadata=metadata, timeout=30, **more)


def code_of(channel: grpc.Channel, method: str, request: Any, key: str | None) -> str:
    with pytest.raises(grpc.RpcError) as caught:
        call(channel, method, request, key)
    name: str = caught.value.code().name
    return name


def test_typed_contents_are_read_and_what_is_wrong_has_its_code(running: Running) -> None:
    assert running.place.grpc is not None
    key, made = running.place.key, messages()
    want = Client(running).predict(ROW)[2]["probability"]
    with grpc.insecure_channel(f"127.0.0.1:{running.place.grpc[1]}") as channel:
        answer = call(channel, "ModelInfer", asked([ROW, ROW], id="a"), key)
        assert [each.name for each in answer.outputs] == ["probability", "decision", "version"]
        assert list(memoryview(answer.raw_output_contents[0]).cast("d")) == [want, want]
        assert call(channel, "ModelReady", made["ModelReadyRequest"](name="delays", version="1"), key).ready
        wrong = {
            "NOT_FOUND": [
                *(asked([ROW], model_name=name) for name in ("none", "../x", "é", "")),
                *(asked([ROW], model_version=version) for version in ("7", "x", "-1")),
            ],
            "INVALID_ARGUMENT": [asked([ROW], id='a"b'), messages()["ModelInferRequest"](model_name="delays")],
        }
        broken = asked([ROW])
        broken.inputs[0].contents.bytes_contents[0] = b"\xff"
        wrong["INVALID_ARGUMENT"].append(broken)
        fewer = asked([ROW])
        fewer.raw_input_contents.append(b"1")
        wrong["INVALID_ARGUMENT"].append(fewer)
        endless = asked([ROW | {"distance": float("inf")}])
        wrong["INVALID_ARGUMENT"].append(endless)
        many = asked([ROW])
        many.inputs[0].contents.bytes_contents.extend([b""] * 2_000)
        wrong["INVALID_ARGUMENT"].append(many)
        half = asked([ROW])
        half.inputs[1].datatype = "FP16"
        wrong["INVALID_ARGUMENT"].append(half)
        for code, requests in wrong.items():
            assert [code_of(channel, "ModelInfer", request, key) for request in requests] == [code] * len(requests)
        with pytest.raises(grpc.RpcError) as caught:
            call(channel, "ModelInfer", many, key)
        assert "at most 1,000 rows" in caught.value.details()  # said before they are read
        assert code_of(channel, "ModelMetadata", made["ModelMetadataRequest"](name="none"), key) == "NOT_FOUND"
        assert code_of(channel, "ModelMetadata", made["ModelMetadataRequest"](name="delays"), None) == "UNAUTHENTICATED"
        assert code_of(channel, "ModelInfer", many, "hr_x_y") == "UNAUTHENTICATED"  # said before any work
        assert call(channel, "ServerLive", made["ServerLiveRequest"](), None).live
        assert call(channel, "ServerReady", made["ServerReadyRequest"](), None).ready


def test_the_log_says_which_trace_a_call_was_a_part_of(running: Running) -> None:
    assert running.place.grpc is not None
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    with grpc.insecure_channel(f"127.0.0.1:{running.place.grpc[1]}") as channel:
        parent = f"00-{trace}-00f067aa0ba902b7-01"
        call(channel, "ModelInfer", asked([ROW], id="traced"), running.place.key, trace=parent)
    found = [
        record.trace
        for read in read_log(Path(running.place.settings().log))
        if isinstance(read, Predictions)
        for record in read.records
        if record.request_id == "traced"
    ]
    assert found == [trace]


def test_a_call_says_how_long_it_waits_and_one_too_many_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "INFERRING", 1)

    async def run() -> None:
        made = version(1)
        inside = Inside(tmp_path, deployment({"v1": made}), [made])
        loop, port = asyncio.get_running_loop(), free_ports(1)[0]
        spoken = server.GrpcServer(inside.desk, loop, address=("127.0.0.1", port), tls=None, most_bytes=1 << 20)
        held, take = list[Request](), inside.desk.take
        inside.desk.take = held.append  # type: ignore[assignment, method-assign]
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            first = asyncio.create_task(asyncio.to_thread(call, channel, "ModelInfer", asked([ROW]), TEXT))
            async with asyncio.timeout(30):
                while not held:
                    await asyncio.sleep(0.01)
            assert 0 < int(held[0].headers[b"x-timeout-ms"]) <= 30_000
            code = await asyncio.to_thread(code_of, channel, "ModelInfer", asked([ROW]), TEXT)
            assert code == "RESOURCE_EXHAUSTED"
            take(held[0])
            assert (await first).model_name == "delays"
        spoken.stop(0.0).wait()

    within(run())


def test_grpc_takes_the_same_clients_and_the_same_renewals(tmp_path: Path) -> None:
    authority, strange = Authority(), tmp_path / "strange"
    strange.mkdir()
    authority.write(tmp_path, "server")
    authority.write(tmp_path, "client")
    Authority().write(strange, "client")
    port = free_ports(1)[0]
    place = Place(tmp_path, tls=tls(tmp_path, clients=True), grpc=("127.0.0.1", port))
    place.deploy(place.version(1))
    running = Running(place)
    try:
        running.wait_for("grpc")
        trusted = (tmp_path / "authority.pem").read_bytes()

        def shows(folder: Path | None) -> grpc.Channel:
            own = () if folder is None else [(folder / f"client.{part}").read_bytes() for part in ("key", "pem")]
            return grpc.secure_channel(f"localhost:{port}", grpc.ssl_channel_credentials(trusted, *own))

        with shows(tmp_path) as channel:
            assert call(channel, "ModelInfer", asked([ROW]), place.key, wait_for_ready=True).model_name == "delays"
        for other in (None, strange):
            with shows(other) as channel:
                assert code_of(channel, "ModelInfer", asked([ROW]), place.key) == "UNAVAILABLE"
        renewed = authority.write(tmp_path, "server")
        context = client(tmp_path, shows="client")
        context.set_alpn_protocols(["h2"])
        with (
            socket.create_connection(("127.0.0.1", port), timeout=20) as plain,
            context.wrap_socket(plain, server_hostname="localhost") as secured,
        ):
            found = secured.getpeercert(binary_form=True)
        assert found is not None
        assert x509.load_der_x509_certificate(found).serial_number == renewed
    finally:
        running.end()


def test_grpc_is_under_the_same_certificate(tmp_path: Path) -> None:
    Authority().write(tmp_path, "server")
    port = free_ports(1)[0]
    place = Place(tmp_path, tls=tls(tmp_path), grpc=("127.0.0.1", port))
    place.deploy(place.version(1))
    running = Running(place)
    try:
        running.wait_for("grpc")
        trusted = grpc.ssl_channel_credentials((tmp_path / "authority.pem").read_bytes())
        with grpc.secure_channel(f"localhost:{port}", trusted) as channel:
            assert call(channel, "ModelInfer", asked([ROW]), place.key, wait_for_ready=True).model_name == "delays"
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            assert code_of(channel, "ModelInfer", asked([ROW]), place.key) == "UNAVAILABLE"
    finally:
        running.end()


@pytest.mark.parametrize(("limits", "stay"), [(Limits(read_s=0.3), 0), (Limits(read_s=600.0, connections=3), 2)])
def test_a_handshake_over_grpc_is_cut_in_time_and_counts_as_a_connection(
    tmp_path: Path, limits: Limits, stay: int
) -> None:
    Authority().write(tmp_path, "server")

    async def run() -> None:
        made = version(1)
        inside = Inside(tmp_path / "log", deployment({"v1": made}), [made], limits=limits)
        loop, port = asyncio.get_running_loop(), free_ports(1)[0]
        address = ("127.0.0.1", port)
        spoken = server.GrpcServer(inside.desk, loop, address=address, tls=tls(tmp_path), most_bytes=1 << 20)
        trusted = grpc.ssl_channel_credentials((tmp_path / "authority.pem").read_bytes())
        with grpc.secure_channel(f"localhost:{port}", trusted) as channel:
            live = asyncio.to_thread(call, channel, "ServerLive", messages()["ServerLiveRequest"](), TEXT)
            assert (await live).live
            slow = [await asyncio.to_thread(begun, address, 0) for _ in range(30)]
            assert all([await asyncio.to_thread(is_cut, each) for each in slow[stay:]])
            live = asyncio.to_thread(call, channel, "ServerLive", messages()["ServerLiveRequest"](), TEXT)
            assert (await live).live
        for each in slow:
            each.close()
        spoken.stop(0.0).wait()
        inside.log.close()

    within(run())


def test_a_certificate_is_given_to_grpc_once_and_once_more_when_it_is_renewed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority, given, make = Authority(), list[Any](), grpc.ssl_server_certificate_configuration
    authority.write(tmp_path, "server")

    def counted(pairs: Any, **more: Any) -> Any:
        given.append(pairs)
        return make(pairs, **more)

    monkeypatch.setattr(grpc, "ssl_server_certificate_configuration", counted)

    async def run() -> None:
        made = version(1)
        inside = Inside(tmp_path / "log", deployment({"v1": made}), [made])
        loop, port = asyncio.get_running_loop(), free_ports(1)[0]
        spoken = server.GrpcServer(
            inside.desk, loop, address=("127.0.0.1", port), tls=tls(tmp_path), most_bytes=1 << 20
        )
        trusted = (tmp_path / "authority.pem").read_bytes()

        def ask() -> bool:
            with grpc.secure_channel(f"localhost:{port}", grpc.ssl_channel_credentials(trusted)) as channel:
                live: bool = call(channel, "ServerLive", messages()["ServerLiveRequest"](), TEXT).live
            return live

        assert all([await asyncio.to_thread(ask) for _ in range(5)])
        assert len(given) == 1
        (tmp_path / "server.pem").write_bytes(b"half of it")
        assert all([await asyncio.to_thread(ask) for _ in range(5)])  # with what was loaded before
        assert len(given) == 1
        reading, failures = Path.read_bytes, [OSError(24, "Too many open files")]

        def read(path: Path) -> bytes:
            if failures and path.name == "server.pem":
                raise failures.pop()
            return reading(path)

        monkeypatch.setattr(Path, "read_bytes", read)
        authority.write(tmp_path, "server")
        assert all([await asyncio.to_thread(ask) for _ in range(5)])
        assert not failures
        assert len(given) == 2  # what could not be read once was owed
        spoken.stop(0.0).wait()
        inside.log.close()

    within(run())


def test_a_port_that_is_taken_is_told_and_http_goes_on(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        place = Place(tmp_path, grpc=("127.0.0.1", taken.getsockname()[1]))
        place.deploy(place.version(1))
        running = Running(place)
        try:
            assert running.wait_for("grpc_refused")["error"] == "port-taken"
            assert Client(running).predict(ROW)[0] == 200
        finally:
            running.end()
