"""One root for every error that Headrace raises on purpose; imports nothing of ours.

A message says what was expected, what was found, where, and the fix. `code` is stable and documented;
`exit_code` is what the command line ends with. Subclasses live beside the station that raises them.
"""

from __future__ import annotations

from typing import Any, ClassVar


class HeadraceError(Exception):
    """Root of all our errors.

    Parameters
    ----------
    message
        What was expected, what was found and where. Never a cell value: messages reach logs, and cells can be
        personal data.
    fix
        What to do next, as an instruction.
    facts
        The same as data, for `--json` and for tests.
    """

    code: ClassVar[str] = "error"
    exit_code: ClassVar[int] = 2
    """1: the answer is no (a check failed); 2: wrong use; 3: trouble outside (disk, network, server)."""

    def __init__(self, message: str, *, fix: str | None = None, **facts: Any) -> None:
        self.message = message
        self.fix = fix
        self.facts = facts
        super().__init__(message if fix is None else f"{message}\nfix: {fix}")

    def to_dict(self) -> dict[str, Any]:
        """The error as `--json` prints it."""
        return {"code": self.code, "message": self.message, "fix": self.fix, "facts": self.facts}


class CheckFailed(HeadraceError):
    """The work was done and the answer is no: a contract broken, a package that does not agree."""

    code = "check-failed"
    exit_code = 1


class WrongUse(HeadraceError):
    """What was asked for cannot be: a wrong argument, a wrong definition."""

    code = "wrong-use"
    exit_code = 2


class TroubleOutside(HeadraceError):
    """Something outside failed: a disk, a network, a server."""

    code = "trouble-outside"
    exit_code = 3


class MissingDependency(WrongUse):
    """A library of an extra is not installed."""

    code = "missing-dependency"

    def __init__(self, library: str, *, extra: str, needed_for: str) -> None:
        super().__init__(
            f"{needed_for} needs the library {library!r}, which is not installed",
            fix=f'pip install "headrace[{extra}]"',
            library=library,
            extra=extra,
        )
