"""The promises of an `OnlineStore` as tests: subclass and give the fixtures.

`OnlineStoreSuite` is for every adapter. `SharedOnlineStoreSuite` adds what holds between processes: readers beside a
writer, writers that are killed in mid update, writers that race. An adapter is opened anew in each process by calling
the picklable `opener`.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from multiprocessing.connection import Connection
from typing import TypeAlias

import pytest

from headrace.stores.errors import OnlineBusy, OnlineMoved
from headrace.stores.online import MOST_KEY_BYTES, Item, OnlineStore
from headrace.testing.processes import race, said, working

Opener: TypeAlias = Callable[[], OnlineStore]

SPACE = "project-a"
N_KEYS = 2_000
N_PROCESSES = 8


class OnlineStoreSuite:
    """What every `OnlineStore` promises."""

    @pytest.fixture
    def opener(self) -> Opener:
        """A picklable function that opens one and the same store, empty at the beginning of the test."""
        raise NotImplementedError

    @pytest.fixture
    def store(self, opener: Opener) -> Iterator[OnlineStore]:
        opened = opener()
        yield opened
        opened.close()

    def test_a_space_that_was_never_written_has_no_state_and_no_values(self, store: OnlineStore) -> None:
        assert store.read(SPACE, [b"a", b"b"]) == (None, [None, None])
        assert store.size(SPACE) == 0

    def test_what_was_written_is_read_in_the_order_asked_for(self, store: OnlineStore) -> None:
        assert store.update(SPACE, [(b"a", b"1"), (b"b", b""), (b"c", b"3")], b"first") == 3
        assert store.read(SPACE, [b"c", b"?", b"a", b"b", b"a"]) == (b"first", [b"3", None, b"1", b"", b"1"])
        assert store.read(SPACE, []) == (b"first", [])
        assert store.size(SPACE) == 3

    def test_an_update_keeps_other_keys_and_none_removes_one(self, store: OnlineStore) -> None:
        store.update(SPACE, [(b"a", b"1"), (b"b", b"2")], b"first")
        store.update(SPACE, [(b"b", None), (b"c", b"3"), (b"absent", None)], b"second")
        assert store.read(SPACE, [b"a", b"b", b"c"]) == (b"second", [b"1", None, b"3"])
        store.update(SPACE, [(b"b", b"again")], b"third")
        assert store.read(SPACE, [b"a", b"b", b"c"]) == (b"third", [b"1", b"again", b"3"])
        assert store.size(SPACE) == 3

    def test_purging_removes_what_begins_with_a_prefix_and_keeps_the_state(self, store: OnlineStore) -> None:
        store.update(
            SPACE, [(b"old*%d" % n, b"x") for n in range(1_500)] + [(b"old", b"1"), (b"older", b"2")], b"first"
        )
        assert store.purge(SPACE, b"old*") == 1_500
        assert store.read(SPACE, [b"old*0", b"old", b"older"]) == (b"first", [None, b"1", b"2"])
        assert store.purge(SPACE, b"old*") == 0
        assert store.purge("elsewhere", b"") == 0
        store.update(SPACE, [(b"old*0", b"again")], b"second")
        assert store.read(SPACE, [b"old*0", b"old*1", b"old"]) == (b"second", [b"again", None, b"1"])

    def test_of_one_key_written_twice_the_later_value_stays(self, store: OnlineStore) -> None:
        store.update(SPACE, [(b"a", b"1"), (b"a", b"2")], b"first")
        assert store.read(SPACE, [b"a"]).values == [b"2"]
        store.update(SPACE, [(b"a", b"3"), (b"a", None)], b"second")
        assert store.read(SPACE, [b"a"]).values == [None]
        store.update(SPACE, [(b"a", None), (b"a", b"4"), (b"a", b"5")], b"third")
        assert store.read(SPACE, [b"a"]).values == [b"5"]

    def test_spaces_know_nothing_of_each_other(self, store: OnlineStore) -> None:
        store.update("one", [(b"a", b"1")], b"one")
        store.update("one*", [(b"a", b"2")], b"two")
        store.update("one:v", [(b"a", b"3"), (b"b", b"4")], b"three")
        assert [store.read(space, [b"a", b"b"]) for space in ("one", "one*", "one:v", "on")] == [
            (b"one", [b"1", None]),
            (b"two", [b"2", None]),
            (b"three", [b"3", b"4"]),
            (None, [None, None]),
        ]
        assert [store.size(space) for space in ("one", "one*", "one:v", "on")] == [1, 1, 2, 0]

    def test_keys_and_values_are_any_bytes(self, store: OnlineStore) -> None:
        every = bytes(range(256))
        keys = [every, b"\0", b"*?[a]\\^", b":v:", b"a" * MOST_KEY_BYTES, every[::-1]]
        store.update(SPACE, [(key, key[::-1]) for key in keys], every)
        assert store.read(SPACE, keys) == (every, [key[::-1] for key in keys])
        store.update(SPACE, [(keys[0], bytes(1 << 20))], b"")
        assert store.read(SPACE, [keys[0]]) == (b"", [bytes(1 << 20)])

    @pytest.mark.parametrize("key", [b"", b"a" * (MOST_KEY_BYTES + 1)])
    def test_a_key_that_some_adapter_cannot_hold_is_refused(self, store: OnlineStore, key: bytes) -> None:
        store.update(SPACE, [(b"a", b"1")], b"first")
        with pytest.raises(ValueError, match="bytes"):
            store.update(SPACE, [(b"a", b"2"), (key, b"3")], b"second")
        assert store.read(SPACE, [b"a"]) == (b"first", [b"1"])

    def test_an_update_that_fails_in_the_middle_leaves_nothing_now_or_later(self, store: OnlineStore) -> None:
        store.update(SPACE, _numbered(b"old", N_KEYS), b"first")

        def broken() -> Iterator[Item]:
            yield from _numbered(b"bad", N_KEYS - 1)
            raise RuntimeError("half way")

        for _ in range(2):
            with pytest.raises(RuntimeError, match="half way"):
                store.update(SPACE, broken(), b"second")
            assert _values(store) == (b"first", {b"old"})
        store.update(SPACE, [(b"%d" % (N_KEYS - 1), b"new")], b"third")
        state, values = store.read(SPACE, [b"%d" % number for number in range(N_KEYS)])
        assert (state, set(values[:-1]), values[-1]) == (b"third", {b"old"}, b"new")
        store.update(SPACE, _numbered(b"last", N_KEYS), b"fourth")
        assert _values(store) == (b"fourth", {b"last"})

    def test_a_writer_whose_state_is_not_the_one_it_worked_from_changes_nothing(self, store: OnlineStore) -> None:
        def never() -> Iterator[Item]:
            for number in range(1):
                assert number < 0, "nothing is made in vain"
                yield b"a", b"?"

        with pytest.raises(OnlineMoved):
            store.update(SPACE, never(), b"first", expected=b"other")
        store.update(SPACE, [(b"a", b"1")], b"first", expected=None)
        store.update(SPACE, [(b"a", b"2")], b"second", expected=b"first")
        for expected in (None, b"first"):
            with pytest.raises(OnlineMoved):
                store.update(SPACE, never(), b"third", expected=expected)
        assert store.read(SPACE, [b"a"]) == (b"second", [b"2"])
        store.update(SPACE, [(b"a", b"3")], b"third", expected=b"second")
        assert store.read(SPACE, [b"a"]) == (b"third", [b"3"])

    def test_many_updates_one_after_the_other_all_count(self, store: OnlineStore) -> None:
        for number in range(40):
            items = [(b"%d" % (number % 3), b"%d" % number)]
            store.update(SPACE, items, b"%d" % number)
        assert store.read(SPACE, [b"0", b"1", b"2"]) == (b"39", [b"39", b"37", b"38"])

    def test_threads_share_an_instance(self, store: OnlineStore) -> None:
        store.update(SPACE, _numbered(b"x", N_KEYS), b"s")
        with ThreadPoolExecutor(8) as pool:
            for state, values in pool.map(lambda n: store.read(SPACE, [b"%d" % n, b"?"]), range(N_KEYS)):
                assert (state, values) == (b"s", [b"x", None])

    def test_another_instance_sees_what_was_written_and_outlives_the_first(
        self, store: OnlineStore, opener: Opener
    ) -> None:
        other = opener()
        store.update(SPACE, [(b"a", b"1")], b"first")
        assert other.read(SPACE, [b"a"]) == (b"first", [b"1"])
        store.close()
        assert other.read(SPACE, [b"a"]) == (b"first", [b"1"])
        other.close()
        with closing(opener()) as third:
            assert third.read(SPACE, [b"a"]) == (b"first", [b"1"])


class SharedOnlineStoreSuite(OnlineStoreSuite):
    """What an `OnlineStore` promises between processes."""

    @pytest.fixture
    def unlock(self) -> Callable[[], None]:
        """Makes the store forget a writer that was killed, where that takes time; most need nothing."""
        return lambda: None

    def test_a_reader_beside_a_writer_sees_whole_updates_only(self, store: OnlineStore, opener: Opener) -> None:
        store.update(SPACE, _numbered(b"0", N_KEYS), b"0")
        seen = set()
        with working(_write_for_ever, opener) as heard:
            assert heard.poll(60)
            give_up = time.monotonic() + 2
            while time.monotonic() < give_up:
                state, values = _values(store)
                assert values == {state}
                seen.add(state)
        assert len(seen) > 1

    @pytest.mark.parametrize("after_s", [0.0, 0.01, 0.03, 0.1])
    def test_a_killed_writer_leaves_the_last_whole_update(
        self, store: OnlineStore, opener: Opener, unlock: Callable[[], None], after_s: float
    ) -> None:
        with working(_write_for_ever, opener) as heard:
            assert heard.poll(60)
            time.sleep(after_s)
        told = max(said(heard))
        state, values = _values(store)
        assert state is not None
        assert values == {state}
        assert int(state) >= told
        unlock()
        store.update(SPACE, [(b"0", b"after")], b"after")
        after, kept = store.read(SPACE, [b"%d" % number for number in range(N_KEYS)])
        assert (after, kept[0], set(kept[1:])) == (b"after", b"after", {state})

    def test_racing_writers_never_mix(self, store: OnlineStore, opener: Opener) -> None:
        wrote = race(N_PROCESSES, _write_once, opener)
        assert any(wrote)
        state, values = _values(store)
        assert state is not None
        assert values == {state}
        assert wrote[int(state)]


def _numbered(value: bytes, count: int) -> Iterator[Item]:
    for number in range(count):
        yield b"%d" % number, value


def _values(store: OnlineStore) -> tuple[bytes | None, set[bytes | None]]:
    state, values = store.read(SPACE, [b"%d" % number for number in range(N_KEYS)])
    return state, set(values)


def _write_for_ever(say: Connection, opener: Opener) -> None:
    store = opener()
    for number in itertools.count(1):
        value = b"%d" % number
        store.update(SPACE, _numbered(value, N_KEYS), value)
        say.send(number)


def _write_once(number: int, opener: Opener) -> bool:
    value = b"%d" % number
    try:
        opener().update(SPACE, _numbered(value, N_KEYS), value)
    except OnlineBusy:
        return False
    return True
