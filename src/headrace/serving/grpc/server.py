"""A worker's gRPC server: every call is asked of the worker's desk as a request over REST would be.

So keys, limits, shares of versions, the log and errors are the same, whatever was spoken. grpcio's own threads wait;
the loop of the worker answers.
"""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as OutOfTime
from pathlib import Path
from typing import Any, Final

import msgspec

from headrace.serving.errors import PortTaken, TlsUnusable
from headrace.serving.grpc.messages import METHODS, SERVICE, messages
from headrace.serving.http.connection import Request
from headrace.serving.http.desk import Desk
from headrace.serving.http.responses import Problem
from headrace.serving.tls import Certificate, Tls

THREADS: Final = 64
INFERRING: Final = 48
"""Calls for predictions under way at a time: further ones are refused, so that questions of health find a thread."""
CALLS: Final = 256
"""Of any kind, under way or waiting for a thread; more are refused."""
IDLE_MS: Final = 75_000
LONGEST_S: Final = 60.0
_HOST: Final = b"localhost"
_CONTENTS: Final = {
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}
_encode: Final = msgspec.json.Encoder().encode


class Call:
    """Stands where a connection does: takes the one answer."""

    def __init__(self) -> None:
        self.answer: Future[tuple[int, dict[bytes, bytes], bytes]] = Future()

    def write(self, data: bytes, keep: bool) -> None:
        """The answer, as a connection would send it."""
        del keep  # there is nothing to close
        head, _, body = data.partition(b"\r\n\r\n")
        status, *lines = head.split(b"\r\n")
        headers = dict(line.split(b": ", 1) for line in lines)
        if not self.answer.done():
            self.answer.set_result((int(status.split()[1]), headers, body))

    def abort(self) -> None:
        """There is no answer."""
        if not self.answer.done():
            self.answer.set_exception(ConnectionAbortedError("the request has no answer"))


