"""What tests share is made once, whichever worker of the session asks first."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.examples import once


def test_of_many_who_ask_at_once_one_makes_it_and_the_others_wait(tmp_path: Path) -> None:
    made, begun = list[int](), threading.Barrier(8)

    def ask(number: int) -> int:
        def make() -> None:
            time.sleep(0.05)  # long enough for the others to come
            made.append(number)

        begun.wait(30)
        once(tmp_path / "lock", make)
        return len(made)

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, range(8))) == [1] * 8


def test_what_could_not_be_made_is_made_by_the_next(tmp_path: Path) -> None:
    made = list[str]()

    def fail() -> None:
        raise ConnectionError("the registry is away")

    with pytest.raises(ConnectionError):
        once(tmp_path / "lock", fail)
    for name in ("second", "third"):
        once(tmp_path / "lock", lambda name=name: made.append(name))  # type: ignore[misc]  # bound where it is written
    assert made == ["second"]
