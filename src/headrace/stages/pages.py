"""Pages of a run, stored like any outcome and laid out where a person finds them."""

from __future__ import annotations

from pathlib import Path

from headrace.runs.model import ObjectRef
from headrace.stages.model import Workspace
from headrace.stores.durable import make_folder, write_file


def lay_out(work: Workspace, page: ObjectRef, name: str) -> Path:
    """A copy of the page where a person finds it."""
    path = work.reports / name
    data = work.runner.objects.get_verified(page.key, page.sha256)
    if not path.exists() or path.read_bytes() != data:
        make_folder(work.reports)
        write_file(path, data)
    return path
