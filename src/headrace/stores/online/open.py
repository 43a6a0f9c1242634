"""From a URL to an online store. An adapter is one line here: scheme → `"module:Class"`, imported when chosen."""

from __future__ import annotations

import importlib
from pathlib import Path

from headrace.stores.errors import UnknownStore
from headrace.stores.locations import LOCAL, local_path, scheme_of
from headrace.stores.online import OnlineStore

SCHEMES = {
    LOCAL: "headrace.stores.online.local:LocalOnlineStore",
    "redis": "headrace.stores.online.redis:RedisOnlineStore",
    "rediss": "headrace.stores.online.redis:RedisOnlineStore",
}


def open_online(url: str, root: Path) -> OnlineStore:
    """The store that a URL of `[stores] online` names.

    Parameters
    ----------
    url
        A path relative to `root`, `file:///ABSOLUTE/PATH` (both LMDB), or `redis://[USER:PASSWORD@]HOST:PORT/DATABASE`
        (`rediss://` with TLS).
    root
        The folder of `headrace.toml`.

    Raises
    ------
    UnknownStore, StoreUnavailable
    """
    scheme = scheme_of(url)
    try:
        module, _, name = SCHEMES[scheme].partition(":")
    except KeyError:
        reason = f"online values are kept under {', '.join(SCHEMES)}, found {scheme}"
        raise UnknownStore(f"{scheme}://…", reason) from None
    adapter = getattr(importlib.import_module(module), name)
    store: OnlineStore = adapter(local_path(url, root)) if scheme == LOCAL else adapter(url)
    return store