class GrpcServer:
    """Of one worker; workers share the port.

    Raises
    ------
    PortTaken : the address cannot be listened on.
    """

    def __init__(
        self, desk: Desk, loop: asyncio.AbstractEventLoop, *, address: tuple[str, int], tls: Tls | None, most_bytes: int
    ) -> None:
        import grpc

        self._desk, self._loop, self._grpc = desk, loop, grpc
        self._codes = {
            400: grpc.StatusCode.INVALID_ARGUMENT,
            401: grpc.StatusCode.UNAUTHENTICATED,
            403: grpc.StatusCode.PERMISSION_DENIED,
            404: grpc.StatusCode.NOT_FOUND,
            429: grpc.StatusCode.RESOURCE_EXHAUSTED,
            503: grpc.StatusCode.UNAVAILABLE,
            504: grpc.StatusCode.DEADLINE_EXCEEDED,
            507: grpc.StatusCode.UNAVAILABLE,
        }
        self._inferring = threading.BoundedSemaphore(INFERRING)
        self._most_rows = desk.limits.rows
        self._server = grpc.server(
            ThreadPoolExecutor(THREADS, thread_name_prefix="headrace-grpc"),
            options=[
                ("grpc.so_reuseport", 1),
                ("grpc.max_receive_message_length", most_bytes),
                ("grpc.max_metadata_size", 32 * 1024),
                ("grpc.max_connection_idle_ms", IDLE_MS),
                ("grpc.server_handshake_timeout_ms", math.ceil(desk.limits.read_s * 1000)),
                ("grpc.max_allowed_incoming_connections", desk.limits.connections),  # those in a handshake included
            ],
            maximum_concurrent_rpcs=CALLS,
        )
        made = messages()
        handlers = {
            name: grpc.unary_unary_rpc_method_handler(
                getattr(self, _snake(name)),
                request_deserializer=made[f"{name}Request"].FromString,
                response_serializer=made[f"{name}Response"].SerializeToString,
            )
            for name in METHODS
        }
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
        host, port = address
        where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        try:
            if tls is None:
                self._server.add_insecure_port(where)
            else:
                self._server.add_secure_port(where, self._credentials(tls))
        except RuntimeError as error:
            raise PortTaken(host, port, "gRPC cannot have it") from error
        self._server.start()

    def stop(self, within_s: float) -> threading.Event:
        """Take no more calls, and let those that are under way end; what is set once they have."""
        stopped: threading.Event = self._server.stop(within_s)
        return stopped

    def _credentials(self, tls: Tls) -> Any:
        """Taken up anew when the files change, and only then.

        grpcio asks at every connection. An answer with a certificate, even the same, has it put another maker of
        handshakes in the place of the last, which is not safe beside handshakes that end (grpcio 1.85.3: of processes
        that were told so each time, 10 of 10 crashed within 6,000 handshakes that were cut; of those told when the
        files changed, none of 15).
        """
        grpc, certificate, is_owed = self._grpc, Certificate(tls), False
        clients = None if tls.clients is None else Path(tls.clients).read_bytes()

        def read() -> Any:
            pair = (Path(tls.key).read_bytes(), Path(tls.certificate).read_bytes())
            return grpc.ssl_server_certificate_configuration([pair], root_certificates=clients)

        def fetch() -> Any:
            nonlocal is_owed
            try:
                is_owed = certificate.renew() or is_owed
                if not is_owed:
                    return None
                Certificate(tls)  # what could not be taken up once may be whole by now, without a change of these files
                made = read()
            except (OSError, TlsUnusable):
                is_owed = True
                return None  # as before
            is_owed = False
            return made

        return grpc.dynamic_ssl_server_credentials(read(), fetch, require_client_authentication=tls.clients is not None)

    # the protocol's methods

    def server_live(self, _: Any, context: Any) -> Any:
        """Whether the process lives."""
        self._ask(context, b"GET", b"/v2/health/live")
        return messages()["ServerLiveResponse"](live=True)

    def server_ready(self, _: Any, context: Any) -> Any:
        """Whether it answers predictions."""
        status, _, _ = self._asked(context, b"GET", b"/v2/health/ready", {}, b"")
        return messages()["ServerReadyResponse"](ready=status == 200)

    def model_ready(self, request: Any, context: Any) -> Any:
        """Whether a deployment answers."""
        self._ask(context, b"GET", _path(request.name, request.version) + b"/ready")
        return messages()["ModelReadyResponse"](ready=True)

    def server_metadata(self, _: Any, context: Any) -> Any:
        """What the server is."""
        told = msgspec.json.decode(self._ask(context, b"GET", b"/v2")[1])
        return messages()["ServerMetadataResponse"](**told)

    def model_metadata(self, request: Any, context: Any) -> Any:
        """What a deployment takes and gives."""
        told = msgspec.json.decode(self._ask(context, b"GET", _path(request.name, request.version))[1])
        return messages()["ModelMetadataResponse"](**told)

    def model_infer(self, request: Any, context: Any) -> Any:
        """Predictions."""
        self._check_key(context)  # before any work
        if not self._inferring.acquire(blocking=False):
            context.abort(self._codes[429], "too-busy: more is asked than can be answered")
        try:
            return self._infer(request, context)
        finally:
            self._inferring.release()

    def _infer(self, request: Any, context: Any) -> Any:
        try:
            told, tail = _as_rest(request, self._most_rows)
        except (UnicodeDecodeError, ValueError) as error:
            context.abort(self._codes[400], str(error) if not isinstance(error, UnicodeDecodeError) else "not UTF-8")
            raise
        headers = {b"inference-header-content-length": b"%d" % len(told)}
        path = _path(request.model_name, request.model_version) + b"/infer"
        answered, body = self._ask(context, b"POST", path, headers, told + tail)
        return _as_grpc(answered, body)

    def _check_key(self, context: Any) -> None:
        authorization = dict(context.invocation_metadata()).get("authorization")
        try:
            self._desk.gate.known_key({} if authorization is None else {b"authorization": authorization.encode()})
        except Problem as problem:
            context.abort(self._codes[401], f"{problem.code}: {problem.detail}")

    def _ask(
        self, context: Any, method: bytes, path: bytes, headers: dict[bytes, bytes] | None = None, body: bytes = b""
    ) -> tuple[dict[bytes, bytes], bytes]:
        status, answered, told = self._asked(context, method, path, headers or {}, body)
        if status >= 400:
            problem = msgspec.json.decode(told)
            known = self._grpc.StatusCode
            code = self._codes.get(status, known.INVALID_ARGUMENT if status < 500 else known.INTERNAL)
            context.abort(code, f"{problem.get('code', 'error')}: {problem.get('detail', '')}")
        return answered, told

    def _asked(
        self, context: Any, method: bytes, path: bytes, headers: dict[bytes, bytes], body: bytes
    ) -> tuple[int, dict[bytes, bytes], bytes]:
        known: Callable[[str], str | None] = dict(context.invocation_metadata()).get
        sent = {b"host": _HOST, **headers}
        for name in ("authorization", "traceparent", "x-request-id"):
            value = known(name)
            if value is not None:
                sent[name.encode()] = value.encode()
        left_s = context.time_remaining()
        if left_s is not None and left_s < LONGEST_S and method == b"POST":
            sent[b"x-timeout-ms"] = b"%d" % max(1, math.floor(left_s * 1000))
        call = Call()
        request = Request(call, method, path, sent, body, True, 0.0)  # type: ignore[arg-type]
        self._loop.call_soon_threadsafe(self._desk.take, request)
        try:
            return call.answer.result(LONGEST_S if left_s is None else min(left_s, LONGEST_S))
        except (OutOfTime, ConnectionAbortedError):
            context.abort(self._codes[504], "deadline-passed: there was no answer in time")
            raise


