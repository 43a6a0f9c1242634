"""Packages made by hand: small programs, random forests as ONNX, and everything else that a package holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import Any

import msgspec
import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from onnx import NodeProto, TensorProto, helper, numpy_helper

from headrace.data.model import Field
from headrace.definition.model import Task
from headrace.features.model import CategoryLevels, EncodedColumn, Encoder, ExpressionStep, Numeric, Program
from headrace.governance.signing import SigningKey
from headrace.language.parse import parse
from headrace.language.types import Type
from headrace.scoring.decision import Decider
from headrace.scoring.golden import golden_rows
from headrace.scoring.model import Decision, Lineage
from headrace.scoring.package import MANIFEST, SIGNATURE, build_manifest, content_id, sign_manifest

ML = "ai.onnx.ml"
KEY = SigningKey(Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
OTHER_KEY = SigningKey(Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33))))

COLUMNS = {
    "carrier": Type.CATEGORY,
    "distance": Type.FLOAT,
    "seats": Type.INTEGER,
    "vip": Type.BOOLEAN,
    "due": Type.TIMESTAMP,
}
RAW = {"hour_at": Type.TIMESTAMP, "minute_of": Type.INTEGER}
STEPS = {
    "log_mile": "ln(distance + 1)",
    "late": "hour(due) >= 22",
    "route": "carrier || '-' || 'X'",
    "per_seat": "distance / seats",
}
OUTPUTS = ("carrier", "distance", "seats", "vip", "log_mile", "late", "route", "per_seat")
LEVELS = {"carrier": ("AA", "UA", "DL"), "route": ("AA-X", "UA-X")}
TYPICAL = {"carrier": 0.0, "distance": 800.0, "seats": 150.0, "log_mile": 6.68, "per_seat": 5.0}
ROW: dict[str, Any] = {
    "carrier": "UA",
    "distance": 1400.5,
    "seats": 120,
    "vip": True,
    "due": "2013-01-01T23:15:00Z",
}


def program() -> Program:
    """Five request columns, one of them derivable, and four expressions."""
    types: dict[str, Type] = {**COLUMNS, **RAW}
    derive = parse("hour_at + minutes(minute_of)", types)
    steps = []
    for name, text in STEPS.items():
        node = parse(text, types)
        types[name] = node.type
        steps.append(ExpressionStep(name=name, type=node.type, node=node))
    return Program(
        model="delays",
        source="flights",
        time="due",
        key=("carrier", "flight"),
        request=tuple(Field(name=name, type=type_) for name, type_ in COLUMNS.items()),
        derive=(ExpressionStep(name="due", type=Type.TIMESTAMP, node=derive),),
        raw=tuple(Field(name=name, type=type_) for name, type_ in RAW.items()),
        steps=tuple(steps),
        outputs=tuple(Field(name=name, type=types[name]) for name in OUTPUTS),
    )


def encoder() -> Encoder:
    return Encoder(
        columns=tuple(
            EncodedColumn(
                name=field.name,
                type=field.type,
                encoding=CategoryLevels(levels=LEVELS[field.name]) if field.name in LEVELS else Numeric(),
                typical=TYPICAL.get(field.name, 0.0),
            )
            for field in program().outputs
        )
    )


def decision(task: Task = "binary") -> Decision:
    if task == "binary":
        knots = ((0.05, 0.0), (0.3, 0.2), (0.7, 0.75), (0.95, 1.0))
        return Decision(task="binary", classes=("false", "true"), knots=knots, threshold=0.0625)
    if task == "multiclass":
        costs = ((0.0, 1.0, 5.0), (2.0, 0.0, 1.0), (9.0, 4.0, 0.0))
        return Decision(task="multiclass", classes=("early", "on time", "late"), cost_matrix=costs)
    return Decision(task="regression")


def onnx_bytes(
    nodes: Sequence[NodeProto], constants: Mapping[str, Any] | None = None, *, width: int, outputs: int = 1
) -> bytes:
    """A model from `x` (n, width) to `y` (n, outputs)."""
    graph = helper.make_graph(
        list(nodes),
        "model",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", width])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", outputs])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in (constants or {}).items()],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid(ML, 3)]
    data: bytes = helper.make_model(graph, ir_version=8, opset_imports=opsets).SerializeToString()
    return data


def forest(width: int, *, trees: int, depth: int, outputs: int = 1, link: str | None = None, seed: int = 0) -> bytes:
    """A random full forest; thresholds are those of standard normal columns."""
    random = np.random.default_rng(seed)
    branches, leaves = 2**depth - 1, 2**depth
    size = branches + leaves
    inner = np.arange(size) < branches
    place = np.arange(size)
    weights = random.normal(size=(trees, leaves, outputs)).astype(np.float32)
    node = helper.make_node(
        "TreeEnsembleRegressor",
        ["x"],
        ["y" if link is None else "scores"],
        domain=ML,
        nodes_treeids=np.repeat(np.arange(trees), size).tolist(),
        nodes_nodeids=np.tile(place, trees).tolist(),
        nodes_featureids=np.where(np.tile(inner, trees), random.integers(width, size=trees * size), 0).tolist(),
        nodes_values=random.normal(size=trees * size).astype(np.float32).tolist(),
        nodes_truenodeids=np.tile(np.where(inner, 2 * place + 1, 0), trees).tolist(),
        nodes_falsenodeids=np.tile(np.where(inner, 2 * place + 2, 0), trees).tolist(),
        nodes_missing_value_tracks_true=random.integers(2, size=trees * size).tolist(),
        nodes_modes=["BRANCH_LEQ" if branch else "LEAF" for branch in np.tile(inner, trees)],
        target_treeids=np.repeat(np.arange(trees), leaves * outputs).tolist(),
        target_nodeids=np.tile(np.repeat(np.arange(branches, size), outputs), trees).tolist(),
        target_ids=np.tile(np.arange(outputs), trees * leaves).tolist(),
        target_weights=weights.ravel().tolist(),
        n_targets=outputs,
        aggregate_function="SUM",
        post_transform="NONE",
    )
    nodes = [node] if link is None else [node, helper.make_node(link, ["scores"], ["y"])]
    return onnx_bytes(nodes, width=width, outputs=outputs)


def package_files(
    task: Task = "binary", *, seed: int = 0, replaced: Mapping[str, bytes] = MappingProxyType({})
) -> dict[str, bytes]:
    """The ten files of a package, some of them replaced; what others replace has no golden rows."""
    outputs, link = {"binary": (1, "Sigmoid"), "multiclass": (3, "Softmax"), "regression": (1, None)}[task]
    files = {
        "model.onnx": forest(len(OUTPUTS), trees=12, depth=4, outputs=outputs, link=link, seed=seed),
        "program.json": msgspec.json.encode(program()),
        "encoder.json": msgspec.json.encode(encoder()),
        "decision.json": msgspec.json.encode(decision(task)),
        "contract.json": b"{}",
        "profile.json": b"{}",
        "lineage.json": msgspec.json.encode(lineage()),
        "README.md": b"# delays\n",
        "certificate.json": b"{}",
    }
    if not replaced.keys() & {"model.onnx", "encoder.json", "decision.json"}:
        files["golden.json"] = _golden(task, files["model.onnx"])
    return {**files, **replaced}


@lru_cache(maxsize=64)
def _golden(task: Task, onnx: bytes) -> bytes:
    return golden_rows(onnx, encoder(), Decider(decision(task)))


def lineage() -> Lineage:
    return Lineage(
        definition_sha256="d" * 64,
        snapshots={"flights": "a" * 64},
        tables={"flights": "b" * 64},
        frame="c" * 64,
        trial=3,
        family="lightgbm",
        params={"num_leaves": 31, "learning_rate": 0.1},
        libraries={"lightgbm": "4.7.0"},
        headrace="0.1.0",
    )


def signed(
    files: Mapping[str, bytes], *, model: str = "delays", task: Task = "binary", key: SigningKey = KEY
) -> dict[str, bytes]:
    """The twelve files as they lie in a store."""
    manifest = build_manifest(model, task, files)
    return {**files, MANIFEST: manifest, SIGNATURE: sign_manifest(manifest, key)}


def id_of(stored: Mapping[str, bytes]) -> str:
    return content_id(stored[MANIFEST])
