"""What one row costs on its way from a request to an answer, each part by itself.

The flights example's own definition and its row features; lookups and windows are given, as an online store would give
them. The model is LightGBM of 200 rounds on random rows of that width, compiled by the same code as a real one. Needs
nothing to have been run.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec
import numpy as np

from benchmarks.harness import FLIGHTS, record, table
from headrace.data.align import table_types
from headrace.definition.reader import read_definition
from headrace.features.build import build_program
from headrace.features.model import CategoryLevels, EncodedColumn, Encoder, ExpressionStep, Numeric, Program
from headrace.features.naming import fields_of
from headrace.features.program import ReadRow, RowProgram
from headrace.language.rows import compile_rows
from headrace.language.types import Type
from headrace.scoring.model import Decision
from headrace.scoring.package import draft_package
from headrace.scoring.rows import RowReader
from headrace.scoring.scorer import Scorer
from headrace.training.families import load_family

ROWS: Final = 2000
REPEATS: Final = 41
TREES: Final = 200
LIMIT_US: Final = 5.0
TEXTS: Final = {
    "carrier": ("UA", "B6", "EV", "DL", "AA"),
    "origin": ("EWR", "JFK", "LGA"),
    "dest": ("ORD", "ATL", "LAX", "BOS", "MCO"),
    "tailnum": tuple(f"N{number}UA" for number in range(100, 400)),
}
SOURCES: Final = {
    "flights": {
        "integer": "year month day dep_time sched_dep_time arr_time sched_arr_time flight hour minute",
        "float": "dep_delay arr_delay air_time distance",
        "category": "carrier tailnum origin dest",
        "timestamp": "time_hour",
    },
    "weather": {
        "category": "origin",
        "integer": "year month day hour wind_dir",
        "float": "temp dewp humid wind_speed wind_gust precip pressure visib",
        "timestamp": "time_hour",
    },
    "planes": {"string": "tailnum type manufacturer model engine", "integer": "built engines seats speed"},
    "airports": {"string": "faa name tzone", "float": "lat lon", "integer": "alt"},
    "airlines": {"string": "carrier name"},
}


class Given:
    """Lookups and windows as they come from a store that is asked by key: one dictionary a step."""

    def __init__(self, program: Program) -> None:
        draw = random.Random(0)
        kinds: dict[Type, Callable[[], object]] = {
            Type.FLOAT: lambda: draw.gauss(20, 10),
            Type.INTEGER: lambda: draw.randrange(1950, 2010),
        }
        self._answers = {
            number: tuple(kinds.get(field.type, lambda: "EMBRAER")() for field in fields_of(step))
            for number, step in enumerate(program.steps)
            if not isinstance(step, ExpressionStep)
        }

    def reader(self, steps: Sequence[int]) -> ReadRow:
        """The steps' answers, whatever the keys."""
        found = [value for number in steps for value in self._answers[number]]
        return lambda keys, t_us: found  # noqa: ARG005


def flights_program() -> Program:
    """The example's features, from its definition."""
    definition = read_definition(FLIGHTS / "headrace.toml")
    types: dict[str, Any] = {
        name: {column: Type(kind) for kind, columns in kinds.items() for column in columns.split()}
        for name, kinds in SOURCES.items()
    }
    for source in definition.sources:
        joined = {join.source: types[join.source] for join in source.joins}
        types[source.name] = table_types(source, types[source.name], joined)
    return build_program(definition, types)


def flights_scorer(program: Program) -> Scorer:
    """A package of that program with a LightGBM of TREES rounds."""
    texts = {Type.STRING, Type.CATEGORY}
    columns = tuple(
        EncodedColumn(
            name=field.name,
            type=field.type,
            encoding=CategoryLevels(levels=TEXTS.get(field.name, ("EMBRAER",))) if field.type in texts else Numeric(),
            typical=0.0,
        )
        for field in program.outputs
    )
    draw = np.random.default_rng(0)
    X = draw.normal(size=(20_000, len(columns))).astype(np.float32)
    y = (X[:, :8].sum(axis=1) + draw.normal(size=len(X)) > 1).astype(np.int64)
    family = load_family("lightgbm", "binary")
    params = {**family.defaults()[0], "rounds": TREES}
    levels = [None] * len(columns)
    fitted = family.fit(X, y, params, task="binary", n_classes=2, levels=levels, seed=0, threads=2)
    knots = tuple((i / 20, (i / 20) ** 1.1) for i in range(21))
    empty = dict.fromkeys(("contract.json", "profile.json", "lineage.json", "README.md"), b"{}")
    files = {
        "model.onnx": fitted.to_onnx(),
        "program.json": msgspec.json.encode(program),
        "encoder.json": msgspec.json.encode(Encoder(columns=columns)),
        "decision.json": msgspec.json.encode(Decision(task="binary", knots=knots, threshold=0.0625)),
        **empty,
    }
    return Scorer(draft_package(program.model, "binary", files), 1, Given(program))


