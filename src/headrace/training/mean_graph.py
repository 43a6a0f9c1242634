"""Several graphs as one: the weighted mean of what they answer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from headrace.training.onnx_ops import model_bytes


def mean_graph(members: Sequence[tuple[float, bytes]]) -> bytes:
    """One graph from `x` to the weighted mean of the members' `y`.

    Parameters
    ----------
    members : (weight, graph) of at least one member; all take the same columns and give the same outputs; weights are
        positive and sum to 1
    """
    import onnx
    from onnx import helper, numpy_helper

    if len(members) == 1:
        return members[0][1]
    nodes: list[onnx.NodeProto] = []
    constants: list[tuple[str, NDArray[np.generic]]] = []
    width = outputs = 0
    for number, (weight, data) in enumerate(members):
        graph = onnx.load_model_from_string(data).graph
        width = graph.input[0].type.tensor_type.shape.dim[1].dim_value
        outputs = graph.output[0].type.tensor_type.shape.dim[1].dim_value

        def own(name: str, number: int = number) -> str:
            return name if name == "x" else f"m{number}_{name}"

        for node in graph.node:
            node.input[:] = [own(name) for name in node.input]
            node.output[:] = [own(name) for name in node.output]
            nodes.append(node)
        constants += [(own(each.name), numpy_helper.to_array(each)) for each in graph.initializer]
        constants.append((own("weight"), np.array([weight], np.float32)))
        nodes.append(helper.make_node("Mul", [own("y"), own("weight")], [own("part")]))
    summed = "m0_part"
    for number in range(1, len(members)):
        name = "y" if number == len(members) - 1 else f"to_{number}"
        nodes.append(helper.make_node("Add", [summed, f"m{number}_part"], [name]))
        summed = name
    return model_bytes(nodes, constants, width=width, outputs=outputs)
