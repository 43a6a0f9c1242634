"""Online values in Redis (or Valkey): for several machines.

A key is a hash of two *slots*, each a generation and a value. An update writes the slot that readers do not use, then
one command makes its generation the one that counts: so a reader sees all of an update or nothing of it, and an update
that was cut off leaves what the next one overwrites. One lock a space keeps writers apart; it expires when its writer
is gone, and whoever lost it can neither write nor finish, since each script looks at it first. Each read, and each
batch of a write, is one script and one round trip. How durable an update is, is what the server is told to be
(`appendfsync`).
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import islice
from typing import Final
from urllib.parse import urlsplit

from headrace.errors import MissingDependency
from headrace.stores.errors import OnlineBusy, OnlineMoved, StoreFull, StoreUnavailable, UnknownStore
from headrace.stores.online import ANY, Item, Read, checked_key

try:
    import redis
    from redis.backoff import ExponentialBackoff
    from redis.retry import Retry
except ImportError as error:
    raise MissingDependency("redis", extra="redis", needed_for="keeping online values in Redis") from error

LOCK_MS: Final = 30_000
"""How long a writer that was killed keeps others out; one that lives renews its lock."""
TIMEOUT_S: Final = 5.0
BATCH: Final = 500
"""Items written by one script: a fraction of a millisecond of the server's one thread each."""

# A slot is a generation as 16 digits, then "=" and the value, or "-" for a key that was removed. Of a key's slots that
# one counts whose generation is the newest committed; `aborted` lists those that were begun and never committed.
_COUNTS: Final = """
local meta = redis.call('HMGET', KEYS[1], 'generation', 'aborted', 'state')
local newest, aborted = tonumber(meta[1] or '0'), meta[2] or ''
local function counts(key)
  local slots = redis.call('HMGET', key, 'a', 'b')
  local best, at = 0, 0
  for n = 1, 2 do
    if slots[n] then
      local written = string.sub(slots[n], 1, 16)
      local generation = tonumber(written)
      if generation <= newest and generation > best
        and (aborted == '' or not string.find(aborted, written, 1, true)) then best, at = generation, n end
    end
  end
  return at, slots[at]
end
"""
_READ: Final = (
    _COUNTS
    + """
if not meta[1] then return {false} end
local found = {meta[3]}
for i = 2, #KEYS do
  local at, slot = counts(KEYS[i])
  found[i] = at > 0 and string.sub(slot, 17, 17) == '=' and string.sub(slot, 18) or false
end
return found
"""
)
_WRITE: Final = (
    _COUNTS
    + """
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end
redis.call('PEXPIRE', KEYS[2], ARGV[2])
for i = 3, #KEYS do
  redis.call('HSET', KEYS[i], counts(KEYS[i]) == 1 and 'b' or 'a', ARGV[3] .. ARGV[i + 1])
end
return 1
"""
)
_COMMIT: Final = """
if redis.call('HGET', KEYS[1], 'generation') == ARGV[2] then return 1 end  -- asked again: the answer was lost
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end
local before = redis.call('HMGET', KEYS[1], 'generation', 'aborted')
local aborted = before[2] or ''
for generation = tonumber(before[1] or '0') + 1, tonumber(ARGV[2]) - 1 do
  aborted = aborted .. string.format('%016d', generation) .. ','
end
redis.call('HSET', KEYS[1], 'generation', ARGV[2], 'state', ARGV[3], 'aborted', aborted)
redis.call('DEL', KEYS[2])
return 1
"""
_RENEW: Final = "return redis.call('GET', KEYS[1]) == ARGV[1] and redis.call('PEXPIRE', KEYS[1], ARGV[2]) or 0"
_UNLOCK: Final = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"


