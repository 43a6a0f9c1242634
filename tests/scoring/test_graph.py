"""The graph: what is hostile is refused before the runtime reads it; a row alone is a row in a batch, bit for bit."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto, helper
from tests.scoring.made import forest, onnx_bytes
from tests.work import at_most

from headrace.scoring.errors import GraphRefused, MatrixRefused
from headrace.scoring.graph import CHUNK_ROWS, Graph
from headrace.scoring.onnx_file import ALLOWED_OPS, MAX_NODES, check_onnx

FOREST = forest(5, trees=7, depth=3)


def rows(n: int, width: int, seed: int = 0) -> NDArray[np.float32]:
    random = np.random.default_rng(seed)
    X = random.normal(size=(n, width)).astype(np.float32)
    X[random.random(X.shape) < 0.1] = np.nan
    return X


def bits(values: NDArray[np.float32]) -> list[int]:
    return values.view(np.uint32).ravel().tolist()


@settings(max_examples=40)
@given(
    st.integers(1, 40),
    st.integers(1, 120),
    st.integers(1, 5),
    st.sampled_from([(1, None), (1, "Sigmoid"), (4, "Softmax"), (3, None)]),
    st.integers(0, 2**32 - 1),
)
def test_a_forest_gives_a_row_the_same_bits_alone_and_in_any_batch(
    width: int, trees: int, depth: int, shape: tuple[int, str | None], seed: int
) -> None:
    outputs, link = shape
    graph = Graph(forest(width, trees=trees, depth=depth, outputs=outputs, link=link, seed=seed))
    X = rows(70, width, seed)
    alone = np.concatenate([graph.row(x.tobytes()) for x in X]).reshape(70, outputs)
    for size in (1, 2, 3, 8, 17, 33, 64, 70):
        for start in range(0, 70 - size + 1, 23):
            answers = graph.raw(X[start : start + size])
            assert bits(answers) == bits(alone[start : start + size])


@settings(max_examples=40)
@given(st.integers(1, 300), st.sampled_from([(1, "Sigmoid"), (1, None), (5, "Softmax")]), st.integers(0, 2**32 - 1))
def test_a_linear_graph_gives_a_row_the_same_bits_alone_and_in_any_batch(
    width: int, shape: tuple[int, str | None], seed: int
) -> None:
    outputs, link = shape
    random = np.random.default_rng(seed)
    constants = {
        "w": random.normal(size=(width, outputs)).astype(np.float32),
        "b": random.normal(size=(outputs,)).astype(np.float32),
        "mean": random.normal(size=(width,)).astype(np.float32),
        "scale": random.lognormal(size=(width,)).astype(np.float32),
    }
    nodes = [
        helper.make_node("IsNaN", ["x"], ["missing"]),
        helper.make_node("Where", ["missing", "mean", "x"], ["filled"]),
        helper.make_node("Sub", ["filled", "mean"], ["centred"]),
        helper.make_node("Mul", ["centred", "scale"], ["scaled"]),
        helper.make_node("MatMul", ["scaled", "w"], ["product"]),
        helper.make_node("Add", ["product", "b"], ["y" if link is None else "scores"]),
    ]
    if link is not None:
        nodes.append(helper.make_node(link, ["scores"], ["y"]))
    graph = Graph(onnx_bytes(nodes, constants, width=width, outputs=outputs))
    X = rows(70, width, seed)
    alone = np.concatenate([graph.row(x.tobytes()) for x in X]).reshape(70, outputs)
    for size in (1, 2, 3, 5, 16, 31, 64, 70):
        assert bits(graph.raw(X[:size])) == bits(alone[:size])
        assert bits(graph.raw(X[70 - size :])) == bits(alone[70 - size :])


def test_threads_over_rows_change_no_bit() -> None:
    graph = Graph(FOREST)
    X = rows(3 * CHUNK_ROWS + 17, 5)
    one = graph.raw(X, threads=1)
    assert bits(graph.raw(X, threads=4)) == bits(one)
    assert bits(graph.raw(X)) == bits(one)
    assert bits(graph.row(X[CHUNK_ROWS].tobytes())) == bits(one[CHUNK_ROWS : CHUNK_ROWS + 1])


def test_shapes_follow_the_outputs() -> None:
    assert Graph(FOREST).raw(rows(4, 5)).shape == (4,)
    assert Graph(forest(5, trees=2, depth=2, outputs=3)).raw(rows(4, 5)).shape == (4, 3)
    assert Graph(FOREST).raw(rows(0, 5)).shape == (0,)


def test_a_matrix_in_another_memory_order_is_read_right() -> None:
    X = rows(9, 5)
    assert bits(Graph(FOREST).raw(np.asfortranarray(X))) == bits(Graph(FOREST).raw(X))


@pytest.mark.parametrize("X", [np.zeros((3, 4), np.float32), np.zeros(5, np.float32), np.zeros((3, 5))])
def test_a_matrix_that_does_not_fit_is_refused(X: Any) -> None:
    with pytest.raises(MatrixRefused, match=r"\(n, 5\)"):
        Graph(FOREST).raw(X)


def test_the_check_allows_what_the_families_emit() -> None:
    from headrace.training.onnx_ops import EMITTED_OPS

    assert EMITTED_OPS == ALLOWED_OPS


def test_the_check_counts() -> None:
    facts = check_onnx(
        onnx_bytes([helper.make_node("MatMul", ["x", "w"], ["y"])], {"w": np.ones((5, 2), "f4")}, width=5)
    )
    assert (facts.nodes, facts.elements, facts.operators) == (1, 10, frozenset({("", "MatMul")}))


def plain() -> onnx.ModelProto:
    return onnx.load_from_string(
        onnx_bytes([helper.make_node("MatMul", ["x", "w"], ["y"])], {"w": np.ones((5, 1), np.float32)}, width=5)
    )


def loop_for_ever() -> bytes:
    body = helper.make_graph(
        [helper.make_node("Identity", ["c"], ["d"])],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("c", TensorProto.BOOL, []),
        ],
        [helper.make_tensor_value_info("d", TensorProto.BOOL, [])],
    )
    return onnx_bytes([helper.make_node("Loop", ["", "on"], [], body=body)], {"on": np.array(True)}, width=5)


def hostile() -> dict[str, bytes]:
    """A zoo, each by what is wrong with it."""
    zoo: dict[str, bytes] = {"a loop": loop_for_ever()}

    def add(name: str, change: Any) -> None:
        model = plain()
        change(model)
        zoo[name] = model.SerializeToString()

    def outside(model: onnx.ModelProto, location: str) -> None:
        tensor = model.graph.initializer[0]
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value=location)

    for path in ("/etc/passwd", "weights.bin", "../../etc/passwd"):
        add(f"data in {path}", lambda model, path=path: outside(model, path))
    add("external data without the flag", lambda m: m.graph.initializer[0].external_data.add(key="location", value="x"))
    add("the flag without external data", lambda m: setattr(m.graph.initializer[0], "data_location", 1))
    attribute = helper.make_tensor("t", TensorProto.FLOAT, [1], [1.0])
    attribute.external_data.add(key="location", value="x")
    zoo["external data in an attribute"] = onnx_bytes(
        [helper.make_node("Add", ["x", "x"], ["y"], t=attribute)], width=5
    )
    zoo["a subgraph"] = onnx_bytes([helper.make_node("Add", ["x", "x"], ["y"], g=plain().graph)], width=5)
    zoo["subgraphs"] = onnx_bytes([helper.make_node("Add", ["x", "x"], ["y"], g=[plain().graph])], width=5)
    function = helper.make_function("", "Add", ["a"], ["b"], [], [helper.make_opsetid("", 17)])
    add("a function", lambda m: m.functions.append(function))
    sparse = helper.make_sparse_tensor(
        helper.make_tensor("v", TensorProto.FLOAT, [1], [1.0]),
        helper.make_tensor("i", TensorProto.INT64, [1], [0]),
        [9],
    )
    add("a sparse tensor", lambda m: m.graph.sparse_initializer.append(sparse))
    zoo["a sparse attribute"] = onnx_bytes([helper.make_node("Add", ["x", "x"], ["y"], s=sparse)], width=5)
    add("training", lambda m: m.training_info.add())
    add("metadata", lambda m: m.metadata_props.add(key="a", value="b"))
    add("another domain", lambda m: setattr(m.graph.node[0], "domain", "com.microsoft"))
    add("an opset of another domain", lambda m: m.opset_import.append(helper.make_opsetid("com.microsoft", 1)))
    add("an operator that is not listed", lambda m: setattr(m.graph.node[0], "op_type", "ConstantOfShape"))
    add("an operator of the other domain", lambda m: setattr(m.graph.node[0], "op_type", "TreeEnsembleRegressor"))
    for name, axis in (("Softmax", 0), ("Softmax", -2), ("Flatten", 0), ("Flatten", -2)):
        zoo[f"a {name} along axis {axis}"] = onnx_bytes([helper.make_node(name, ["x"], ["y"], axis=axis)], width=5)
    add("40 GB", lambda m: m.graph.initializer[0].dims.__setitem__(slice(None), [100_000, 100_000]))
    add("a negative size", lambda m: m.graph.initializer[0].dims.__setitem__(slice(None), [-1]))
    add("more elements than bytes", lambda m: m.graph.initializer[0].dims.__setitem__(slice(None), [5, 1000]))
    add("many nodes", lambda m: m.graph.node.extend([m.graph.node[0]] * MAX_NODES))
    add("no nodes", lambda m: m.graph.ClearField("node"))
    add("a sequence input", lambda m: m.graph.input[0].type.CopyFrom(
        helper.make_sequence_type_proto(helper.make_tensor_type_proto(1, [None]))))  # fmt: skip
    data = plain().SerializeToString()
    zoo["two graphs"] = data + data
    zoo["an unknown field"] = data + b"\xa0\x06\x01"
    zoo["a group"] = data + b"\x0b\x0c"
    zoo["field 0"] = data + b"\x02\x00"
    zoo["a torn number"] = data + b"\x28\xff"
    zoo["an endless number"] = data + b"\x28" + b"\xff" * 11
    zoo["a length past the end"] = data + b"\x32\x7f"
    zoo["text"] = b"this is no model"
    zoo["nothing"] = b""
    return zoo


HOSTILE = hostile()


@pytest.mark.parametrize("name", sorted(HOSTILE))
def test_a_hostile_file_is_refused_before_the_runtime_reads_it(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import headrace.scoring.graph as module

    def never(onnx: bytes) -> None:
        raise AssertionError("the runtime was asked")

    monkeypatch.setattr(module, "_open", never)
    with pytest.raises(GraphRefused):
        Graph(HOSTILE[name])


@pytest.mark.parametrize(("name", "axis"), [("Softmax", None), ("Softmax", -1), ("Softmax", 1), ("Flatten", 1)])
def test_what_goes_along_the_columns_is_accepted(name: str, axis: int | None) -> None:
    given: dict[str, Any] = {} if axis is None else {"axis": axis}
    rows = helper.make_node("Softmax", ["x"], ["z"])  # what one node says is not said of the next
    check_onnx(onnx_bytes([rows, helper.make_node(name, ["z"], ["y"], **given)], width=5, outputs=5))


def test_the_plain_model_of_the_zoo_is_accepted() -> None:
    assert Graph(plain().SerializeToString()).raw(np.ones((2, 5), np.float32)).tolist() == [5.0, 5.0]


@settings(max_examples=300)
@given(st.data())
def test_a_damaged_file_is_refused_or_has_the_listed_operators_only(data: st.DataObject) -> None:
    model = bytearray(data.draw(st.sampled_from([plain().SerializeToString(), forest(3, trees=1, depth=1)])))
    for _ in range(data.draw(st.integers(1, 3))):
        model[data.draw(st.integers(0, len(model) - 1))] = data.draw(st.integers(0, 255))
    try:
        facts = check_onnx(bytes(model))
    except GraphRefused:
        return
    read = onnx.ModelProto()
    try:
        read.ParseFromString(bytes(model))
    except Exception:
        return
    assert {(node.domain, node.op_type) for node in read.graph.node} == facts.operators <= ALLOWED_OPS
    assert not any(tensor.external_data or tensor.data_location for tensor in read.graph.initializer)


def ensemble(**changes: Any) -> bytes:
    """One node and two leaves, with something wrong."""
    attributes: dict[str, Any] = {
        "nodes_treeids": [0, 0, 0],
        "nodes_nodeids": [0, 1, 2],
        "nodes_featureids": [0, 0, 0],
        "nodes_values": [0.5, 0.0, 0.0],
        "nodes_truenodeids": [1, 0, 0],
        "nodes_falsenodeids": [2, 0, 0],
        "nodes_modes": ["BRANCH_LEQ", "LEAF", "LEAF"],
        "target_treeids": [0, 0],
        "target_nodeids": [1, 2],
        "target_ids": [0, 0],
        "target_weights": [1.0, 2.0],
        "n_targets": 1,
    }
    node = helper.make_node("TreeEnsembleRegressor", ["x"], ["y"], domain="ai.onnx.ml", **{**attributes, **changes})
    return onnx_bytes([node], width=5)


@pytest.mark.parametrize(
    "changes",
    [
        {"nodes_featureids": [5, 0, 0]},
        {"nodes_featureids": [10**6, 0, 0]},
        {"nodes_featureids": [-1, 0, 0]},
        {"nodes_truenodeids": [0, 0, 0]},
        {"nodes_falsenodeids": [99, 0, 0]},
        {"target_ids": [7, 7]},
        {"nodes_values": [0.5]},
        {"nodes_modes": ["BRANCH_LEQ", "LEAF", "RUN"]},
    ],
)
def test_a_forest_that_contradicts_itself_is_refused_at_load(changes: dict[str, Any]) -> None:
    Graph(ensemble())
    with pytest.raises(GraphRefused):
        Graph(ensemble(**changes))


@pytest.mark.parametrize(
    "data",
    [
        onnx_bytes([helper.make_node("MatMul", ["x", "w"], ["y"])], {"w": np.ones((7, 1), np.float32)}, width=5),
        onnx_bytes([helper.make_node("Add", ["x", "z"], ["y"])], width=5),
        onnx_bytes(
            [helper.make_node("Add", ["x", "w"], ["y"])], {"w": np.ones((3, 5), np.float32)}, width=5, outputs=5
        ),
        onnx_bytes([helper.make_node("IsNaN", ["x"], ["y"])], width=5, outputs=5),
        onnx_bytes([helper.make_node("Add", ["x", "x"], ["z"])], width=5),
    ],
    ids=["wrong width", "unknown input", "rows of its own", "booleans", "no y"],
)
def test_a_graph_that_does_not_answer_rows_with_numbers_is_refused(data: bytes) -> None:
    with pytest.raises(GraphRefused):
        Graph(data)


def test_a_large_forest_is_checked_in_a_moment() -> None:
    data = forest(20, trees=300, depth=8)
    with at_most(calls=150_000):  # 153,000 nodes, each with a dozen values: no loop over single ones
        check_onnx(data)


def test_the_runtime_tells_its_maker_nothing(tmp_path: Path) -> None:
    """It would leave a device's number and a list of events in the user's cache, to be sent later."""
    (tmp_path / "model.onnx").write_bytes(FOREST)
    script = "import sys; from headrace.scoring.graph import Graph; Graph(open(sys.argv[1], 'rb').read())"
    environment = {k: v for k, v in os.environ.items() if k not in ("ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME")}
    environment["HOME"] = str(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "model.onnx")], env=environment, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert [path.name for path in tmp_path.rglob("*")] == ["model.onnx"]
