"""What a store's URL means: a path relative to the project, `file://` with an absolute path, or a server."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote

from headrace.stores.errors import UnknownStore

LOCAL = "file"


def scheme_of(url: str) -> str:
    """The scheme, lower case; a plain path's is `file`."""
    scheme, separator, _ = url.partition("://")
    return scheme.lower() if separator else LOCAL


def local_path(url: str, root: Path) -> Path:
    """The path of a plain path (relative to `root`, the folder of `headrace.toml`) or of a `file://` URL."""
    scheme, separator, rest = url.partition("://")
    if not separator:
        return root / url
    path = Path(unquote(rest))
    if scheme.lower() != LOCAL or not path.is_absolute():
        raise UnknownStore(url, f"{LOCAL}:// takes an absolute path ({LOCAL}:///srv/headrace); a relative one is plain")
    return path
