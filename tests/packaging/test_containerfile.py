"""A Containerfile as text: nothing that a person chooses becomes an instruction."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.packaging.containerfile import Copy, Exec, Image, Instruction, Pairs, Run, Word, parse_image, render
from headrace.packaging.errors import ImageNameInvalid, NotWritable

DIGEST = "sha256:" + "a" * 64
VISIBLE = st.text(st.characters(exclude_categories=("C", "Z")) | st.just(" "), max_size=40)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("python", Image("python")),
        ("python:3.11", Image("python", "3.11")),
        ("localhost:5000/a/b-c.d__e:v1.2", Image("localhost:5000/a/b-c.d__e", "v1.2")),
        (f"docker.io/library/python:3.11-slim@{DIGEST}", Image("docker.io/library/python", "3.11-slim", DIGEST)),
        (f"python@{DIGEST}", Image("python", None, DIGEST)),
    ],
)
def test_an_image_has_a_name_and_may_have_a_tag_and_a_digest(text: str, expected: Image) -> None:
    assert parse_image(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Python",
        "python:",
        "python@sha256:abc",
        "python AS build",
        "python\nRUN rm -rf /",
        "$BASE",
        "--platform=x",
        "../x",
        "a" * 500,
        f"python@{DIGEST.upper()}",
    ],
)
def test_what_is_no_image_is_refused(text: str) -> None:
    with pytest.raises(ImageNameInvalid):
        parse_image(text)


@given(VISIBLE, st.text("abc.-", min_size=1, max_size=8))
def test_a_label_is_one_line_that_reads_back(value: str, name: str) -> None:
    try:
        text = render([Pairs("LABEL", {name: value})])
    except NotWritable:
        return
    assert text.count("\n") == 1
    said = text.removeprefix(f"LABEL {name}=").rstrip("\n")
    assert (said[0], said[-1]) == ('"', '"')
    inside = iter(said[1:-1])
    read = [next(inside) if each == "\\" else each for each in inside]
    assert "".join(read) == value


@given(st.lists(VISIBLE.filter(lambda word: "$" not in word), min_size=1, max_size=4))
def test_a_program_is_one_line_of_json(words: list[str]) -> None:
    try:
        text = render([Run(words)])
    except NotWritable:
        return
    assert text.count("\n") == 1
    assert json.loads(text.removeprefix("RUN ")) == words


@pytest.mark.parametrize(
    "instruction",
    [
        Pairs("LABEL", {"a": "b\nRUN rm -rf /"}),
        Pairs("LABEL", {"a": "b\x00"}),
        Pairs("LABEL", {"a b": "c"}),
        Pairs("ENV", {"A=B": "c"}),
        Word("USER", "10001\nUSER 0"),
        Exec("ENTRYPOINT", ["a", "b\r"]),
        Copy(["a$B"], "/"),
        Copy(["a"], "/", stage="x --chown=0"),
        Run(["a", "\u2028"]),
    ],
)
def test_what_would_mean_something_else_is_refused(instruction: Instruction) -> None:
    with pytest.raises(NotWritable):
        render([instruction])