class RedisOnlineStore:
    """The `OnlineStore` on a Redis server."""

    waits = True

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._name = f"{parts.scheme}://{parts.hostname or ''}"
        try:
            self._redis = redis.Redis.from_url(
                url,
                protocol=2,
                decode_responses=False,
                socket_timeout=TIMEOUT_S,
                socket_connect_timeout=TIMEOUT_S,
                socket_keepalive=True,
                retry=Retry(ExponentialBackoff(cap=0.1, base=0.01), 2),
            )
        except ValueError as error:
            raise UnknownStore(self._name, "expected redis://[USER:PASSWORD@]HOST:PORT/DATABASE") from error
        script = self._redis.register_script
        self._read, self._write, self._commit = script(_READ), script(_WRITE), script(_COMMIT)
        self._unlock, self._renew = script(_UNLOCK), script(_RENEW)

    def read(self, space: str, keys: Sequence[bytes]) -> Read:
        prefix = _prefix(space)
        with self._trouble():
            state, *values = self._read(keys=[prefix + b"meta", *(prefix + b"v:" + key for key in keys)])
        return Read(state, values if state is not None else [None] * len(keys))

    def update(self, space: str, items: Iterable[Item], state: bytes, *, expected: object = ANY) -> int:
        prefix = _prefix(space)
        meta, lock, token = prefix + b"meta", prefix + b"lock", secrets.token_hex(16).encode()
        with self._trouble():
            is_free = self._redis.set(lock, token, nx=True, px=LOCK_MS)
            if not is_free and self._redis.get(lock) != token:  # ours, if the answer was lost and it was asked again
                raise OnlineBusy(self._name, space)
            try:
                if expected is not ANY and self._redis.hget(meta, "state") != expected:
                    raise OnlineMoved(self._name, space)
                with self._holding(lock, token):
                    generation = f"{self._redis.incr(prefix + b'generations'):016d}".encode()
                    count = 0
                    rest = iter(items)
                    while batch := list(islice(rest, BATCH)):
                        named = [prefix + b"v:" + checked_key(key) for key, _ in batch]
                        values = [b"-" if value is None else b"=" + value for _, value in batch]
                        if not self._write(keys=[meta, lock, *named], args=[token, LOCK_MS, generation, *values]):
                            raise OnlineBusy(self._name, space)
                        count += len(batch)
                    if not self._commit(keys=[meta, lock], args=[token, generation, state]):
                        raise OnlineBusy(self._name, space)
            except BaseException:
                self._unlock(keys=[lock], args=[token])
                raise
        return count

    def purge(self, space: str, prefix: bytes) -> int:
        with self._trouble():
            return sum(int(self._redis.unlink(*keys)) for keys in self._names(_prefix(space) + b"v:" + prefix))

    def size(self, space: str) -> int:
        prefix = _prefix(space)
        with self._trouble():
            found = 0
            for names in self._names(prefix + b"v:"):
                values: list[bytes | None] = self._read(keys=[prefix + b"meta", *names])
                found += sum(value is not None for value in values[1:])
            return found

    def close(self) -> None:
        self._redis.close()

    def _names(self, prefix: bytes) -> Iterator[list[bytes]]:
        """All keys that begin with a prefix, some at a time."""
        pattern = b"".join(b"\\" + bytes([c]) if chr(c) in "*?[]\\^" else bytes([c]) for c in prefix)
        seen: set[bytes] = set()
        names = iter(self._redis.scan_iter(match=pattern + b"*", count=1000))
        while some := list(islice(names, BATCH)):
            fresh = [name for name in some if name not in seen]  # a scan may give a key twice
            seen.update(fresh)
            if fresh:
                yield fresh

    @contextmanager
    def _holding(self, lock: bytes, token: bytes) -> Iterator[None]:
        """Renew the lock while the block runs, however long the items take to be made."""
        done = threading.Event()

        def renew() -> None:
            while not done.wait(LOCK_MS / 3000):
                with suppress(redis.exceptions.RedisError):  # the next write says what is wrong
                    self._renew(keys=[lock], args=[token, LOCK_MS])

        keeper = threading.Thread(target=renew, name="online-lock", daemon=True)
        keeper.start()
        try:
            yield
        finally:
            done.set()
            keeper.join()

    @contextmanager
    def _trouble(self) -> Iterator[None]:
        try:
            yield
        except redis.exceptions.OutOfMemoryError as error:
            raise StoreFull(self._name) from error
        except redis.exceptions.ResponseError as error:
            if "OOM" in str(error):
                raise StoreFull(self._name) from error
            raise StoreUnavailable(self._name, str(error)) from error
        except redis.exceptions.RedisError as error:
            raise StoreUnavailable(self._name, str(error)) from error


def _prefix(space: str) -> bytes:
    return f"headrace:{len(space)}:{space}:".encode()  # the length: no space's names begin with another's
