"""How much a test did, counted and not timed: a slow machine changes no count."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


@contextmanager
def at_most(calls: int) -> Iterator[None]:
    """Fails where the block enters and leaves more than so many functions, Python's and C's, in this thread."""
    count = 0

    def counted(_frame: FrameType, _event: str, _argument: Any) -> None:
        nonlocal count
        count += 1

    before = sys.getprofile()
    sys.setprofile(counted)
    try:
        yield
    finally:
        sys.setprofile(before)
    assert count <= 2 * calls, f"{count // 2:,} calls where {calls:,} are enough"


def lines_of(does: Callable[[], object]) -> int:
    """How many lines of Python it runs."""
    count = 0

    def counted(_frame: FrameType, event: str, _argument: Any) -> Any:
        nonlocal count
        count += event == "line"
        return counted

    before = sys.gettrace()
    sys.settrace(counted)
    try:
        does()
    finally:
        sys.settrace(before)
    return count
