"""Files on web servers as the files of a source: asked for what they are, then downloaded, whole or not at all.

What a file is, is its ETag, else its time and size. A server that tells neither has its file read at every run.
"""

from __future__ import annotations

import re
import shutil
import zlib
from dataclasses import dataclass, replace
from http import HTTPStatus
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from headrace.data.blocks import writing
from headrace.data.errors import AddressRefused, DiskFull, SourceChanged, SourceUnreadable
from headrace.data.files import DataFile
from headrace.data.http_client import Again, Web, patiently
from headrace.definition.model import Source
from headrace.definition.secrets import Secret, redact, resolve

if TYPE_CHECKING:
    from collections.abc import Mapping

    import httpx2

    from headrace.data.sources import Place

_MIB = 1 << 20
_HEAD_REFUSED = frozenset({400, 403, 405, 501})
"""Answers to HEAD that say nothing of GET: an address signed for GET refuses all else."""
_RANGE_REFUSED = frozenset({416})
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")
_GZIP = b"\x1f\x8b"
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]")


def look(source: Source, pattern: str, url: Secret, place: Place) -> DataFile:
    """The file at an address, as the server describes it.

    Parameters
    ----------
    pattern
        The address as the definition has it: what the file is called, in messages and in what is stored.

    Raises
    ------
    SourceMissing, SourceUnavailable, AddressRefused
    """
    name = redact(pattern)
    file = DataFile(
        name=name,
        path=Path(_UNSAFE.sub("_", unquote(PurePosixPath(urlsplit(url).path).name))[-80:] or "file"),
        size=0,
        stamp="",
        url=url,
        headers=tuple((key, _header(source.name, name, key, value, place)) for key, value in source.headers),
    )

    def ask() -> DataFile:
        with web.answer("HEAD", taken=_HEAD_REFUSED) as response:
            if response.status_code not in _HEAD_REFUSED:
                return replace(file, size=_length(response) or 0, stamp=_stamp(response))
        with web.answer("GET") as response:  # closed before its body is read
            return replace(file, size=_length(response) or 0, stamp=_stamp(response))

    with Web(source.name, file, place.env) as web:
        return patiently(source.name, name, ask)


def _header(source: str, name: str, key: str, value: str, place: Place) -> Secret:
    found = resolve(value, place.env, place.root)
    if not re.fullmatch(r"[\t\x20-\x7e]*", found):
        reason = f"the value of its header {key} holds a line end or a character that headers do not have"
        raise AddressRefused(source, name, reason, fix=f"correct what {value} leads to")
    return found


def _stamp(response: httpx2.Response) -> str:
    return str(response.headers.get("ETag") or response.headers.get("Last-Modified") or "")


def _length(response: httpx2.Response) -> int | None:
    text = response.headers.get("Content-Length", "")
    return int(text) if re.fullmatch("[0-9]{1,18}", text) else None


def download(source: Source, file: DataFile, env: Mapping[str, str], target: Path) -> DataFile:
    """The file, as it was when it was looked at, in a file of ours; never held whole in memory.

    Raises
    ------
    SourceChanged : it is another file by now.
    SourceUnreadable : it is larger than `max_size`, damaged, or a web page.
    """
    with Web(source.name, file, env) as web, writing(target):
        transfer = _Transfer(source, file, web, target)
        patiently(source.name, file.name, transfer.go_on, lambda: transfer.advanced >= _MIB)
        if transfer.coding:
            _decode(source, file, target)
    with target.open("rb") as stream:
        if stream.read(512).lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith((b"<!doctype html", b"<html")):
            raise SourceUnreadable(
                source.name,
                file.name,
                "the server sends a web page in its place, perhaps one to sign in",
                fix="give the address of the file itself, and the `headers` that the server wants",
            )
    return replace(file, path=target, size=target.stat().st_size, url=None, headers=())


