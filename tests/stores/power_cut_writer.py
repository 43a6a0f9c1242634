"""Writes to all local stores without end and says on stdout which write has been acknowledged: `STORE N`.

python power_cut_writer.py ROOT
"""

from __future__ import annotations

import sys
from pathlib import Path

import polars as pl

from headrace.stores.catalog import Row
from headrace.stores.catalog.open import open_catalog
from headrace.stores.objects.open import open_objects
from headrace.stores.tables.delta import DeltaTableStore


def row(number: int) -> Row:
    """The catalog row of a write."""
    return {"project": "p", "fingerprint": "f", "part": str(number), "seq": number, "data": blob(number), "made_us": 0}


def blob(number: int) -> bytes:
    """What the write of a number holds."""
    return f"write {number} ".encode() * (1 + number % 700)


def main(root: Path) -> None:
    """Write until the disk is gone."""
    catalog = open_catalog("catalog.db", root)
    objects = open_objects("objects", root, {})
    tables = DeltaTableStore(objects)

    def say(store: str, number: int) -> None:
        sys.stdout.write(f"{store} {number}\n")
        sys.stdout.flush()

    say("ready", 0)
    for number in range(1_000_000):
        with catalog.write() as writer:
            writer.insert("parts", row(number))
        say("catalog", number)
        assert objects.put_if_absent(f"blobs/{number}", blob(number))
        say("objects", number)
        objects.put("newest", blob(number))
        say("newest", number)
        tables.append("usage", pl.DataFrame({"number": [number]}))
        say("tables", number)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
