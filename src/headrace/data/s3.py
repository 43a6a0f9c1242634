"""Objects of an S3-compatible store as the files of a source; credentials come from the environment alone."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, cast

from headrace.data.blocks import writing
from headrace.data.errors import SourceMissing, SourceUnavailable
from headrace.data.files import DataFile

if TYPE_CHECKING:
    from obstore.store import S3Store

_CHUNK = 1 << 22
_CODE = re.compile(r"<Code>(\w+)</Code>")
_KEY = re.compile(r"Object at location (\S+) not found")


def list_objects(source: str, url: str, env: Mapping[str, str]) -> list[DataFile]:
    """The objects that `s3://BUCKET/PATTERN` names, by key. In a pattern `*` and `?` do not cross a `/`, `**` does."""
    import obstore

    bucket, _, pattern = url.removeprefix("s3://").partition("/")
    matches = re.compile(_regex(pattern)).fullmatch
    prefix = re.split(r"[*?\[]", pattern, maxsplit=1)[0]
    folder = prefix.rpartition("/")[0] or None  # a listing takes whole folders
    found = []
    with _reaching(source, f"s3://{bucket}", env):
        for batch in obstore.list(_store(source, bucket, env), folder):
            found += [entry for entry in batch if entry["path"] == pattern or matches(entry["path"])]
    return [
        DataFile(
            name=f"s3://{bucket}/{entry['path']}",
            path=Path(PurePosixPath(entry["path"]).name),
            size=entry["size"],
            stamp=str(entry["e_tag"] or entry["last_modified"].isoformat()),
            url=f"s3://{bucket}/{entry['path']}",
        )
        for entry in sorted(found, key=lambda entry: entry["path"])
    ]


def download(source: str, file: DataFile, env: Mapping[str, str], target: Path) -> DataFile:
    """The object, as it was when it was listed, in a file of ours; never held whole in memory."""
    import obstore

    bucket, _, key = file.name.removeprefix("s3://").partition("/")
    with _reaching(source, f"s3://{bucket}", env), writing(target), target.open("wb") as out:
        for chunk in obstore.get(_store(source, bucket, env), key).stream(min_chunk_size=_CHUNK):
            out.write(chunk)
    return replace(file, path=target, url=None)


def storage_options(source: str, url: str, env: Mapping[str, str]) -> dict[str, str]:
    """What Polars needs to read the object itself.

    Raises
    ------
    SourceUnavailable : the environment's settings do not go together.
    """
    from headrace.stores.objects.s3 import S3ObjectStore

    bucket = f"s3://{url.removeprefix('s3://').partition('/')[0]}"
    with _reaching(source, bucket, env):
        return S3ObjectStore(bucket, env).scan_target("any").options


def _store(source: str, bucket: str, env: Mapping[str, str]) -> S3Store:
    from obstore.store import S3Store

    options = storage_options(source, f"s3://{bucket}", env)
    is_http_allowed = options.pop("aws_allow_http", "") == "true"
    return S3Store(
        bucket,
        config=cast("Any", options),
        client_options={"allow_http": is_http_allowed, "connect_timeout": "5s", "timeout": "30min"},
        retry_config={"max_retries": 3},
    )


@contextmanager
def _reaching(source: str, place: str, env: Mapping[str, str]) -> Iterator[None]:
    """Says in one line what the server or the client says in a page."""
    from obstore.exceptions import BaseError

    try:
        yield
    except FileNotFoundError as error:
        if "NoSuchBucket" in str(error):
            raise SourceUnavailable(source, place, "the bucket does not exist") from None
        raise SourceMissing(source, place, where="the bucket (an object went away while it was read)") from None
    except BaseError as error:
        raise SourceUnavailable(source, place, reason_of(error, env)) from None


def reason_of(error: Exception, env: Mapping[str, str]) -> str:
    """In a few words what a server or a client says in a page, and with whose key it was asked."""
    code, key = _CODE.search(str(error)), _KEY.search(str(error))
    reason = code[1] if code else str(error).partition("\n")[0]
    reason += f" {key[1]}" if code and key else ""
    return f"{reason} (credentials: {_who(env)})"


def _who(env: Mapping[str, str]) -> str:
    key = env.get("AWS_ACCESS_KEY_ID")
    return f"AWS_ACCESS_KEY_ID {key[:4]}…" if key else "no AWS_ACCESS_KEY_ID is set"


def _regex(pattern: str) -> str:
    """A glob as a regular expression over whole keys."""
    parts = re.split(r"(\*\*/?|\*|\?|\[[^\]]+\])", pattern)
    meanings = {"**": ".*", "**/": "(?:.*/)?", "*": "[^/]*", "?": "[^/]"}
    return "".join(meanings.get(part, part if part.startswith("[") else re.escape(part)) for part in parts)
