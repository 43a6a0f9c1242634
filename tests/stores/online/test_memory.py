"""Online values in memory."""

from __future__ import annotations

import pytest

from headrace.testing.memory_online import MemoryOnlineStore
from headrace.testing.online import OnlineStoreSuite, Opener


class TestMemoryOnlineStore(OnlineStoreSuite):
    @pytest.fixture
    def opener(self) -> Opener:
        one = MemoryOnlineStore()
        return lambda: one
