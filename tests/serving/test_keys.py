"""API keys: what is stored, what holds, and for how long."""

from __future__ import annotations

import threading

import msgspec
import pytest

from headrace.serving.errors import KeyListUnreadable, KeyUnknown, VerbUnknown
from headrace.serving.keys import KEPT_US, KeyRing, Keys, keys_key
from headrace.stores.errors import StoreUnavailable
from headrace.testing.faults import FlakyObjectStore
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


def test_a_key_that_ended_long_ago_leaves_the_list_and_is_known_for_ever(keys: Keys, clock: Clock) -> None:
    lifetimes = {"short": DAY, "long": 90 * DAY, "ever": None, "stays": None}
    made = {}
    for name, lifetime_us in lifetimes.items():
        made[name] = keys.create(verbs=("predict",), lifetime_us=lifetime_us, by="ann", note=name)
        clock.now += 1
    oldest = KeyRing(keys.list())
    for name in ("short", "long", "ever"):
        keys.revoke(made[name][1].id)
    began, before, changes, listed = clock.now, KeyRing(keys.list()), keys.listed().changes, {}
    for day in (29, 30, 31, 119, 120):
        clock.now = began + day * DAY
        text, key = keys.create(verbs=("predict",), lifetime_us=None, by="ann", note="new")
        keys.revoke(key.id)
        listed[day] = [each.note for each in keys.list() if each.note != "new"]
        assert keys.listed().changes == changes + 2 * len(listed), "it never goes back"
        now = KeyRing(keys.list())
        for name in ("short", "long", "ever"):  # neither who knows the newest list takes it, nor who knows an old one
            assert [ring.find(header(made[name][0]), clock.now) for ring in (now, before)] == [None, None]
        for name in {"short", "long"} - set(listed[day]):  # nor who has not heard of its end at all
            assert oldest.find(header(made[name][0]), clock.now) is None
        assert now.find(header(text), clock.now) is None
        assert now.find(header(made["stays"][0]), clock.now) == made["stays"][1]
    assert listed == {
        29: ["short", "long", "ever", "stays"],
        30: ["short", "long", "stays"],  # "ever" would never have expired: it goes by when it was revoked
        31: ["long", "stays"],
        119: ["long", "stays"],
        120: ["stays"],
    }
    every = {each.note: each for each in keys.ever() if each.note != "new"}
    assert list(every) == list(lifetimes)
    for name in ("short", "long", "ever"):
        assert every[name].revoked_us == began
        assert msgspec.structs.replace(every[name], revoked_us=None) == made[name][1]
    assert keys.revoke(made["short"][1].id) == every["short"], "it has ended already"
    for unknown in ("../keys", "0" * 12):
        with pytest.raises(KeyUnknown):
            keys.revoke(unknown)


def test_a_key_that_expired_leaves_the_list_too(keys: Keys, clock: Clock) -> None:
    text, key = keys.create(verbs=("predict",), lifetime_us=DAY, by="ann")
    clock.now += DAY + KEPT_US - 1
    keys.create(verbs=("predict",), lifetime_us=None, by="ann")
    assert key in keys.list()
    clock.now += 1
    ended = keys.revoke(key.id)  # it leaves with this very change
    assert ended.revoked_us == clock.now
    assert key.id not in {each.id for each in keys.list()}
    assert ended in keys.ever()
    assert keys.listed().changes == 3
    assert KeyRing(keys.list()).find(header(text), clock.now) is None


@pytest.mark.parametrize("call", range(4))
@pytest.mark.parametrize("after", [False, True])
def test_a_key_is_kept_before_it_leaves(objects: MemoryObjectStore, clock: Clock, call: int, after: bool) -> None:
    """Wherever the store fails meanwhile, before or after it has done what it was told."""
    keys = Keys(objects, "p", clock=clock)
    made = {keys.create(verbs=("predict",), lifetime_us=DAY, by="ann")[1].id for _ in range(2)}
    clock.now += DAY + KEPT_US
    flaky = Keys(FlakyObjectStore(objects, fail_calls={call}, after=after), "p", clock=clock)
    with pytest.raises(StoreUnavailable):
        flaky.create(verbs=("predict",), lifetime_us=None, by="ann")
    ever = [key.id for key in keys.ever()]
    assert made <= set(ever)
    assert len(set(ever)) == len(ever)
    keys.create(verbs=("predict",), lifetime_us=None, by="ann")
    assert not made & {key.id for key in keys.list()}
    assert made <= {key.id for key in keys.ever()}
    assert keys.listed().changes == 3 + (call == 3 and after)


@pytest.mark.parametrize("stored", [b"{", b'{"id": "x"}', b"\xff"])
def test_one_that_ended_and_cannot_be_read_is_named(keys: Keys, objects: MemoryObjectStore, stored: bytes) -> None:
    objects.put("serving/p/ended-keys/0123456789ab.json", stored)
    for ask in (keys.ever, lambda: keys.revoke("0123456789ab")):
        with pytest.raises(KeyListUnreadable, match="ended-keys/0123456789ab"):
            ask()


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
