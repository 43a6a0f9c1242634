"""The ONNX that we emit: its operators, its versions, and the one way to turn nodes into bytes.

The operators are few on purpose: a loader accepts a list and no others, so a graph can neither loop nor read files.
Each gives a row the same bits alone and in a batch when the session has one thread.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

if TYPE_CHECKING:
    from onnx import NodeProto

ML = "ai.onnx.ml"

EMITTED_OPS: frozenset[tuple[str, str]] = frozenset(
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
        (ML, "TreeEnsembleRegressor"),
    }
)
"""(domain, operator) of every node that a family may emit; "" is ONNX's own domain."""

OPSET = 17
ML_OPSET = 3
IR_VERSION = 8
"""Pinned: old enough for any runtime of the last years, and equal bytes whatever version of onnx is installed."""


def model_bytes(
    nodes: Sequence[NodeProto], constants: Sequence[tuple[str, NDArray[Any]]], *, width: int, outputs: int
) -> bytes:
    """One graph from `x` (n, width) float32 to `y` (n, outputs) float32.

    The bytes depend on nothing but the arguments: no time, no version, no doc string.
    """
    from onnx import TensorProto, helper, numpy_helper

    unlisted = sorted({(node.domain, node.op_type) for node in nodes} - EMITTED_OPS)
    if unlisted:
        raise ValueError(f"operators outside EMITTED_OPS: {unlisted}")
    graph = helper.make_graph(
        [],
        "model",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", width])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", outputs])],
        [numpy_helper.from_array(value, name) for name, value in constants],
    )
    model = helper.make_model(
        graph,
        producer_name="headrace",
        ir_version=IR_VERSION,
        opset_imports=[helper.make_opsetid("", OPSET), helper.make_opsetid(ML, ML_OPSET)],
    )
    model.graph.node.extend(nodes)  # copied once: they are most of the bytes
    data: bytes = model.SerializeToString(deterministic=True)
    return data
