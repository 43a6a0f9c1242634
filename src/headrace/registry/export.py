"""Writing a package out as a folder."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Collection, Mapping
from pathlib import Path

from headrace.registry.errors import ExportTargetTaken
from headrace.stores.durable import make_folder, sync_folder, translated, write_file


def write_folder(folder: Path, files: Mapping[str, bytes], *, executable: Collection[str] = ()) -> Path:
    """Write files into a new or empty folder: whole, or not there at all.

    Files may lie in folders below it (`app/headrace.toml`). They are written beside it and moved in one step. Raises
    `ExportTargetTaken` when something is there.
    """
    folder = folder.absolute()
    if folder.is_symlink() or (folder.exists() and (not folder.is_dir() or any(folder.iterdir()))):
        raise ExportTargetTaken(str(folder))
    make_folder(folder.parent, mode=0o755)
    part = folder.parent / f".{folder.name}.{secrets.token_hex(8)}"
    make_folder(part, mode=0o755)
    try:
        for name, data in files.items():
            make_folder((part / name).parent, mode=0o755)
            write_file(part / name, data, mode=0o755 if name in executable else 0o644)
        with translated(str(folder)):
            part.rename(folder)  # replaces an empty folder, and fails where another wrote into it meanwhile
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
    sync_folder(folder.parent)
    return folder
