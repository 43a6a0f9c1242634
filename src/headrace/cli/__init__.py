"""The command line. Importing it loads nothing heavy: each command's module is imported when it is called.

`headrace --help` prints a text rendered at build time (`cli/help.txt`, from the table in `cli/commands.py`).
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit code: 0 done, 1 the answer is no, 2 wrong use, 3 trouble outside."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments in (["--help"], ["-h"], ["help"]):
        sys.stdout.write((Path(__file__).parent / "help.txt").read_text(encoding="utf-8"))
        return 0
    if arguments == ["--version"]:
        from headrace import __version__

        sys.stdout.write(f"headrace {__version__}\n")
        return 0
    from headrace.cli.dispatch import dispatch

    return dispatch(arguments)
