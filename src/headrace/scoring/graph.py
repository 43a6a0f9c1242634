"""The model's graph: checked by our own reader, then run by ONNX Runtime in one thread a session.

One thread, because with two a row alone and the same row in a batch differed in the last bit. Batches go parallel over
rows.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from headrace.scoring.errors import GraphRefused, MatrixRefused
from headrace.scoring.onnx_file import check_onnx

# ONNX Runtime notes what runs it in the user's cache and sends that to its maker, on a thread of its own, unless this
# is set before the library is loaded. What a model sees is nobody else's affair.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

CHUNK_ROWS: Final = 4096
"""Rows that one thread takes at a time: 1 to 30 ms of work for the usual forests, so threads end together."""


class Graph:
    """A loaded graph: input `x` (n, width) float32, output `y` (n, 1) or (n, k) float32.

    One instance may serve many threads. A row gives the same bits alone and in any batch.
    """

    width: int
    """Columns of the input."""
    outputs: int
    """Columns of the output: 1 for a score, k for the probabilities of k classes."""

    def __init__(self, onnx: bytes) -> None:
        """Check and load; raises `GraphRefused`."""
        check_onnx(onnx)
        self._session = _open(onnx)
        self._ask = _asker(self._session)
        self.width = _input_width(self._session)
        if [output.name for output in self._session.get_outputs()] != ["y"]:
            raise GraphRefused("its one output should be named y")
        # The runtime finds a feature number out of range only when it runs.
        answer = self._run(np.zeros((2, self.width), np.float32))
        if answer.dtype != np.float32 or answer.ndim != 2 or answer.shape[0] != 2 or answer.shape[1] < 1:
            raise GraphRefused(f"for 2 rows it answers {answer.dtype} of shape {answer.shape}, not float32 of (2, k)")
        self.outputs = answer.shape[1]

    def raw(self, X: NDArray[np.float32], *, threads: int | None = None) -> NDArray[np.float32]:
        """The graph's answers.

        Parameters
        ----------
        X : shape (n, width), NaN where a value is missing
        threads
            How many rows' chunks run at a time; None: as many as this process has processors.

        Returns
        -------
        Shape (n,) for one output, else (n, k).
        """
        if X.dtype != np.float32 or X.ndim != 2 or X.shape[1] != self.width:
            raise MatrixRefused(expected=f"float32 of shape (n, {self.width})", found=f"{X.dtype} of shape {X.shape}")
        X = np.ascontiguousarray(X)
        n = len(X)
        if n <= CHUNK_ROWS:
            few = self._run(X)
            if few.shape != (n, self.outputs):
                raise GraphRefused(f"for {n} rows it answers the shape {few.shape}, not {(n, self.outputs)}")
            return few[:, 0] if self.outputs == 1 else few
        answers = np.empty((n, self.outputs), np.float32)

        def fill(start: int) -> None:
            answers[start : start + CHUNK_ROWS] = self._run(X[start : start + CHUNK_ROWS])

        starts = range(0, n, CHUNK_ROWS)
        workers = min(len(os.sched_getaffinity(0)) if threads is None else threads, len(starts))
        if workers <= 1:
            for start in starts:
                fill(start)
        else:
            with ThreadPoolExecutor(workers, thread_name_prefix="headrace-graph") as pool:
                list(pool.map(fill, starts))
        return answers[:, 0] if self.outputs == 1 else answers

    def row(self, features: bytes) -> NDArray[np.float32]:
        """The answer for one row of `width` little-endian float32: shape (outputs,)."""
        x = np.frombuffer(features, np.float32).reshape(1, self.width)
        answer: NDArray[np.float32] = self._ask(_OUTPUT, {"x": x}, None)[0][0]
        return answer

    def _run(self, X: NDArray[np.float32]) -> NDArray[np.float32]:
        try:
            answer: NDArray[np.float32] = self._ask(_OUTPUT, {"x": X}, None)[0]
        except _runtime_errors() as error:
            raise GraphRefused(f"the runtime cannot run it: {_first_line(error)}") from error
        return answer


_OUTPUT: Final = ["y"]


def _open(onnx: bytes) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # Many small models share a process: an arena and memory patterns would each keep the largest batch ever seen.
    options.enable_cpu_mem_arena = False
    options.enable_mem_pattern = False
    options.log_severity_level = 4
    try:
        return onnxruntime.InferenceSession(onnx, options, providers=["CPUExecutionProvider"])
    except _runtime_errors() as error:
        raise GraphRefused(f"the runtime cannot load it: {_first_line(error)}") from error


def _asker(session: Any) -> Any:
    """What the session's `run` calls once it has looked at arguments that we never give, and that takes as long as the
    answer for one row of a small forest; `run` itself in releases that have it not."""
    inner = getattr(session, "_sess", None)
    return session.run if inner is None else inner.run


def _input_width(session: Any) -> int:
    inputs = session.get_inputs()
    if [(each.name, each.type) for each in inputs] != [("x", "tensor(float)")]:
        raise GraphRefused("its one input should be named x and hold float32")
    shape = inputs[0].shape
    if len(shape) != 2 or isinstance(shape[0], int) or not isinstance(shape[1], int) or shape[1] < 1:
        raise GraphRefused(f"its input should have the shape (rows, columns) with open rows, found {shape}")
    width: int = shape[1]
    return width


def _runtime_errors() -> tuple[type[Exception], ...]:
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    # RuntimeError: what pybind makes of an exception that onnxruntime has no class for.
    return (state.Fail, state.InvalidArgument, state.InvalidGraph, state.InvalidProtobuf, state.NotImplemented,
            state.RuntimeException, state.NoSuchFile, RuntimeError)  # fmt: skip


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0][:300]
