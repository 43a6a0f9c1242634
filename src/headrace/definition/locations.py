"""Where sources and stores are: formats by ending, URL schemes, and no credentials in the clear."""

from __future__ import annotations

import re
from collections.abc import Iterable

from headrace.definition.document import At, shown, suggestion
from headrace.definition.model import SourceFormat
from headrace.definition.not_yet import not_yet
from headrace.definition.secrets import REFERENCE, has_literal_credential

_TEXTS: dict[str, SourceFormat] = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".json": "json",
    ".ndjson": "ndjson",
    ".jsonl": "ndjson",
}
_COMPRESSIONS = ("", ".gz", ".zst", ".bz2", ".xz")
_WHOLE: dict[str, SourceFormat] = {
    ".parquet": "parquet",
    ".arrow": "arrow",
    ".feather": "arrow",
    ".ipc": "arrow",
    ".avro": "avro",
    ".xlsx": "excel",
    ".xls": "excel",
    ".xlsb": "excel",
    ".ods": "excel",
    ".db": "sqlite",
    ".sqlite": "sqlite",
    ".sqlite3": "sqlite",
}
ENDINGS: dict[str, SourceFormat] = {
    **{text + packed: format_ for text, format_ in _TEXTS.items() for packed in _COMPRESSIONS},
    **_WHOLE,
}
DATABASES: tuple[SourceFormat, ...] = ("sqlite", "postgresql", "mysql")
SCHEMES: dict[str, SourceFormat] = {"postgresql": "postgresql", "mysql": "mysql", "mariadb": "mysql"}
"""Schemes that tell the format."""

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_HTTP = ("http", "https")
_SOURCE_SCHEMES = ("file", "s3", *_HTTP, *SCHEMES)
_OURS = frozenset({"accept-encoding", "connection", "content-length", "host", "if-range", "range", "transfer-encoding"})
_PLACES = (
    "a path, file:///PATH, s3://BUCKET/KEY, https://HOST/PATH, postgresql://HOST/DATABASE or mysql://HOST/DATABASE"
)


def scheme_of(url: str) -> str | None:
    """`s3` of `s3://…`; None of a path."""
    match = _SCHEME.match(url)
    return match[1].lower() if match else None


def format_of(url: str) -> SourceFormat | None:
    """The format that an address tells by itself."""
    scheme = scheme_of(url)
    if scheme in SCHEMES:
        return SCHEMES[scheme]
    name = url.lower()
    if scheme in _HTTP:
        name = re.split("[?#]", name, maxsplit=1)[0]
    endings = sorted((ending for ending in ENDINGS if name.endswith(ending)), key=len)
    return ENDINGS[endings[-1]] if endings else None


def check_address(url: str, at: At, schemes: tuple[str, ...] = _SOURCE_SCHEMES, expected: str = _PLACES) -> None:
    """Note an unknown scheme, a relative `file://` or a credential in the clear."""
    if has_literal_credential(url):
        at.wrong(
            "a credential stands in the definition in the clear",
            expected="a reference to it",
            found=shown(url),
            fix="put ${env:NAME} or ${file:PATH} in its place, set that, and change the credential: this one is spent",
            code="credential",
        )
        return
    scheme = scheme_of(url)
    if scheme is None and (reference := re.search(r"\$\{(?!env:[A-Za-z_][A-Za-z0-9_]*\}|file:[^}]+\})[^}]*\}?", url)):
        at.wrong(
            "this is no reference", expected="${env:NAME} or ${file:PATH}", found=shown(reference[0]), fix="correct it"
        )
    elif scheme is not None and scheme not in schemes:
        if line := not_yet(at.path, f"{scheme}://"):
            at.not_available(line, expected)
            return
        guess = suggestion(scheme, schemes)
        fix = f"did you mean {guess}://?" if guess else "copy the data to one of these, or use a path"
        at.wrong("there is no such scheme", expected=expected, found=f"{scheme}://", fix=fix)
    elif scheme == "file" and not url.startswith("file:///"):
        fix = "write file:///absolute/path, or the relative path alone"
        at.wrong("file:// takes absolute paths only", expected="file:///PATH", found=shown(url), fix=fix)


def check_web_address(url: str, at: At) -> None:
    """Note an address of a web server without a host, or with a pattern."""
    if scheme_of(url) not in _HTTP:
        return
    host, _, path = re.split("[?#]", url, maxsplit=1)[0].partition("://")[2].partition("/")
    if not host.rpartition("@")[2]:
        at.wrong("the address has no host", expected="https://HOST/PATH", found=shown(url), fix="name the host")
    elif "*" in path:
        fix = 'list the files: read = ["https://…/1.csv", "https://…/2.csv"]'
        at.wrong("a web server cannot be asked for a list", expected="one file", found=shown(url), fix=fix)


def check_headers(headers: Iterable[tuple[str, str]], at: At) -> None:
    """Note a credential in the clear, and a header that is not the user's to set."""
    for name, value in headers:
        if name.lower() in _OURS:
            why = "this header is set by the client"
            at.key(name).wrong(why, expected="another header", found=f"`{name}`", fix="take it out")
        elif re.search("auth|token|key|secret|cookie", name, re.IGNORECASE) and not REFERENCE.search(value):
            at.key(name).wrong(
                "a credential stands in the file",
                expected="a reference",
                found="a text",
                fix=f'write {name} = "${{env:NAME}}" and set the variable where it runs',
                code="literal-credential",
            )


def source_format(read: tuple[str, ...], declared: SourceFormat | None, at: At) -> SourceFormat | None:
    """The one format of all that a source reads; None after noting that it cannot be told."""
    told = {url: format_of(url) for url in read}
    if declared is not None:
        clash = next((url for url in read if (declared in DATABASES) != (told[url] in DATABASES) and told[url]), None)
        if clash is not None:
            fix = f'write format = "{told[clash]}", or leave `format` out'
            at.key("format").wrong(
                "`format` and `read` disagree", expected=f'"{told[clash]}"', found=f'"{declared}"', fix=fix
            )
        return declared
    untold = next((url for url, format_ in told.items() if format_ is None), None)
    if untold is not None:
        whole = " (a reference tells nothing before it is opened)" if REFERENCE.search(untold) else ""
        at.key("read").wrong(
            f"the format cannot be told from the address{whole}",
            expected=f"an ending {', '.join((*_TEXTS, *_WHOLE))} (the first {len(_TEXTS)} also with "
            f"{', '.join(_COMPRESSIONS[1:])}), or postgresql:// or mysql://",
            found=shown(untold),
            fix='say it: format = "csv"',
        )
        return None
    formats = sorted(set(told.values()), key=str)
    if len(formats) > 1:
        found = " and ".join(map(str, formats))
        at.key("read").wrong(
            "one source has one format", expected="files of one format", found=found, fix="make it two sources"
        )
    return formats[0]
