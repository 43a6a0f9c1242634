"""Who acts."""

from __future__ import annotations

import os

import pytest

from headrace.governance.users import user_name

NOBODY = 54_321


def test_a_user_without_a_name_is_told_by_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a packed container runs."""
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: NOBODY)
    assert user_name() == str(NOBODY)
    monkeypatch.setenv("USER", "ann")
    assert user_name() == "ann"
