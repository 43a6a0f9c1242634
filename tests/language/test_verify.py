"""Trees that a package brings: what the parser made is taken, what nobody could have written is refused."""

from __future__ import annotations

import json
import random
from typing import Any

import msgspec
import pytest
from tests.features.small import TYPES, flights_definition
from tests.scoring.made import package_files, program
from tests.scoring.test_scorer import scorer

from headrace.features.build import build_program
from headrace.features.program import check_program
from headrace.language.functions import FUNCTIONS
from headrace.language.parse import parse
from headrace.language.tree import Call, Column, Literal, Node
from headrace.language.types import Type
from headrace.language.verify import TreeRefused, check_tree
from headrace.scoring.errors import PackageUnreadable

DISTANCE = Column("distance", Type.FLOAT)
COLUMNS = {"distance": Type.FLOAT, "carrier": Type.CATEGORY, "n": Type.INTEGER, "t": Type.TIMESTAMP, "b": Type.BOOLEAN}


@pytest.mark.parametrize("name", [name for name, function in FUNCTIONS.items() if function.example])
def test_the_example_of_every_function_is_taken(name: str) -> None:
    check_tree(parse(FUNCTIONS[name].example.partition(" → ")[0], COLUMNS), COLUMNS)


@pytest.mark.parametrize(
    "text",
    [
        "n + 1.5",
        "if(b, NULL, distance)",
        "coalesce(NULL, carrier, 'x')",
        "CASE WHEN n IN (1, 2, NULL) THEN 'a' WHEN distance BETWEEN 1 AND 2 THEN carrier END",
        "1e308 * 10",
        "hour(t, 'America/New_York') + date_diff('day', t, t)",
        "regexp_matches(carrier, '^[A-Z]+$')",
        "greatest(n, distance, 0)",
        " OR ".join(f"n = {number}" for number in range(500)),
    ],
)
def test_what_the_parser_makes_is_taken(text: str) -> None:
    check_tree(parse(text, COLUMNS), COLUMNS)


def test_the_program_of_a_definition_is_taken() -> None:
    check_program(build_program(flights_definition(), TYPES))
    check_program(msgspec.json.decode(package_files()["program.json"], type=type(program())))


def nested(depth: int) -> Node:
    node: Node = DISTANCE
    for _ in range(depth):
        node = Call("ln", (node,), Type.FLOAT)
    return node


WRONG: dict[str, tuple[Node, str]] = {
    "an unknown function": (Call("__import__", (DISTANCE,), Type.FLOAT), "no function '__import__'"),
    "too many arguments": (Call("ln", (DISTANCE, DISTANCE), Type.FLOAT), "does not take (float, float)"),
    "no arguments": (Call("ln", (), Type.FLOAT), "does not take ()"),
    "another type": (Call("ln", (Literal("x", Type.STRING),), Type.FLOAT), "does not take (string)"),
    "a constant that is not what it says": (Literal("x", Type.FLOAT), "a constant is no float"),
    "a whole number for a float": (Literal(1, Type.FLOAT), "a constant is no float"),
    "true for a number": (Literal(True, Type.INTEGER), "a constant is no integer"),
    "a number beyond 64 bits": (Literal(2**63, Type.INTEGER), "a constant is no integer"),
    "a number that is not promoted": (
        Call("ln", (Column("n", Type.INTEGER),), Type.FLOAT),
        "argument 1 of 'ln' is integer, not float",
    ),
    "a decimal of too many digits": (Literal(10**18, Type.DECIMAL), "a constant is no decimal"),
    "a decimal with a fraction of a millionth": (Literal(0.5, Type.DECIMAL), "a constant is no decimal"),
    "a decimal that is not promoted": (
        Call("ln", (Literal(1, Type.DECIMAL),), Type.FLOAT),
        "argument 1 of 'ln' is decimal, not float",
    ),
    "an unknown column": (Column("nope", Type.FLOAT), "there is no column 'nope'"),
    "a column of another type": (Column("carrier", Type.FLOAT), "column 'carrier' is a category, not a float"),
    "a result of another type": (
        Call("lower", (Column("carrier", Type.CATEGORY),), Type.FLOAT),
        "'lower' gives a string, not a float",
    ),
    "a column where a constant has to be": (
        Call("regexp_matches", (Column("carrier", Type.CATEGORY), Column("carrier", Type.CATEGORY)), Type.BOOLEAN),
        "argument 2 of 'regexp_matches' has to be a constant",
    ),
    "a pattern that is none": (
        Call("regexp_matches", (Column("carrier", Type.CATEGORY), Literal("(", Type.STRING)), Type.BOOLEAN),
        "a parenthesis is not closed",
    ),
    "a zone that is a path": (
        Call("hour", (Column("t", Type.TIMESTAMP), Literal("../../etc/passwd", Type.STRING)), Type.INTEGER),
        "there is no time zone",
    ),
    "a constant out of range": (
        Call("round", (DISTANCE, Literal(10**15, Type.INTEGER)), Type.FLOAT),
        "the number of digits is 0 to 15",
    ),
    "a tree that is too deep": (nested(102), "nests at most 100 deep"),
    "a tree that is too large": (
        Call("greatest", tuple(nested(99) for _ in range(101)), Type.FLOAT),
        "at most 10000 parts",
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_nobody_could_have_written_is_refused(what: str) -> None:
    node, reason = WRONG[what]
    with pytest.raises(TreeRefused) as caught:
        check_tree(node, COLUMNS)
    assert reason in str(caught.value)


@pytest.mark.parametrize("name", ["*", "^.*$"])
def test_a_pattern_of_names_is_no_column(name: str) -> None:
    with pytest.raises(TreeRefused, match="pattern of names"):
        check_tree(Call("is_null", (Column(name, Type.FLOAT),), Type.BOOLEAN), None)


def test_the_deepest_tree_is_taken() -> None:
    check_tree(nested(100), COLUMNS)


@pytest.mark.parametrize("what", [what for what in WRONG if "deep" not in what and "large" not in what])
def test_a_package_with_such_a_tree_is_refused_when_it_is_loaded(what: str) -> None:
    made: dict[str, Any] = json.loads(package_files()["program.json"])
    first = next(step for step in made["steps"] if step["step"] == "expression")
    first["node"] = json.loads(msgspec.json.encode(WRONG[what][0]))
    with pytest.raises(PackageUnreadable, match=r"program\.json"):
        scorer(replaced={"program.json": json.dumps(made).encode()})


def test_a_package_whose_program_is_mutated_loads_or_is_refused() -> None:
    draw = random.Random(11)
    whole = package_files()["program.json"]
    refused = 0
    for _ in range(300):
        made = bytearray(whole)
        for _ in range(draw.randint(1, 3)):
            made[draw.randrange(len(made))] = draw.choice(b'0123456789"{}[],:abz')
        try:
            scorer(replaced={"program.json": bytes(made)})
        except PackageUnreadable:
            refused += 1
    assert refused > 150