def expressions_alone(program: Program, rows: Sequence[Sequence[object]]) -> tuple[int, float]:
    """How many expressions the program has, and µs for all of them once lookups and windows are there."""
    given = Given(program)
    found = [(number, step) for number, step in enumerate(program.steps) if not isinstance(step, ExpressionStep)]
    have = [(field.name, field.type) for field in program.request]
    have += [(field.name, field.type) for _, step in found for field in fields_of(step)]
    answers = given.reader([number for number, _ in found])((), None)
    steps = [(step.name, step.node) for step in program.steps if isinstance(step, ExpressionStep)]
    return len(steps), each_us(compile_rows(have, steps), [(*row, *answers) for row in rows])


def requests() -> list[dict[str, object]]:
    """Rows as a client sends them."""
    draw = random.Random(1)
    return [
        {
            **{name: draw.choice(levels) for name, levels in TEXTS.items()},
            "flight": draw.randrange(1, 6000),
            "distance": float(draw.randrange(80, 4000)),
            "sched_dep_at": f"2013-{draw.randrange(1, 13):02d}-14T{draw.randrange(24):02d}:15:00Z",
        }
        for _ in range(ROWS)
    ]


def each_us(work: Callable[[Any], object], items: Sequence[Any]) -> float:
    """Median microseconds of this thread's CPU an item, after one pass that is not counted."""
    times = []
    for _ in range(REPEATS + 1):
        started = time.thread_time_ns()
        for item in items:
            work(item)
        times.append((time.thread_time_ns() - started) / 1000 / len(items))
    return statistics.median(times[1:])


def main() -> None:
    """Measure and record."""
    program = flights_program()
    scorer = flights_scorer(program)
    reader, rows = RowReader(program), requests()
    outputs = RowProgram(program, Given(program)).outputs
    bodies = [msgspec.json.encode(row) for row in rows]
    values = [reader.read(row, 0, ignore_unknown=False) for row in rows]
    encode = scorer._encode  # noqa: SLF001 - measured by itself
    features = [outputs(value) for value in values]
    encoded = [encode(feature) for feature in features]
    raw = [float(scorer.graph.row(row)[0]) for row in encoded]
    decide = scorer.decider
    parse = msgspec.json.Decoder(dict[str, Any]).decode
    parts = {
        "JSON → mapping": each_us(parse, bodies),
        "mapping → checked values": each_us(lambda row: reader.read(row, 0, ignore_unknown=False), rows),
        "program: row features, lookups given": each_us(outputs, values),
        "encoder: features → float32": each_us(encode, features),
        "graph": each_us(scorer.graph.row, encoded),
        "calibration and threshold": each_us(lambda score: decide.positive(decide.probability(score)), raw),
    }
    whole = each_us(lambda row: scorer.score_features(scorer.row_to_features(row)), rows)
    predict = each_us(lambda row: scorer.predict([row]), rows)
    matrix = np.frombuffer(b"".join(encoded), np.float32).reshape(ROWS, -1)
    batch = each_us(lambda X: scorer.decider.probabilities(scorer.graph.raw(X, threads=1)), [matrix]) / ROWS
    features_us = parts["program: row features, lookups given"]
    encoded_us = features_us + parts["encoder: features → float32"]
    count, alone_us = expressions_alone(program, values)
    lines = list(parts.items())
    lines += [("mapping → probability, in one call", whole), ("predict([row])", predict)]
    lines += [(f"graph and calibration, a row of {ROWS:,}", batch)]
    body = (
        f"{len(program.request)} request columns, {len(program.outputs)} inputs of the model, {TREES} trees.\n\n"
        + table(["part", "CPU µs a row"], lines)
        + f"\n\nThe {count} expressions alone: {alone_us:.2f} µs. Row features, lookups given: {features_us:.2f} µs, "
        f"{features_us / LIMIT_US:.2f} of the limit of {LIMIT_US:g} µs; encoded as one float32 row too: "
        f"{encoded_us:.2f} µs."
    )
    record("Row form", "python -m benchmarks.row_form", body, libraries=["onnxruntime", "numpy", "msgspec", "lightgbm"])


if __name__ == "__main__":
    main()
