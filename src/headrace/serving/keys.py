"""API keys: 256 random bits, shown once, of which the store holds a digest; scoped, expiring, revocable.

The list of a project's keys is one object, changed by compare-and-set. Servers pull it and check a key without any
further read. A key that ended long ago leaves the list, and no server takes one that is not in it; what it was stays in
an object of its own, which no server reads. A fast digest is enough for a secret that nobody can guess (OWASP ASVS 5.0,
6.5.2).
"""

from __future__ import annotations

import hashlib
import re
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Callable, Sequence
from contextlib import suppress
from hmac import compare_digest
from math import isfinite
from typing import Final, Literal

import msgspec

from headrace.serving.errors import KeyLimitInvalid, KeyListMoved, KeyListUnreadable, KeyUnknown, VerbUnknown
from headrace.serving.model import Struct
from headrace.stores.errors import ObjectNotFound
from headrace.stores.objects import ObjectStore

Verb = Literal["predict", "outcomes", "metrics", "admin"]
VERBS: Final[tuple[Verb, ...]] = ("predict", "outcomes", "metrics", "admin")
GRANTED: Final[tuple[Verb, ...]] = ("predict", "outcomes")
"""What a server has routes for: nothing else is given."""
PREFIX: Final = "hr"
_SECRET_BYTES: Final = 32
_ID_BYTES: Final = 6
_ID: Final = re.compile(rf"[0-9a-f]{{{2 * _ID_BYTES}}}")
_TRIES: Final = 20
KEPT_US: Final = 30 * 86_400_000_000
"""A key stays in the list for so long after it has expired, or was revoked and would never have."""
_MOST_KNOWN: Final = 4096
"""Accepted headers that a server remembers."""


class ApiKey(Struct, frozen=True, kw_only=True):
    """What is stored of a key."""

    id: str
    """Public: names the key in lists and logs."""
    sha256: str
    """Of the whole key as it is sent."""
    verbs: tuple[Verb, ...]
    deployments: tuple[str, ...] = ()
    """Which ones it may use; none: every one."""
    expires_us: int | None = None
    revoked_us: int | None = None
    created_us: int
    by: str
    note: str = ""
    rate: float | None = None
    """Requests a second, over all workers of a server; None: no limit of its own."""
    concurrency: int | None = None
    """Requests at a time, likewise."""

    def holds(self, now_us: int) -> bool:
        """Whether it is neither revoked nor expired."""
        return self.revoked_us is None and (self.expires_us is None or now_us < self.expires_us)

    def has_left(self, now_us: int) -> bool:
        """Whether it ended so long ago that servers need not know of it: one that is revoked stays until it would have
        expired by itself, so that a server with any list of before refuses it too."""
        ended_us = self.revoked_us if self.expires_us is None else self.expires_us
        return ended_us is not None and now_us >= ended_us + KEPT_US

    def allows(self, verb: Verb, deployment: str) -> bool:
        """Whether it may do that there."""
        return verb in self.verbs and (not self.deployments or deployment in self.deployments)


