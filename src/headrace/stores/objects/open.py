"""From a URL to an object store. An adapter is one line here: scheme → `"module:Class"`, imported when chosen."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path

from headrace.stores.errors import UnknownStore
from headrace.stores.locations import LOCAL, local_path, scheme_of
from headrace.stores.objects import ObjectStore

SCHEMES = {
    LOCAL: "headrace.stores.objects.local:LocalObjectStore",
    "s3": "headrace.stores.objects.s3:S3ObjectStore",
}


def open_objects(url: str, root: Path, env: Mapping[str, str]) -> ObjectStore:
    """The store that a URL of `[stores] objects` names.

    Parameters
    ----------
    url
        A path relative to `root`, `file:///ABSOLUTE/PATH` or `s3://BUCKET/PREFIX`.
    root
        The folder of `headrace.toml`.
    env
        Where servers' credentials stand (`AWS_ACCESS_KEY_ID`, …).
    """
    scheme = scheme_of(url)
    try:
        module, _, name = SCHEMES[scheme].partition(":")
    except KeyError:
        raise UnknownStore(f"{scheme}://…", f"objects are kept under {', '.join(SCHEMES)}, found {scheme}") from None
    adapter = getattr(importlib.import_module(module), name)
    store: ObjectStore = adapter(local_path(url, root)) if scheme == LOCAL else adapter(url, env)
    return store