@dataclass(slots=True)
class _Transfer:
    """A download that may be broken off and gone on with."""

    source: Source
    file: DataFile
    web: Web
    target: Path
    got: int = 0
    """Bytes that are on the disk."""
    advanced: int = 0
    """Bytes that the last try has added."""
    etag: str = ""
    """Of the bytes on the disk."""
    total: int | None = None
    coding: str = ""

    def go_on(self) -> None:
        """Fetch what is missing, or everything where that cannot be had.

        Raises
        ------
        Again : it is not whole yet.
        """
        self.advanced = 0
        rest = {"Range": f"bytes={self.got}-", "If-Range": self.etag} if self.got and self._is_strong() else {}
        with self.web.answer("GET", rest, taken=_RANGE_REFUSED if rest else frozenset()) as response:
            if response.status_code == HTTPStatus.OK:
                self._begin(response)
            elif not (rest and response.status_code == HTTPStatus.PARTIAL_CONTENT and self._continues(response)):
                self.got = 0
                raise Again("the server sends another part of the file than was asked for")
            with self.target.open("r+b" if self.got else "wb") as out:
                out.seek(self.got)
                for chunk in response.iter_raw():
                    out.write(chunk)
                    self.got += len(chunk)
                    self.advanced += len(chunk)
                    _refuse_more_than_allowed(self.source, self.file, self.got)
        if self.total is not None and self.got != self.total:
            raise Again(f"the file ended after {self.got:,} of {self.total:,} bytes")

    def _is_strong(self) -> bool:
        return self.etag.startswith('"')

    def _begin(self, response: httpx2.Response) -> None:
        stamp = _stamp(response)
        if self.file.stamp and stamp and stamp != self.file.stamp:
            raise SourceChanged(self.source.name, [self.file.name])
        self.got = 0
        self.etag = response.headers.get("ETag", "")
        self.coding = _coding(self.source, self.file, response)
        self.total = _length(response)
        if self.total is None and not self.coding:
            self.total = self.file.size or None
        if self.total is not None:
            _refuse_more_than_allowed(self.source, self.file, self.total)
            if self.total > shutil.disk_usage(self.target.parent).free:
                raise DiskFull(f"{self.file.name} ({self.total:,} bytes)")

    def _continues(self, response: httpx2.Response) -> bool:
        """Whether the answer is the rest of the very file of which a part is on the disk."""
        match = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", "").strip())
        if match is None or int(match[1]) != self.got:
            return False
        total = int(match[2]) + 1
        return (
            match[3] in ("*", str(total))
            and self.total in (None, total)
            and response.headers.get("ETag", self.etag) == self.etag
        )


def _refuse_more_than_allowed(source: Source, file: DataFile, size: int) -> None:
    if size > source.max_size:
        raise SourceUnreadable(
            source.name,
            file.name,
            f"it has more than {source.max_size:,} bytes, which is as much as is taken",
            fix=f'if it should be that large, write max_size = "100GiB" in [sources.{source.name}] of headrace.toml',
        )


def _coding(source: Source, file: DataFile, response: httpx2.Response) -> str:
    """`gzip`, or nothing."""
    coding: str = response.headers.get("Content-Encoding", "").strip().lower()
    if coding in ("", "identity"):
        return ""
    if coding in ("gzip", "x-gzip"):
        return "gzip"
    raise SourceUnreadable(
        source.name,
        file.name,
        "the server packs it (Content-Encoding) in a form other than gzip, although it is asked not to",
        fix="have the server send it as it is, or packed with gzip",
    )


def _decode(source: Source, file: DataFile, path: Path) -> None:
    """Undo the server's gzip; of a file that is a gzip file itself, only what the server has put on top."""
    plain = path.with_name(f"{path.name}.plain")
    with path.open("rb") as packed, plain.open("wb") as out:
        stream, size, is_open = zlib.decompressobj(wbits=31), 0, False
        try:
            while data := packed.read(1 << 16):
                while data:
                    is_open = True
                    chunk = stream.decompress(data, _MIB)
                    data = stream.unconsumed_tail
                    size += len(chunk)
                    _refuse_more_than_allowed(source, file, size)
                    out.write(chunk)
                    if stream.eof:
                        data, stream, is_open = stream.unused_data, zlib.decompressobj(wbits=31), False
        except zlib.error:
            is_open = True
    if is_open:
        raise SourceUnreadable(source.name, file.name, "what the server has packed with gzip is damaged")
    with plain.open("rb") as inner:
        is_packed_twice = inner.read(2) == _GZIP
    if path.suffix.lower() == ".gz" and not is_packed_twice:
        plain.unlink()  # the server only says of a gzip file that it is one
    else:
        plain.replace(path)