class KeyList(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The object that holds a project's keys."""

    format: int = 1
    keys: tuple[ApiKey, ...] = ()
    left: int = 0
    """Changes of keys that are no longer in it."""

    @property
    def changes(self) -> int:
        """How often a key was made or revoked, ever: what a server goes by is as new as this number is high."""
        return self.left + _changes(self.keys)


class Keys:
    """The keys of one project, in the object store.

    Parameters
    ----------
    clock : microseconds since 1970 UTC
    """

    def __init__(self, objects: ObjectStore, project: str, *, clock: Callable[[], int]) -> None:
        self._objects, self._key, self._clock = objects, keys_key(project), clock
        self._ended = f"serving/{project}/ended-keys/"

    def list(self) -> tuple[ApiKey, ...]:
        """Those that servers know of, the oldest first; raises `KeyListUnreadable`."""
        return self.listed().keys

    def listed(self) -> KeyList:
        """The list as servers pull it; raises `KeyListUnreadable`."""
        return self._read()[0]

    def ever(self) -> tuple[ApiKey, ...]:
        """All that were ever made, the oldest first; raises `KeyListUnreadable`."""
        listed = self.list()  # first: one that leaves meanwhile is in both, and never in neither
        found = {info.key: self._read_ended(info.key) for info in self._objects.list(self._ended)}
        every = {key.id: key for key in (*found.values(), *listed)}
        return tuple(sorted(every.values(), key=lambda key: key.created_us))

    def create(
        self,
        *,
        verbs: Sequence[str],
        deployments: Sequence[str] = (),
        lifetime_us: int | None,
        by: str,
        note: str = "",
        rate: float | None = None,
        concurrency: int | None = None,
    ) -> tuple[str, ApiKey]:
        """A new key: what is sent with requests, which is stored nowhere, and what is stored of it.

        Raises
        ------
        VerbUnknown : a verb that is none of `GRANTED`, or no verb at all
        KeyLimitInvalid : a rate that is not above 0, a concurrency below 1
        KeyListUnreadable, KeyListMoved
        """
        for verb in verbs:
            if verb not in GRANTED:
                raise VerbUnknown(verb, GRANTED)
        if not verbs:
            raise VerbUnknown("", GRANTED)
        if rate is not None and not (isfinite(rate) and rate > 0.0):
            raise KeyLimitInvalid("rate", "a number of requests a second above 0", rate)
        if concurrency is not None and concurrency < 1:
            raise KeyLimitInvalid("concurrency", "a number of requests of 1 or more", concurrency)
        name = secrets.token_hex(_ID_BYTES)
        text = f"{PREFIX}_{name}_{urlsafe_b64encode(secrets.token_bytes(_SECRET_BYTES)).rstrip(b'=').decode()}"
        now = self._clock()
        key = ApiKey(
            id=name,
            sha256=digest_of(text.encode()),
            verbs=tuple(verb for verb in GRANTED if verb in verbs),
            deployments=tuple(deployments),
            expires_us=None if lifetime_us is None else now + lifetime_us,
            created_us=now,
            by=by,
            note=note,
            rate=rate,
            concurrency=concurrency,
        )
        self._change(lambda keys: (*keys, key))
        return text, key

    def revoke(self, name: str) -> ApiKey:
        """End a key; once revoked it stays so, and one that ended long ago is as it was. Raises `KeyUnknown`."""
        now = self._clock()
        revoked: dict[str, ApiKey] = {}

        def change(keys: tuple[ApiKey, ...]) -> tuple[ApiKey, ...]:
            found = next((key for key in keys if key.id == name), None)
            if found is None:
                raise KeyUnknown(name, [key.id for key in keys])
            revoked[name] = msgspec.structs.replace(found, revoked_us=found.revoked_us or now)
            return tuple(revoked[name] if key.id == name else key for key in keys)

        try:
            self._change(change)
        except KeyUnknown:
            if not _ID.fullmatch(name):
                raise
            with suppress(ObjectNotFound):
                return self._read_ended(f"{self._ended}{name}.json")
            raise
        return revoked[name]

    def _change(self, change: Callable[[tuple[ApiKey, ...]], tuple[ApiKey, ...]]) -> None:
        for _ in range(_TRIES):
            listed, tag = self._read()
            data = msgspec.json.encode(self._without_ended(change(listed.keys), listed.left))
            if tag is None:
                if self._objects.put_if_absent(self._key, data):
                    return
            elif self._objects.replace(self._key, data, expected=tag):
                return
        raise KeyListMoved(_TRIES)

    def _without_ended(self, keys: tuple[ApiKey, ...], left: int) -> KeyList:
        """The list without those that ended long ago; each is kept before it is gone from there."""
        now = self._clock()
        ended = tuple(key for key in keys if key.has_left(now))
        for key in ended:
            self._objects.put(f"{self._ended}{key.id}.json", msgspec.json.encode(key))
        return KeyList(keys=tuple(key for key in keys if key not in ended), left=left + _changes(ended))

    def _read_ended(self, key: str) -> ApiKey:
        try:
            return msgspec.json.decode(self._objects.get(key), type=ApiKey)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise KeyListUnreadable(key, str(error)) from error

    def _read(self) -> tuple[KeyList, str | None]:
        try:
            data, tag = self._objects.get_tagged(self._key)
        except ObjectNotFound:
            return KeyList(), None
        try:
            found = msgspec.json.decode(data, type=KeyList)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise KeyListUnreadable(self._key, str(error)) from error
        if found.format != 1:
            raise KeyListUnreadable(self._key, f"it has format {found.format}, this release reads format 1")
        return found, tag


def _changes(keys: Sequence[ApiKey]) -> int:
    return len(keys) + sum(key.revoked_us is not None for key in keys)


def keys_key(project: str) -> str:
    """Where a project's keys lie."""
    return f"serving/{project}/keys.json"


def digest_of(text: bytes) -> str:
    """SHA-256, hexadecimal."""
    return hashlib.sha256(text).hexdigest()


class KeyRing:
    """What a server knows of the keys: from an `Authorization` header to the key, if it holds."""

    def __init__(self, keys: Sequence[ApiKey]) -> None:
        self.keys: Final = tuple(keys)
        self._by_id = {key.id.encode(): key for key in keys}
        self._known: dict[bytes, ApiKey] = {}

    def find(self, authorization: bytes, now_us: int) -> ApiKey | None:
        """The key that was sent; None: none of ours, or one that no longer holds."""
        key = self._known.get(authorization)
        if key is None:
            key = self._look_up(authorization)
            if key is None:
                return None
            if len(self._known) < _MOST_KNOWN:
                self._known[authorization] = key
        return key if key.holds(now_us) else None

    def _look_up(self, authorization: bytes) -> ApiKey | None:
        scheme, _, text = authorization.partition(b" ")
        if scheme.lower() != b"bearer":
            return None
        parts = text.split(b"_", 2)
        key = self._by_id.get(parts[1]) if len(parts) == 3 else None
        # as long for an unknown name as for a wrong secret
        expected = key.sha256 if key is not None else _NOBODY
        return key if compare_digest(digest_of(text), expected) and key is not None else None


_NOBODY: Final = "0" * 64
