"""What happens when the disk is full, a file may not be read, or a source is much larger than memory should be."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.data.stage import Bench, FolderStage, source_of

from headrace.data.errors import DiskFull, SourceUnreadable
from headrace.data.snapshot import take_snapshot
from headrace.data.state import source_state
from headrace.language.types import Type
from headrace.testing.faults import small_disk

KX = {"k": Type.INTEGER, "x": Type.STRING}


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Of two megabytes."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small disk takes root")
    with small_disk(tmp_path / "small", size_bytes=2 << 20) as folder:
        yield folder


@pytest.mark.parametrize("name", ["a.csv", "a.ndjson", "bad.csv", "bad.ndjson"])
def test_a_full_disk_is_said_plainly(bench: Bench, disk: Path, name: str) -> None:
    import random

    random_text = random.Random(7)
    rows = [(n, f"{random_text.getrandbits(256):x}") for n in range(200_000)]
    if name.endswith(".csv"):
        text = "k,x\n" + "".join(f"{k},{x}\n" for k, x in rows) + ("1,2,3\n" if name.startswith("bad") else "")
    else:
        text = "".join(f'{{"k":{k},"x":"{x}"}}\n' for k, x in rows) + ("no\n" if name.startswith("bad") else "")
    bench.write(name, text)
    source = source_of(name)
    state = source_state(source, bench.root, {})
    with pytest.raises(DiskFull, match="no space is left") as caught:
        take_snapshot(source, bench.root, {}, KX, state, FolderStage(disk))
    assert caught.value.exit_code == 3
    assert caught.value.fix is not None


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_named(bench: Bench) -> None:
    bench.write("a.csv", "k,x\n1,a\n").chmod(0)
    with pytest.raises(SourceUnreadable, match=r"a\.csv cannot be read: Permission denied"):
        bench.check(source_of("a.csv"), KX)


_PEAK = """
import resource, sys
from pathlib import Path
from tests.data.stage import Bench, source_of
from headrace.definition.model import ColumnRule
from headrace.language.types import Type
bench = Bench(Path(sys.argv[1]))
source = source_of(
    "f*.csv",
    unique=("k",),
    columns={"f": ColumnRule(min=0)},
    checks={"c": ("f >= 0", "quarantine")},
)
types = {"k": Type.INTEGER, "f": Type.FLOAT, "t": Type.STRING}
checked = bench.check(source, types)
print(checked.report.read, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def test_memory_grows_slower_than_the_rows(tmp_path: Path) -> None:
    peaks = {}
    for n_files in (1, 8):
        folder = tmp_path / str(n_files)
        folder.mkdir()
        for file in range(n_files):
            first = file * 200_000
            rows = "".join(f"{k},{k / 7},{k % 977:010d}{k:020d}\n" for k in range(first, first + 200_000))
            (folder / f"f{file}.csv").write_text("k,f,t\n" + rows)
        command = [sys.executable, "-c", _PEAK, str(folder)]
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
        read, peaks[n_files] = map(int, done.stdout.split())
        assert read == n_files * 200_000
    assert peaks[8] < 2.5 * peaks[1]
