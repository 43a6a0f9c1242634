"""The Open Inference Protocol, version 2, over REST: tensors by column in, tensors out, in JSON or behind it in binary.

A deployment is a model of the protocol; its request columns are the inputs, each of shape (n,) or (n, 1). Which version
answers is the route's to say, never the client's. Specification: https://github.com/kserve/open-inference-protocol, and
Triton's extension of binary tensor data.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np

from headrace.language.types import Type
from headrace.scoring.decision import Decider
from headrace.scoring.errors import BodyNotJson
from headrace.scoring.model import Prediction
from headrace.serving.http.asked import Asked, Row
from headrace.serving.http.endpoint import Endpoint, Teller
from headrace.serving.http.responses import JSON, Problem, encode

BINARY: Final = b"application/octet-stream"
NUMBERS: Final[Mapping[str, str]] = {
    "BOOL": "?",
    "UINT8": "u1",
    "UINT16": "<u2",
    "UINT32": "<u4",
    "UINT64": "<u8",
    "INT8": "i1",
    "INT16": "<i2",
    "INT32": "<i4",
    "INT64": "<i8",
    "FP16": "<f2",
    "FP32": "<f4",
    "FP64": "<f8",
}
DATATYPES: Final[Mapping[Type, str]] = {
    Type.FLOAT: "FP64",
    Type.DURATION: "FP64",
    Type.INTEGER: "INT64",
    Type.BOOLEAN: "BOOL",
    Type.DECIMAL: "BYTES",
}
"""What a column is said to take; text for all others. Any number type is read for a number."""
_LENGTH: Final = struct.Struct("<I")
LEFT: Final = -1
"""Stands for a decision that is left to people, where the answers decide by costs and may leave one."""


class _Parameters(msgspec.Struct, frozen=True):
    binary_data_size: int | None = None
    binary_data: bool | None = None
    binary_data_output: bool | None = None


class _Input(msgspec.Struct, frozen=True):
    name: str
    shape: list[int]
    datatype: str
    data: list[Any] | None = None
    parameters: _Parameters = _Parameters()


class _Output(msgspec.Struct, frozen=True):
    name: str
    parameters: _Parameters = _Parameters()


class _Infer(msgspec.Struct, frozen=True):
    inputs: list[_Input]
    id: str | None = None
    parameters: _Parameters = _Parameters()
    outputs: list[_Output] | None = None


_decode: Final = msgspec.json.Decoder(_Infer).decode


class Inference(NamedTuple):
    """A request as it was read."""

    body: bytes
    """The same rows in our own JSON: an array of objects."""
    id: bytes | None
    tell: Teller


class _Tensor(NamedTuple):
    """One output of all rows."""

    name: str
    datatype: str
    width: int
    """Numbers of a row; 0: the tensor has one dimension."""
    of: Callable[[Prediction], Any]
    """From an answer to its value, or its values."""


def read_infer(endpoint: Endpoint, body: bytes, json_length: bytes | None, most: int) -> Inference:
    """The rows that an inference request asks for, and how they are to be told.

    Parameters
    ----------
    json_length : the header `Inference-Header-Content-Length`, where binary data follow the JSON
    most : rows of one request

    Raises
    ------
    Problem, BodyNotJson
    """
    size = len(body)
    if json_length is not None:
        if not json_length.isdigit() or len(json_length) > 9 or int(json_length) > size:
            raise _wrong("inference-header-content-length says more than was sent")
        size = int(json_length)
    try:
        asked = _decode(body[:size])
    except RecursionError:
        raise BodyNotJson("it is nested too deeply") from None
    except msgspec.ValidationError as error:
        place = str(error).rpartition(" - at ")[2]
        raise _wrong(f"an inference request has inputs with name, shape, datatype and data; wrong at {place}") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BodyNotJson(str(error)) from None
    if len(asked.inputs) > len(endpoint.known):
        raise _wrong(f"there are at most {len(endpoint.known)} inputs")
    columns = _columns(asked.inputs, body, size, most)
    names = list(columns)
    rows = [dict(zip(names, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    name = None if asked.id is None else asked.id.encode()
    return Inference(encode(rows), name, _teller(endpoint, asked))


def metadata(endpoint: Endpoint) -> dict[str, Any]:
    """What the protocol says of a model."""
    version = endpoint.version_of(endpoint.slots[0])
    return {
        "name": endpoint.name,
        "versions": versions(endpoint),
        "platform": "headrace",
        "inputs": [
            {"name": field.name, "datatype": DATATYPES.get(field.type, "BYTES"), "shape": [-1]}
            for field in version.scorer.program.request
        ],
        "outputs": [
            {"name": each.name, "datatype": each.datatype, "shape": [-1, each.width] if each.width else [-1]}
            for each in _tensors(endpoint)
        ],
    }


def versions(endpoint: Endpoint) -> list[str]:
    """Numbers of the versions that answer."""
    return sorted({str(endpoint.version_of(slot).served.version) for slot in endpoint.slots}, key=int)


def _columns(inputs: Sequence[_Input], body: bytes, place: int, most: int) -> dict[str, list[Any]]:
    columns: dict[str, list[Any]] = {}
    n = None
    for each in inputs:
        rows = _rows_of(each, most)
        if n is None:
            n = rows
        elif rows != n:
            raise _wrong(f"every input has as many rows: {each.name[:80]!r} has another number than the first")
        if each.name in columns:
            raise _wrong(f"the input {each.name[:80]!r} comes twice")
        size = each.parameters.binary_data_size
        if size is None:
            columns[each.name] = _listed(each, rows)
        else:
            if each.data is not None or not 0 <= size <= len(body) - place:
                raise _wrong(f"the binary data of the input {each.name[:80]!r} are not there")
            columns[each.name] = _binary(each, memoryview(body)[place : place + size], rows)
            place += size
    if n is None:
        raise _wrong("an inference request has inputs")
    if place < len(body):
        raise _wrong("more binary data came than the inputs name")
    return columns


def _rows_of(each: _Input, most: int) -> int:
    shape = each.shape
    if len(shape) not in (1, 2) or shape[0] < 0 or (len(shape) == 2 and shape[1] != 1):
        raise _wrong(f"an input has the shape (n,) or (n, 1); {each.name[:80]!r} has another")
    if shape[0] > most:
        raise _wrong(f"an inference request has at most {most:,} rows")
    return shape[0]


def _listed(each: _Input, rows: int) -> list[Any]:
    """Values of a tensor in JSON, flat or as nested as its shape."""
    data = each.data
    if data is not None and len(each.shape) == 2 and all(isinstance(one, list) for one in data):
        data = [value for one in data for value in one]
    if data is None or len(data) != rows or any(isinstance(value, list | dict) for value in data):
        raise _wrong(f"the input {each.name[:80]!r} has not as many data as its shape says")
    return data


def _binary(each: _Input, data: memoryview, rows: int) -> list[Any]:
    """Values of a tensor in bytes; a NaN is a value that is not known."""
    if each.datatype == "BYTES":
        return _texts(each.name, data, rows)
    kind = NUMBERS.get(each.datatype)
    if kind is None:
        raise _wrong(f"the input {each.name[:80]!r} has no datatype of the protocol that this server reads")
    if len(data) != rows * np.dtype(kind).itemsize:
        raise _wrong(f"the binary data of the input {each.name[:80]!r} are not as many as its shape says")
    values: list[Any] = np.frombuffer(data, kind).tolist()
    if kind.startswith("<f"):
        if any(value - value != 0.0 and value == value for value in values):
            raise _wrong(f"the input {each.name[:80]!r} holds an infinity")
        return [None if value != value else value for value in values]
    return values


def _texts(name: str, data: memoryview, rows: int) -> list[Any]:
    values, place = [], 0
    try:
        for _ in range(rows):
            (size,) = _LENGTH.unpack_from(data, place)
            place += _LENGTH.size + size
            if place > len(data):
                raise _wrong(f"the binary data of the input {name[:80]!r} end too early")
            values.append(str(data[place - size : place], "utf-8"))
    except (struct.error, UnicodeDecodeError):
        raise _wrong(f"the binary data of the input {name[:80]!r} are no texts of UTF-8") from None
    if place != len(data):
        raise _wrong(f"the binary data of the input {name[:80]!r} are more than its shape says")
    return values


def _teller(endpoint: Endpoint, asked: _Infer) -> Teller:
    known = {each.name: each for each in _tensors(endpoint)}
    always = asked.parameters.binary_data_output is True
    if asked.outputs is None:
        wanted = [(each, always) for each in known.values()]
    else:
        if len({each.name for each in asked.outputs}) < len(asked.outputs):
            raise _wrong("an output was asked for twice")  # a short request must not ask for an answer without end
        for each in asked.outputs:
            if each.name not in known:
                raise _wrong(f"the outputs are {', '.join(known)}; another was asked for")
        wanted = [
            (known[each.name], always if each.parameters.binary_data is None else each.parameters.binary_data)
            for each in asked.outputs
        ]

    def tell(answered: Asked) -> tuple[bytes, bytes, bytes]:
        outputs, tails = [], []
        for tensor, binary in wanted:
            values = [tensor.of(_said(row)) for row in answered.rows]
            shape = [len(values), tensor.width] if tensor.width else [len(values)]
            told: dict[str, Any] = {"name": tensor.name, "datatype": tensor.datatype, "shape": shape}
            if tensor.width:
                values = [one for value in values for one in value]
            if binary:
                tails.append(_bytes(tensor.datatype, values))
                told["parameters"] = {"binary_data_size": len(tails[-1])}
            else:
                told["data"] = values
            outputs.append(told)
        body = encode({"model_name": endpoint.name, "id": answered.id.decode(), "outputs": outputs})
        if not tails:
            return JSON, b"", body
        return BINARY, b"inference-header-content-length: %d\r\n" % len(body), b"".join([body, *tails])

    return tell


def _said(row: Row) -> Prediction:
    assert row.prediction is not None, "it is answered"
    return row.prediction


def _tensors(endpoint: Endpoint) -> list[_Tensor]:
    """What the arms of a deployment answer."""
    deciders = [endpoint.version_of(slot).scorer.decider for slot in endpoint.slots]
    found = _TENSORS[endpoint.version_of(endpoint.slots[0]).task](deciders)
    return [*found, _Tensor("version", "INT64", 0, lambda said: said.version or 0)]


def _of_values(deciders: Sequence[Decider]) -> list[_Tensor]:
    found = [_Tensor("value", "FP64", 0, lambda said: said.value)]
    if any(each.uncertainty.intervals_known for each in deciders):
        found.append(_Tensor("low", "FP64", 0, lambda said: said.low))
        found.append(_Tensor("high", "FP64", 0, lambda said: said.high))
    return found


def _of_two(deciders: Sequence[Decider]) -> list[_Tensor]:
    found = [_Tensor("probability", "FP64", 0, lambda said: said.probability)]
    decides = [bool(each.decision.cost_matrix) or each.decision.threshold is not None for each in deciders]
    if all(decides) and all(each.decision.reject is None for each in deciders):
        found.append(_Tensor("decision", "BOOL", 0, lambda said: bool(said.decision)))
    elif any(decides):
        found.append(_Tensor("decision", "INT8", 0, _decided))
    return found


def _decided(said: Prediction) -> int:
    """0, 1, or `LEFT`."""
    return LEFT if said.decision is None else int(said.decision is True)


def _of_several(deciders: Sequence[Decider]) -> list[_Tensor]:
    classes = deciders[0].decision.classes

    def shares(said: Prediction) -> list[float]:
        told = said.probabilities or {}
        return [told.get(each, 0.0) for each in classes]

    return [
        _Tensor("probabilities", "FP64", len(classes), shares),
        _Tensor("decision", "BYTES", 0, lambda said: "" if said.decision is None else str(said.decision)),
    ]


_TENSORS: Final[Mapping[str, Callable[[Sequence[Decider]], list[_Tensor]]]] = {
    "regression": _of_values,
    "binary": _of_two,
    "multiclass": _of_several,
}


def _bytes(datatype: str, values: Sequence[Any]) -> bytes:
    if datatype == "BYTES":
        texts = [value.encode() for value in values]
        return b"".join(_LENGTH.pack(len(text)) + text for text in texts)
    return np.array([math.nan if value is None else value for value in values], NUMBERS[datatype]).tobytes()


def _wrong(what: str) -> Problem:
    return Problem(422, "inference-refused", what, fix="GET /v2/models/NAME says which inputs and outputs there are")
