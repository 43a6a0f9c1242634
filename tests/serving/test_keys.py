"""API keys: what is stored, what holds, and for how long."""

from __future__ import annotations

import threading

import pytest

from headrace.serving.errors import KeyListUnreadable, KeyUnknown, VerbUnknown
from headrace.serving.keys import KeyRing, Keys, keys_key
from headrace.testing.memory_objects import MemoryObjectStore

DAY = 86_400_000_000


class Clock:
    def __init__(self) -> None:
        self.now = 1_790_000_000_000_000

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def objects() -> MemoryObjectStore:
    return MemoryObjectStore()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def keys(objects: MemoryObjectStore, clock: Clock) -> Keys:
    return Keys(objects, "p", clock=clock)


def header(text: str) -> bytes:
    return f"Bearer {text}".encode()


def test_a_key_is_found_by_what_is_sent_and_is_stored_nowhere(
    keys: Keys, objects: MemoryObjectStore, clock: Clock
) -> None:
    text, key = keys.create(verbs=("predict",), deployments=("d",), lifetime_us=DAY, by="ann")
    assert len(text.split("_", 2)[2]) == 43  # 256 bits
    assert text.encode() not in objects.get(keys_key("p"))
    assert text.split("_", 2)[2].encode() not in objects.get(keys_key("p"))
    ring = KeyRing(keys.list())
    for _ in range(2):  # the second time it is remembered
        assert ring.find(header(text), clock.now) == key
    assert key.allows("predict", "d")
    assert not key.allows("predict", "other")
    assert not key.allows("outcomes", "d")


def test_two_keys_are_never_alike(keys: Keys) -> None:
    assert len({keys.create(verbs=("predict",), lifetime_us=None, by="ann")[0] for _ in range(50)}) == 50
    assert len(keys.list()) == 50


@pytest.mark.parametrize(
    "sent", ["", "Bearer", "Bearer ", "Basic {}", "{}", "Bearer x{}", "Bearer {}x", "Bearer hr_{id}_x"]
)
def test_anything_else_finds_nothing(keys: Keys, clock: Clock, sent: str) -> None:
    text, key = keys.create(verbs=("predict",), lifetime_us=None, by="ann")
    assert KeyRing(keys.list()).find(sent.format(text, id=key.id).encode(), clock.now) is None


def test_a_key_ends_when_it_expires_also_where_it_is_remembered(keys: Keys, clock: Clock) -> None:
    text, _ = keys.create(verbs=("predict",), lifetime_us=DAY, by="ann")
    ring = KeyRing(keys.list())
    assert ring.find(header(text), clock.now + DAY - 1) is not None
    assert ring.find(header(text), clock.now + DAY) is None


def test_a_revoked_key_no_longer_holds_and_stays_revoked(keys: Keys, clock: Clock) -> None:
    text, key = keys.create(verbs=("predict",), lifetime_us=None, by="ann")
    revoked = keys.revoke(key.id)
    assert revoked.revoked_us == clock.now
    clock.now += 5
    assert keys.revoke(key.id) == revoked
    assert KeyRing(keys.list()).find(header(text), clock.now) is None
    with pytest.raises(KeyUnknown):
        keys.revoke("nobody")


def test_keys_made_at_the_same_time_are_all_kept(keys: Keys) -> None:
    threads = [
        threading.Thread(target=lambda: keys.create(verbs=("predict",), lifetime_us=None, by="ann")) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({key.id for key in keys.list()}) == 8


@pytest.mark.parametrize("stored", [b'{"keys":[],"extra":1}', b"{", b"\xff", b'{"keys":[],"format":2}', b""])
def test_a_list_of_another_form_is_named_and_never_overwritten(
    keys: Keys, objects: MemoryObjectStore, stored: bytes
) -> None:
    objects.put(keys_key("p"), stored)
    with pytest.raises(KeyListUnreadable, match=r"serving/p/keys\.json"):
        keys.list()
    with pytest.raises(KeyListUnreadable):
        keys.create(verbs=("predict",), lifetime_us=None, by="ann")
    assert objects.get(keys_key("p")) == stored


@pytest.mark.parametrize("verbs", [("metrics",), ("predict", "admin"), ("Predict",), ()])
def test_a_key_is_given_nothing_that_no_server_does(keys: Keys, verbs: tuple[str, ...]) -> None:
    with pytest.raises(VerbUnknown, match="predict or outcomes"):
        keys.create(verbs=verbs, lifetime_us=None, by="ann")
    assert keys.list() == ()
