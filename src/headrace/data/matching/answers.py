"""What people said of pairs of rows. Rows are named by digests of their compared values: these stay when row numbers
change, and no value can be read from a file of answers, though one that is guessed can be recognised."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec
import polars as pl

from headrace.data.matching.find import Answers
from headrace.errors import WrongUse

FILE: Final = "headrace.matches"
"""Beside headrace.toml: one answer a line, never changed, only added to; the last of a pair holds."""


class AnswersUnreadable(WrongUse):
    """A line of the file of answers that is none."""

    code = "answers-unreadable"

    def __init__(self, file: str, line: int) -> None:
        super().__init__(
            f"{file}, line {line}: this is no answer about two rows",
            fix=f"restore {file} from your version control, or take the line out and answer again",
            file=file,
            line=line,
        )


class Answer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One pair of rows that are one, or are not."""

    source: str
    left: str
    right: str
    same: bool


def read_answers(path: Path, source: str) -> tuple[Answer, ...]:
    """The answers that hold for a source, in the order in which they were first given.

    Raises
    ------
    AnswersUnreadable : a line of the file is no answer; a merge of two people's files may leave such lines.
    """
    if not path.exists():
        return ()
    found: dict[tuple[str, str], Answer] = {}
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        if not line.strip():
            continue
        try:
            answer = msgspec.json.decode(line, type=Answer)
        except msgspec.DecodeError:
            raise AnswersUnreadable(path.name, number) from None
        if answer.source == source:
            found[(answer.left, answer.right)] = answer
    return tuple(found.values())


def add_answer(path: Path, answer: Answer) -> None:
    """Write one answer behind the others."""
    with path.open("ab") as file:
        file.write(msgspec.json.encode(answer) + b"\n")


def digests(compared: pl.DataFrame) -> list[str]:
    """Row → digest of its compared values."""
    texts = compared.select(pl.all().cast(pl.String))
    return [hashlib.sha256(msgspec.json.encode(row)).hexdigest() for row in texts.iter_rows()]


def rows_of_answers(compared: pl.DataFrame, answers: Sequence[Answer]) -> Answers:
    """The answers as pairs of rows; those of rows that are no longer there are left out."""
    if not answers:
        return Answers()
    rows = {digest: row for row, digest in enumerate(digests(compared))}
    known = [one for one in answers if one.left in rows and one.right in rows]
    return Answers(
        same=[(rows[one.left], rows[one.right]) for one in known if one.same],
        different=[(rows[one.left], rows[one.right]) for one in known if not one.same],
    )
