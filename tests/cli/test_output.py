"""Values as the terminal shows them."""

from __future__ import annotations

import pytest

from headrace.cli.output import things


@pytest.mark.parametrize(("n", "told"), [(0, "0 files"), (1, "1 file"), (2, "2 files"), (330_712, "330,712 files")])
def test_one_thing_is_told_as_one(n: int, told: str) -> None:
    assert things(n, "file") == told
