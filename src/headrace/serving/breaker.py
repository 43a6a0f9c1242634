"""A breaker: what is away is not asked again by every request, each of which would wait for it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, ParamSpec, TypeVar

from headrace.errors import TroubleOutside

FIRST_S: Final = 0.1
LONGEST_S: Final = 1.0
"""Within so long of its return it is asked again."""
P = ParamSpec("P")
R = TypeVar("R")


class Breaker:
    """Passes calls on until one finds what it asks away; then, for a while, says so at once.

    The while doubles with each call that finds it still away. One instance may serve many threads: at worst a few more
    of them ask than one.

    Parameters
    ----------
    but_not : trouble of the call's own that says nothing of the next one
    clock : seconds by a clock that never goes back
    """

    def __init__(
        self, *, but_not: tuple[type[TroubleOutside], ...] = (), clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._but_not, self._clock = but_not, clock
        self._until = 0.0
        self._pause_s = FIRST_S
        self._error: TroubleOutside | None = None

    def guard(self, call: Callable[P, R]) -> Callable[P, R]:
        """The call, behind the breaker.

        Raises
        ------
        What the call raises; its last `TroubleOutside` while the breaker is open.
        """

        def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
            error = self._error
            if error is not None:
                now = self._clock()
                if now < self._until:
                    raise error.with_traceback(None)
                self._until = now + self._pause_s  # this one asks; the others wait for what it finds
            try:
                found = call(*args, **kwargs)
            except TroubleOutside as trouble:
                if isinstance(trouble, self._but_not):
                    raise
                self._pause_s = FIRST_S if error is None else min(2 * self._pause_s, LONGEST_S)
                self._until, self._error = self._clock() + self._pause_s, trouble
                raise
            if error is not None:
                self._error, self._pause_s = None, FIRST_S
            return found

        return guarded
