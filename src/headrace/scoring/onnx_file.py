"""The pre-check of an ONNX file, before anything else reads it: what our exporters write, and nothing more.

ONNX carries no code, yet a few bytes of it can ask for 40 GB, loop for ever or name files outside. So the protobuf
is walked here by hand (the `onnx` package is no part of a scoring installation): every field that is not listed is
refused, whatever it would mean. The layout is that of onnx.proto3, https://github.com/onnx/onnx/blob/main/onnx/onnx.proto3.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from headrace.scoring.errors import GraphRefused

ALLOWED_OPS: Final = frozenset(
    {
        ("", "Add"),
        ("", "Clip"),
        ("", "Div"),
        ("", "Exp"),
        ("", "Flatten"),
        ("", "Gather"),
        ("", "IsNaN"),
        ("", "MatMul"),
        ("", "Mul"),
        ("", "Relu"),
        ("", "Sigmoid"),
        ("", "Softmax"),
        ("", "Sub"),
        ("", "Unsqueeze"),
        ("", "Where"),
        ("ai.onnx.ml", "TreeEnsembleRegressor"),
    }
)
"""(domain, operator): what the model families emit. None of them runs a subgraph, reads a file or sizes a tensor by a
value (Unsqueeze adds dimensions of 1, Gather takes as many as it has indices), and each gives a row the same bits alone
and in a batch (a ReduceSum over products, for one, does not) but for what goes along the rows themselves: Softmax and
Flatten are refused there; a Gather, which looks up constants along their first axis, is found out by asking it."""

ROWS: Final = frozenset({0, -2})
"""Axes that are the rows, of what has a row for each row."""

MAX_BYTES: Final = 256 * 1024 * 1024
MAX_NODES: Final = 4096
MAX_ELEMENTS: Final = 32 * 1024 * 1024

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


class _Field(NamedTuple):
    """What one field number of a message may be."""

    name: str
    wires: tuple[int, ...]
    message: str | None = None
    repeated: bool = False


def _one(name: str, wire: int, message: str | None = None) -> _Field:
    return _Field(name, (wire,), message)


def _many(name: str, *wires: int, message: str | None = None) -> _Field:
    return _Field(name, wires, message, repeated=True)


_MESSAGES: Final[dict[str, dict[int, _Field]]] = {
    "model": {
        1: _one("ir_version", _VARINT),
        2: _one("producer_name", _BYTES),
        3: _one("producer_version", _BYTES),
        4: _one("domain", _BYTES),
        5: _one("model_version", _VARINT),
        6: _one("doc_string", _BYTES),
        7: _one("graph", _BYTES, "graph"),
        8: _many("opset_import", _BYTES, message="opset"),
    },
    "opset": {1: _one("domain", _BYTES), 2: _one("version", _VARINT)},
    "graph": {
        1: _many("node", _BYTES, message="node"),
        2: _one("name", _BYTES),
        5: _many("initializer", _BYTES, message="tensor"),
        10: _one("doc_string", _BYTES),
        11: _many("input", _BYTES, message="value_info"),
        12: _many("output", _BYTES, message="value_info"),
        13: _many("value_info", _BYTES, message="value_info"),
    },
    "node": {
        1: _many("input", _BYTES),
        2: _many("output", _BYTES),
        3: _one("name", _BYTES),
        4: _one("op_type", _BYTES),
        5: _many("attribute", _BYTES, message="attribute"),
        6: _one("doc_string", _BYTES),
        7: _one("domain", _BYTES),
    },
    "attribute": {
        1: _one("name", _BYTES),
        2: _one("f", _FIXED32),
        3: _one("i", _VARINT),
        4: _one("s", _BYTES),
        5: _one("t", _BYTES, "tensor"),
        7: _many("floats", _FIXED32, _BYTES),
        8: _many("ints", _VARINT, _BYTES),
        9: _many("strings", _BYTES),
        13: _one("doc_string", _BYTES),
        20: _one("type", _VARINT),
    },
    "tensor": {
        1: _many("dims", _VARINT, _BYTES),
        2: _one("data_type", _VARINT),
        4: _many("float_data", _FIXED32, _BYTES),
        5: _many("int32_data", _VARINT, _BYTES),
        7: _many("int64_data", _VARINT, _BYTES),
        8: _one("name", _BYTES),
        9: _one("raw_data", _BYTES),
        10: _many("double_data", _FIXED64, _BYTES),
        12: _one("doc_string", _BYTES),
    },
    "value_info": {1: _one("name", _BYTES), 2: _one("type", _BYTES, "type"), 3: _one("doc_string", _BYTES)},
    "type": {1: _one("tensor_type", _BYTES, "tensor_type"), 6: _one("denotation", _BYTES)},
    "tensor_type": {1: _one("elem_type", _VARINT), 2: _one("shape", _BYTES, "shape")},
    "shape": {1: _many("dim", _BYTES, message="dim")},
    "dim": {1: _one("dim_value", _VARINT), 2: _one("dim_param", _BYTES), 3: _one("denotation", _BYTES)},
}

_REFUSED: Final[dict[tuple[str, int], str]] = {
    ("model", 20): "training information",
    ("model", 25): "a function",
    ("graph", 15): "a sparse tensor",
    ("attribute", 6): "a subgraph",
    ("attribute", 11): "subgraphs",
    ("attribute", 21): "a reference to a function's attribute",
    ("attribute", 22): "a sparse tensor",
    ("attribute", 23): "sparse tensors",
    ("tensor", 13): "data in another file",
    ("tensor", 14): "data in another file",
}

# Long runs of small values (the arrays of a forest) are passed over in C: 17 ms a million instead of half a second.
_RUNS: Final = {
    0x3D: re.compile(rb"(?:\x3d[\s\S]{4})++"),
    0x40: re.compile(rb"(?:\x40[\x80-\xff]{0,9}[\x00-\x7f])++"),
    0x4A: re.compile(rb"(?:\x4a(?:\x0aBRANCH_LEQ|\x04LEAF))++"),
}

_DATA_FIELDS: Final = frozenset({"float_data", "int32_data", "int64_data", "raw_data", "double_data"})


class GraphFacts(NamedTuple):
    """What the walk counted."""

    nodes: int
    elements: int
    operators: frozenset[tuple[str, str]]


def check_onnx(data: bytes) -> GraphFacts:
    """Refuse the file unless it is a plain graph of the operators in `ALLOWED_OPS` within the caps.

    Raises
    ------
    GraphRefused : the first thing that is not allowed.
    """
    if len(data) > MAX_BYTES:
        raise GraphRefused(f"it has {len(data):,} bytes, at most {MAX_BYTES:,} are read")
    walk = _Walk(data)
    walk.message("model", 0, len(data))
    if not walk.operators:
        raise GraphRefused("it holds no graph")
    return GraphFacts(walk.nodes, walk.elements, frozenset(walk.operators))


class _Walk:
    """One pass over one file. Without subgraphs no message holds its own kind, so the depth is bounded."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.nodes = 0
        self.elements = 0
        self.operators: set[tuple[str, str]] = set()
        self._axis: int | None = None
        """What the node that is walked says of its axis."""

    def message(self, form: str, start: int, end: int) -> None:
        """Walk one message; `form` is a key of `_MESSAGES`."""
        allowed = _MESSAGES[form]
        texts: dict[str, bytes] = {}
        integer = 0
        seen: set[int] = set()
        if form == "node":
            self._axis = None
        tensor = _Tensor()
        for number, wire, value, stop in self._fields(form, start, end):
            field = allowed.get(number)
            if field is None:
                raise GraphRefused(f"it holds {_REFUSED.get((form, number), f'field {number} of a {form}')}")
            if wire not in field.wires:
                raise GraphRefused(f"{field.name} of a {form} is not of its type")
            if number in seen and not field.repeated:
                raise GraphRefused(f"{field.name} of a {form} stands twice")
            seen.add(number)
            if field.message is not None:
                self.message(field.message, value, stop)
            elif form == "tensor":
                self._tensor_field(tensor, field.name, wire, value, stop)
            elif field.name in ("op_type", "domain", "name"):
                texts[field.name] = self.data[value:stop]
            elif field.name == "i":
                integer = value
        if form == "node":
            self._count_node(texts)
        elif form == "attribute" and texts.get("name") == b"axis":
            self._axis = integer - (1 << 64) if integer >> 63 else integer
        elif form == "opset":
            _check_domain(texts.get("domain", b""))
        elif form == "tensor":
            self._count_tensor(tensor)

    def _fields(self, form: str, position: int, end: int) -> Iterator[tuple[int, int, int, int]]:
        """(number, wire type, value or start, end of value) of each field; runs of an attribute's values once."""
        while position < end:
            if form == "attribute" and (run := _RUNS.get(self.data[position])):
                found = run.match(self.data, position, end)
                if found:
                    tag = self.data[position]
                    yield tag >> 3, tag & 7, position, found.end()
                    position = found.end()
                    continue
            tag, position = self._varint(position, end)
            number, wire = tag >> 3, tag & 7
            if tag >= 1 << 32 or number == 0:
                raise GraphRefused("it is not well-formed protobuf")
            if wire == _VARINT:
                value, position = self._varint(position, end)
                yield number, wire, value, position
                continue
            start, position = self._skip(wire, position, end)
            yield number, wire, start, position

    def _skip(self, wire: int, position: int, end: int) -> tuple[int, int]:
        """Start and end of a value that is not a varint."""
        if wire == _BYTES:
            length, position = self._varint(position, end)
        elif wire in (_FIXED32, _FIXED64):
            length = 4 if wire == _FIXED32 else 8
        else:
            raise GraphRefused("it is not well-formed protobuf")
        if length > end - position:
            raise GraphRefused("it ends in the middle of a value")
        return position, position + length

    def _varint(self, position: int, end: int) -> tuple[int, int]:
        value = 0
        for shift in range(0, 70, 7):
            if position >= end:
                raise GraphRefused("it ends in the middle of a number")
            byte = self.data[position]
            position += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value & 0xFFFF_FFFF_FFFF_FFFF, position
        raise GraphRefused("it is not well-formed protobuf")

    def _tensor_field(self, tensor: _Tensor, name: str, wire: int, value: int, stop: int) -> None:
        if name == "dims":
            if wire == _VARINT:
                tensor.multiply(value)
                return
            while value < stop:
                size, value = self._varint(value, stop)
                tensor.multiply(size)
        elif name in _DATA_FIELDS:
            tensor.payload += 1 if wire == _VARINT else stop - value

    def _count_tensor(self, tensor: _Tensor) -> None:
        if tensor.elements > tensor.payload:
            raise GraphRefused(f"a tensor claims {tensor.elements:,} elements and holds {tensor.payload:,} bytes")
        self.elements += tensor.elements
        if self.elements > MAX_ELEMENTS:
            raise GraphRefused(f"its tensors have more than {MAX_ELEMENTS:,} elements")

    def _count_node(self, texts: dict[str, bytes]) -> None:
        self.nodes += 1
        if self.nodes > MAX_NODES:
            raise GraphRefused(f"it has more than {MAX_NODES} nodes")
        domain, name = (texts.get(key, b"").decode("utf-8", "replace") for key in ("domain", "op_type"))
        if (domain, name) not in ALLOWED_OPS:
            raise GraphRefused(
                f"the operator {name!r} of domain {domain!r} is not among those that our exporters write"
            )
        if name in ("Softmax", "Flatten") and self._axis in ROWS:
            raise GraphRefused(f"its {name} goes along the rows: what it says of one would depend on the others")
        self.operators.add((domain, name))


class _Tensor:
    """Elements that a tensor claims, and the bytes that it holds; an element takes one byte at least."""

    __slots__ = ("elements", "payload")

    def __init__(self) -> None:
        self.elements = 1
        self.payload = 0

    def multiply(self, size: int) -> None:
        self.elements *= size
        if self.elements > MAX_ELEMENTS:  # a negative size is read as a huge one, and refused here too
            raise GraphRefused(f"a tensor claims more than {MAX_ELEMENTS:,} elements")


def _check_domain(domain: bytes) -> None:
    if domain not in (b"", b"ai.onnx.ml"):
        raise GraphRefused(f"it imports operators of domain {domain.decode('utf-8', 'replace')!r}")
