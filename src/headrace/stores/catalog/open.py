"""From a URL to a catalog. An adapter is one line here: scheme → `"module:function"`, imported when chosen."""

from __future__ import annotations

import importlib
from pathlib import Path

from headrace.stores.catalog import Catalog
from headrace.stores.errors import UnknownStore
from headrace.stores.locations import LOCAL, local_path, scheme_of

SCHEMES = {
    LOCAL: "headrace.stores.catalog.sqlite:open_sqlite",
    "postgresql": "headrace.stores.catalog.postgres:open_postgres",
    "postgres": "headrace.stores.catalog.postgres:open_postgres",
}


def open_catalog(url: str, root: Path) -> Catalog:
    """The catalog that a URL of `[stores] catalog` names, made or brought to this release's schema if need be.

    Parameters
    ----------
    url
        A path relative to `root`, `file:///ABSOLUTE/PATH` (both SQLite) or `postgresql://USER:PASSWORD@HOST/DATABASE`.
    root
        The folder of `headrace.toml`.

    Raises
    ------
    SchemaTooNew
        A newer release wrote the catalog.
    CatalogCorrupted, StoreFull, StoreUnavailable
    """
    scheme = scheme_of(url)
    try:
        module, _, name = SCHEMES[scheme].partition(":")
    except KeyError:
        raise UnknownStore(f"{scheme}://…", f"a catalog is one of {', '.join(SCHEMES)}") from None
    adapter = getattr(importlib.import_module(module), name)
    catalog: Catalog = adapter(local_path(url, root)) if scheme == LOCAL else adapter(url)
    return catalog
