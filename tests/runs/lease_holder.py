"""A process that runs project "p" of a catalog: says that it holds it, waits for a line, and commits.

Arguments: catalog URL, root, working folder, term and beat in seconds. Each line on stdout is a fact.
"""

from __future__ import annotations

import sys
import time
import uuid
from pathlib import Path

import msgspec

from headrace.cost.prices import load_prices
from headrace.errors import HeadraceError
from headrace.runs.lease import Term
from headrace.runs.model import StageContext
from headrace.runs.progress import SilentProgress
from headrace.runs.runner import Runner
from headrace.stores.catalog.open import open_catalog
from headrace.stores.objects.local import LocalObjectStore


class Written(msgspec.Struct, frozen=True):
    by: str


def main(url: str, root: Path, workdir: str, term_s: float, beat_s: float) -> None:
    catalog = open_catalog(url, root)
    print("ready", flush=True)
    sys.stdin.readline()

    def work(context: StageContext) -> Written:
        print("holding", flush=True)
        asked = sys.stdin.readline()
        if asked.strip() == "record":
            context.record("part", workdir.encode())
        return Written(workdir)

    runner = Runner(
        catalog,
        LocalObjectStore(root / "objects"),
        "p",
        clock=lambda: time.time_ns() // 1000,
        new_id=lambda: uuid.uuid4().hex,
        prices=load_prices(),
        progress=SilentProgress(),
        workdir=root / workdir,
        code_roots=[Path(__file__).parent],
        term=Term(term_s, beat_s),
    )
    try:
        with runner.run("sha") as run:
            run.stage("write", depends={"by": workdir}, rooms=["lease_holder"], compute=work, kind=Written)
        print("done", flush=True)
    except HeadraceError as error:
        print(error.code, flush=True)
    finally:
        catalog.close()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3], float(sys.argv[4]), float(sys.argv[5]))
