"""What a source looks like from outside: cheap to ask, compared to tell whether it must be read again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from headrace.data.model import SourceState
from headrace.data.sources import Place, adapter
from headrace.definition.model import Source


def source_state(source: Source, root: Path, env: Mapping[str, str], *, may_match_none: bool = False) -> SourceState:
    """Names, sizes, times and ETags; `volatile` for a query on a server, of which only reading it tells.

    Parameters
    ----------
    may_match_none
        Whether a pattern may name no file.

    Raises
    ------
    SourceMissing : nothing is where the definition says.
    SourceUnavailable : the object store does not answer, or refuses us.
    """
    return adapter(source.format).state(source, Place(root, env, may_match_none=may_match_none))
