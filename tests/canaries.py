"""Secrets that are looked for afterwards: in plain, as a URL, JSON, base64 or hexadecimal would hold them."""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import quote, quote_plus

import polars as pl


def forms(secret: str) -> set[bytes]:
    """How bytes may hold a secret."""
    raw = secret.encode()
    quoted = {secret, quote(secret), quote(secret, safe=""), quote_plus(secret), json.dumps(secret)[1:-1], raw.hex()}
    lowered = {re.sub("%[0-9A-F]{2}", lambda m: m[0].lower(), text) for text in quoted}
    return {text.encode() for text in quoted | lowered} | set(_in_base64(raw))


def _in_base64(raw: bytes) -> Iterator[bytes]:
    """What base64 has of them wherever they begin in what is encoded: the characters that no neighbour decides."""
    for before in range(3):
        first, beyond = -(-before * 8 // 6), (before + len(raw)) * 8 // 6
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            yield encode(b"\0" * before + raw)[first:beyond]


def told(held: bytes, secrets: Iterable[str]) -> list[str]:
    """The secrets that bytes hold in any form; of a Parquet file, its cells too."""
    if held[:4] == b"PAR1":
        held += pl.read_parquet(io.BytesIO(held)).write_json().encode()
    return [secret for secret in secrets if any(form in held for form in forms(secret))]


def told_in_folder(folder: Path, secrets: Iterable[str], *, but: Path) -> dict[str, list[str]]:
    """File → the secrets that it holds, its name counted in; `but` is where one is on purpose."""
    every = list(secrets)
    found = {}
    for path in folder.rglob("*"):
        if path.is_file() and path != but:
            found[str(path)] = told(str(path).encode(), every) + told(path.read_bytes(), every)
    return {name: secrets for name, secrets in found.items() if secrets}
