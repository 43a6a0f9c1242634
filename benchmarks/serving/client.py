"""What asks a server: wrk on core 1 for the figures, and before it one request after the other for the answers."""

from __future__ import annotations

import http.client
import json
import os
import re
import subprocess
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from benchmarks.serving.contenders import Contender, Row
from benchmarks.serving.servers import Trouble

SINGLE: Final = 400
BATCHES: Final = 10
TOLERANCE: Final = 1e-5
"""Of a probability: graphs calculate in 32 bits."""
TIMEOUT_S: Final = 30


def ask(port: int, where: str, bodies: Path, key: str, *, connections: int, seconds: int) -> dict[str, Any]:
    """wrk."""
    found = subprocess.run(
        [
            "taskset", "-c", "1", "wrk", "-t", "1", "-c", str(connections), "-d", f"{seconds}s", "--latency",
            "--timeout", f"{TIMEOUT_S}s", "-s", str(Path(__file__).with_name("post.lua")), f"http://localhost:{port}",
        ],
        env=os.environ | {"BODIES": str(bodies), "WHERE": where, "KEY": key},
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    lines = re.findall(r"^JSON (.*)$", found.stdout, re.MULTILINE)
    if found.returncode or not lines:
        raise Trouble("wrk could not ask it")
    told: dict[str, Any] = json.loads(lines[0])
    if told["failed"] or not told["requests"]:
        raise Trouble(f"{told['failed']:,} of {told['requests']:,} requests failed")
    return told


def post(connection: http.client.HTTPConnection, path: str, body: object, key: str) -> Any:
    """The answer, decoded; None where it is none."""
    headers = {"content-type": "application/json"} | ({"authorization": f"Bearer {key}"} if key else {})
    connection.request("POST", path, json.dumps(body), headers)
    answer = connection.getresponse()
    told = answer.read()
    if answer.status != 200:
        return None
    try:
        return json.loads(told)
    except ValueError:
        return None


def answers(port: int, contender: Contender, row: Row, key: str) -> bool:
    """Whether it answers a row at all."""
    with closing(http.client.HTTPConnection("localhost", port, timeout=TIMEOUT_S)) as connection:
        try:
            return post(connection, contender.one, contender.ask_one(row), key) is not None
        except (OSError, http.client.HTTPException):
            return False


def wrong(
    port: int,
    contender: Contender,
    key: str,
    rows: Sequence[tuple[Row, float]],
    batches: Sequence[tuple[Sequence[Row], Sequence[float]]],
) -> tuple[int, int]:
    """How many of rows that are asked one by one, and of rows of batches, are answered otherwise than expected."""
    with closing(http.client.HTTPConnection("localhost", port, timeout=TIMEOUT_S)) as connection:
        try:
            alone = sum(
                _differing(contender, post(connection, contender.one, contender.ask_one(row), key), [expected])
                for row, expected in rows
            )
            together = sum(
                _differing(contender, post(connection, contender.many, contender.ask_many(asked), key), expected)
                for asked, expected in batches
            )
        except (OSError, http.client.HTTPException) as error:
            raise Trouble(f"the check of its answers was cut off: {type(error).__name__}") from error
    return alone, together


def _differing(contender: Contender, answer: Any, expected: Sequence[float]) -> int:
    try:
        found = [float(each) for each in contender.read(answer)]
    except (LookupError, TypeError, ValueError):
        return len(expected)
    if len(found) != len(expected):
        return len(expected)
    return sum(not abs(one - other) <= TOLERANCE for one, other in zip(found, expected, strict=True))  # so NaN differs
