"""Who may ask: the names that a server answers under, API keys, what each may do, and how much of it at a time."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

from headrace.serving.http.asked import ReleaseKey
from headrace.serving.http.connection import Request
from headrace.serving.http.quota import Quota
from headrace.serving.http.responses import Problem
from headrace.serving.keys import ApiKey, KeyRing, Verb

ID: Final = re.compile(rb"[A-Za-z0-9._:-]{1,128}")
_MOST_HOSTS: Final = 64


class Gate:
    """One worker's.

    Parameters
    ----------
    hosts : what a `Host` header may say, in lower case, without a port; none: whatever it likes
    clock : microseconds since 1970 UTC
    """

    def __init__(self, hosts: frozenset[bytes], quota: Quota | None, *, clock: Callable[[], int]) -> None:
        self._hosts, self._quota, self._clock = hosts, quota, clock
        self._hosts_seen: set[bytes] = set()
        self._ring = KeyRing(())

    def install(self, ring: KeyRing) -> None:
        """From now on these keys hold."""
        if self._quota is not None:
            self._quota.install(ring.keys)
        self._ring = ring

    def check_host(self, host: bytes | None) -> None:
        if not self._hosts or host in self._hosts_seen:
            return
        if host is None:
            raise Problem(400, "host-missing", "a request has a Host header", close=True)
        name = host.rpartition(b":")[0] if re.search(rb":\d*$", host) else host
        if name.lower() not in self._hosts:
            raise Problem(
                421,
                "host-not-served",
                "this server does not answer under that name",
                fix="add the name to hosts under [serving], or ask by one that is there",
                close=True,
            )
        if len(self._hosts_seen) < _MOST_HOSTS:
            self._hosts_seen.add(host)

    def known_key(self, headers: Mapping[bytes, bytes]) -> ApiKey:
        """The key that was sent, if it is one that holds; raises `Problem`."""
        authorization = headers.get(b"authorization")
        key = None if authorization is None else self._ring.find(authorization, self._clock())
        if key is None:
            what = "no API key was sent" if authorization is None else "the API key is not known, or no longer holds"
            raise Problem(
                401,
                "not-authenticated",
                what,
                fix="send `Authorization: Bearer KEY`; headrace keys create makes one",
                headers=(b"www-authenticate: Bearer",),
            )
        return key

    def may(self, request: Request, verb: Verb) -> ApiKey:
        """The key that was sent, if it may do that anywhere; raises `Problem`."""
        key = self.known_key(request.headers)
        if verb not in key.verbs:
            raise Problem(403, "not-allowed", f"this API key may not {verb}", facts={"key": key.id})
        return key

    def allowed(self, request: Request, verb: Verb, deployment: str) -> ApiKey:
        """The key that was sent, if it may do that; raises `Problem`."""
        key = self.known_key(request.headers)
        if not key.allows(verb, deployment):
            raise Problem(403, "not-allowed", f"this API key may not {verb} here", facts={"key": key.id})
        return key

    def take_turn(self, key: ApiKey) -> ReleaseKey | None:
        """One request of a key; what is to be called when it is answered. Raises `Problem` where it is one too many."""
        return None if self._quota is None else self._quota.take(key)


def is_limited(key: ApiKey) -> bool:
    """Whether a key has limits of its own."""
    return key.rate is not None or key.concurrency is not None


def check_id(name: bytes) -> None:
    """Raise `Problem` unless a request may be called so."""
    if not ID.fullmatch(name):
        raise Problem(400, "request-id-invalid", "a request's id has 1 to 128 of A-Z, a-z, 0-9, . _ : -")
