"""Whether new files have come that nobody writes to any more: names, sizes and times are compared, nothing is read."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from headrace.definition.model import Source
from headrace.errors import TroubleOutside, WrongUse


class Arrivals:
    """Watches the sources' states until they have stood still.

    Parameters
    ----------
    look
        A digest of the files' state now.
    settle_s
        How long they must stand still.
    monotonic
        Seconds that never go back.
    """

    def __init__(self, look: Callable[[], str], *, settle_s: float, monotonic: Callable[[], float]) -> None:
        self._look = look
        self._settle_s = settle_s
        self._monotonic = monotonic
        self._seen: str | None = None
        self._since = 0.0

    def settled(self, noted: str | None) -> str | None:
        """The files' state when it differs from the noted one and has stood still; else None."""
        found, now = self._look(), self._monotonic()
        if found != self._seen:
            self._seen, self._since = found, now
        if found == noted or now - self._since < self._settle_s:
            return None
        return found

    def is_settling(self, noted: str | None) -> bool:
        """Whether there is something new that has not stood still long enough."""
        return self._seen is not None and self._seen != noted


def files_digest(sources: Sequence[Source], root: Path, env: Mapping[str, str]) -> str:
    """Of names, sizes and times or ETags of every source's files; queries of databases do not count.

    A source that is missing or does not answer counts as just that, so that the others are still watched.
    """
    from headrace.data.state import source_state

    parts: list[object] = []
    for source in sources:
        try:
            state = source_state(source, root, env)
        except (TroubleOutside, WrongUse) as error:
            parts.append([source.name, error.code])
            continue
        if not state.volatile:
            parts.append([source.name, state.parts])
    return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()
