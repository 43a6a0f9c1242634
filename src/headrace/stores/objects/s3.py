"""Objects on any S3-compatible server, through obstore.

"One winner" is the server's conditional put (`If-None-Match: *`, `If-Match: etag`). A request that is sent again
after a lost answer is refused by its own first copy; each write carries a random name, so a refused writer sees
whether the blob that is there is its own. Order, prefixes and key rules are those of the local store: servers differ
in all three.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError
from obstore.store import S3Store

from headrace.stores.durable import CHUNK_BYTES, from_os_error
from headrace.stores.errors import InvalidKey, ObjectCorrupted, ObjectNotFound, StoreUnavailable, UnknownStore
from headrace.stores.objects import ObjectInfo, ScanTarget
from headrace.stores.objects.keys import safe_key, safe_prefix

if TYPE_CHECKING:
    from obstore import PutMode
    from obstore.store import ClientConfig, S3Config

PART_BYTES = 8 << 20
"""A file larger than this goes up in parts of this size; S3 takes 10,000 parts, so 80 GB a blob."""

_WRITER = "headrace-writer"
_CLIENT: ClientConfig = {"connect_timeout": "5s", "read_timeout": "30s", "timeout": "30min"}
_RETRIES = 8
_CODE = re.compile(r"<Code>(\w+)</Code>")
_NO_BUCKET = "NoSuchBucket"


class S3ObjectStore:
    """The `ObjectStore` under one prefix of a bucket.

    Parameters
    ----------
    url
        `s3://BUCKET/PREFIX`; the bucket exists.
    env
        `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`, `AWS_REGION` or `AWS_DEFAULT_REGION`,
        `AWS_ENDPOINT_URL_S3` or `AWS_ENDPOINT_URL`. An endpoint without TLS is taken on loopback, elsewhere only with
        `AWS_ALLOW_HTTP=true`.
    """

    def __init__(self, url: str, env: Mapping[str, str]) -> None:
        parts = urlsplit(url)
        prefix = parts.path.strip("/")
        if not parts.netloc or "@" in parts.netloc or parts.query or parts.fragment:
            raise UnknownStore(url.partition("?")[0], "it should read s3://BUCKET/PREFIX")
        if prefix:
            safe_key(prefix)
        self._url = f"s3://{parts.netloc}" + (f"/{prefix}" if prefix else "")
        self._config = _config(env)
        self._allow_http = _allow_http(self._url, self._config.get("endpoint"), env)
        self._store = S3Store(
            parts.netloc,
            prefix=prefix or None,
            config=self._config,
            client_options={**_CLIENT, "allow_http": self._allow_http},
            retry_config={"max_retries": _RETRIES},
        )

    def put(self, key: str, data: bytes) -> None:
        with self._translated(key):
            obstore.put(self._store, safe_key(key), data, mode="overwrite", use_multipart=False)

    def put_if_absent(self, key: str, data: bytes) -> bool:
        return self._put_if(key, data, "create")

    def put_file_if_absent(self, key: str, path: Path) -> bool:
        try:
            size = path.stat().st_size
        except OSError as error:
            raise from_os_error(error, str(path)) from error
        if self.exists(key):  # else a large file would go up in vain
            return False
        return self._put_if(key, path if size > PART_BYTES else path.read_bytes(), "create")

    def replace(self, key: str, data: bytes, *, expected: str) -> bool:
        return self._put_if(key, data, {"e_tag": expected})

    def get(self, key: str) -> bytes:
        return self.get_tagged(key)[0]

    def get_tagged(self, key: str) -> tuple[bytes, str]:
        with self._translated(key):
            found = obstore.get(self._store, safe_key(key))
            return found.bytes().to_bytes(), str(found.meta["e_tag"])

    def get_verified(self, key: str, sha256: str) -> bytes:
        data = self.get(key)
        found = hashlib.sha256(data).hexdigest()
        if found != sha256:
            raise ObjectCorrupted(key, expected=sha256, found=found)
        return data

    def verify(self, key: str, sha256: str) -> None:
        digest = hashlib.sha256()
        with self._translated(key):
            for chunk in obstore.get(self._store, safe_key(key)).stream(min_chunk_size=CHUNK_BYTES):
                digest.update(chunk)
        if digest.hexdigest() != sha256:
            raise ObjectCorrupted(key, expected=sha256, found=digest.hexdigest())

    def exists(self, key: str) -> bool:
        try:
            with self._translated(key):
                obstore.head(self._store, safe_key(key))
        except ObjectNotFound:
            return False
        return True

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        folder = safe_prefix(prefix).rpartition("/")[0]  # obstore lists whole segments
        with self._translated(prefix):
            found = [
                ObjectInfo(entry["path"], entry["size"], int(entry["last_modified"].timestamp() * 1_000_000))
                for batch in obstore.list(self._store, folder or None)
                for entry in batch
                if entry["path"].startswith(prefix) and _is_key(entry["path"])
            ]
        yield from sorted(found)  # SeaweedFS lists folder by folder, not key by key

    def delete(self, key: str) -> None:
        try:
            with self._translated(key):
                obstore.delete(self._store, safe_key(key))
        except ObjectNotFound:
            return

    def scan_target(self, key: str) -> ScanTarget:
        named = {
            "access_key_id": "aws_access_key_id",
            "secret_access_key": "aws_secret_access_key",
            "session_token": "aws_session_token",
            "region": "aws_region",
            "endpoint": "aws_endpoint_url",
        }
        options = {named[name]: str(value) for name, value in self._config.items()}
        if self._allow_http:
            options["aws_allow_http"] = "true"
        return ScanTarget(f"{self._url}/{safe_key(key)}", options)

    def _put_if(self, key: str, data: bytes | Path, mode: PutMode) -> bool:
        """Write under a condition; False when the server says that it does not hold."""
        writer = secrets.token_hex(16)
        with self._translated(key):
            try:
                obstore.put(
                    self._store,
                    safe_key(key),
                    data,
                    mode=mode,
                    attributes={_WRITER: writer},
                    use_multipart=isinstance(data, Path),
                    chunk_size=PART_BYTES,
                )
            except (AlreadyExistsError, PreconditionError):
                return self._is_written_by(key, writer)
            except FileNotFoundError as error:
                if _NO_BUCKET in str(error):
                    raise
                return False  # nothing there to replace
        return True

    def _is_written_by(self, key: str, writer: str) -> bool:
        """Whether a refused write was refused by its own first copy, whose answer was lost."""
        try:
            found = obstore.get(self._store, key, options={"head": True})
        except FileNotFoundError:
            return False
        attributes: Mapping[Any, str] = found.attributes
        return attributes.get(_WRITER) == writer

    @contextmanager
    def _translated(self, key: str) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError as error:
            if _NO_BUCKET in str(error):
                raise StoreUnavailable(self._url, "the bucket does not exist") from error
            raise ObjectNotFound(key) from error
        except (BaseError, OSError) as error:
            raise StoreUnavailable(self._url, _reason(error)) from error


def _config(env: Mapping[str, str]) -> S3Config:
    config: dict[str, str] = {
        "access_key_id": env.get("AWS_ACCESS_KEY_ID", ""),
        "secret_access_key": env.get("AWS_SECRET_ACCESS_KEY", ""),
        "session_token": env.get("AWS_SESSION_TOKEN", ""),
        "endpoint": env.get("AWS_ENDPOINT_URL_S3") or env.get("AWS_ENDPOINT_URL", ""),
        "region": env.get("AWS_REGION") or env.get("AWS_DEFAULT_REGION") or "us-east-1",
    }
    given: Any = {name: value for name, value in config.items() if value}
    settled: S3Config = given
    return settled


def _allow_http(url: str, endpoint: str | None, env: Mapping[str, str]) -> bool:
    if not endpoint or not endpoint.startswith("http://"):
        return False
    host = urlsplit(endpoint).hostname or ""
    try:
        is_loopback = ip_address(host).is_loopback
    except ValueError:
        is_loopback = host == "localhost"
    if not is_loopback and env.get("AWS_ALLOW_HTTP", "").lower() != "true":
        raise UnknownStore(url, f"its endpoint {host} is without TLS; use https://, or say AWS_ALLOW_HTTP=true")
    return True


def _is_key(path: str) -> bool:
    try:
        safe_key(path)
    except InvalidKey:
        return False
    return True


def _reason(error: BaseException) -> str:
    """One line of what the client says, which goes on for a page."""
    text = str(error)
    code = _CODE.search(text)
    return code[1] if code else text.partition("\n")[0]
