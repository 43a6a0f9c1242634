"""Which strings are keys: the same for every adapter, so that what one store takes all stores take."""

from __future__ import annotations

import re

from headrace.stores.errors import InvalidKey

_SEGMENT = r"(?!\.{1,2}(?:/|\Z))[A-Za-z0-9._=-]{1,200}"
_KEY = re.compile(rf"{_SEGMENT}(?:/{_SEGMENT})*\Z")
_PREFIX = re.compile(rf"(?:{_SEGMENT}/)*(?:[A-Za-z0-9._=-]{{1,200}})?\Z")
MAX_KEY_LENGTH = 800
"""S3 allows 1,024 bytes of key, a prefix of the store's own included."""


def safe_key(key: str) -> str:
    """The key itself, or `InvalidKey`."""
    if len(key) > MAX_KEY_LENGTH or not _KEY.match(key):
        raise InvalidKey(key)
    return key


def safe_prefix(prefix: str) -> str:
    """The beginning of a key, not necessarily whole segments; `InvalidKey` if no key can begin like that."""
    if len(prefix) > MAX_KEY_LENGTH or not _PREFIX.match(prefix):
        raise InvalidKey(prefix)
    return prefix