def _snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name).removeprefix("_")


def _path(name: str, version: str) -> bytes:
    """A deployment's address; its name is what it is matched by, and never a path of anything else."""
    plain = "".join(letter for letter in name if letter.isalnum() or letter in "-_")
    path = f"/v2/models/{plain if plain == name and name.isascii() else '-'}"
    return f"{path}/versions/{version if version.isdigit() else '-'}".encode() if version else path.encode()


def _as_rest(request: Any, most: int) -> tuple[bytes, bytes]:
    """The JSON of a request of at most so many rows, and the binary data behind it."""
    raw = list(request.raw_input_contents)
    if raw and len(raw) != len(request.inputs):
        raise ValueError("raw_input_contents has as many entries as there are inputs, or none")
    inputs = []
    for place, tensor in enumerate(request.inputs):
        told: dict[str, Any] = {"name": tensor.name, "datatype": tensor.datatype, "shape": list(tensor.shape)}
        if raw:
            told["parameters"] = {"binary_data_size": len(raw[place])}
        else:
            field = _CONTENTS.get(tensor.datatype)
            if field is None:
                raise ValueError("a tensor has a datatype of the protocol; FP16 comes in raw_input_contents")
            values = getattr(tensor.contents, field)
            if len(values) > most:
                raise ValueError(f"an inference request has at most {most:,} rows")
            data = list(values)
            if tensor.datatype.startswith("FP") and any(math.isinf(value) for value in data):
                raise ValueError("a tensor holds an infinity")
            told["data"] = [value.decode() for value in data] if tensor.datatype == "BYTES" else data
        inputs.append(told)
    body: dict[str, Any] = {"inputs": inputs, "parameters": {"binary_data_output": True}}
    if request.id:
        body["id"] = request.id
    if request.outputs:
        body["outputs"] = [{"name": each.name} for each in request.outputs]
    return _encode(body), b"".join(raw)


def _as_grpc(headers: dict[bytes, bytes], body: bytes) -> Any:
    """The answer of REST, its outputs in bytes, as a message."""
    size = int(headers.get(b"inference-header-content-length", b"%d" % len(body)))
    told = msgspec.json.decode(body[:size])
    answer = messages()["ModelInferResponse"](model_name=told["model_name"], id=told["id"])
    place = size
    for each in told["outputs"]:
        answer.outputs.add(name=each["name"], datatype=each["datatype"], shape=each["shape"])
        length = each["parameters"]["binary_data_size"]
        answer.raw_output_contents.append(body[place : place + length])
        place += length
    return answer
