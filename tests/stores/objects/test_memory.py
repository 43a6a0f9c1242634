"""The in-memory store keeps the promises, which keeps the suite honest."""

from __future__ import annotations

from pathlib import Path

import pytest

from headrace.stores.objects import ObjectStore
from headrace.testing.damage import Mutation
from headrace.testing.memory_objects import MemoryObjectStore
from headrace.testing.objects import Damage, ObjectStoreSuite, Opener


class TestMemoryObjectStore(ObjectStoreSuite):
    @pytest.fixture
    def opener(self, tmp_path: Path) -> Opener:
        store = MemoryObjectStore()
        return lambda: store

    @pytest.fixture
    def damage(self, opener: Opener) -> Damage:
        store: ObjectStore = opener()

        def change(key: str, mutation: Mutation) -> None:
            store.put(key, mutation(store.get(key)))

        return change
