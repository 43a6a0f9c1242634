"""Parses the arguments, calls the command, and turns every error of ours into one message and one exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from headrace.cli.commands import COMMANDS
from headrace.cli.output import print_error
from headrace.errors import HeadraceError, WrongUse

INTERRUPTED = 130


class UsageError(WrongUse):
    """The arguments do not fit the command."""

    code = "usage"


def dispatch(arguments: Sequence[str]) -> int:
    """Run one command line; never lets an error of ours out."""
    as_json = "--json" in arguments
    try:
        code = _call(arguments)
    except HeadraceError as error:
        print_error(error, as_json=as_json)
        return error.exit_code
    except KeyboardInterrupt:
        sys.stderr.write("\nstopped; finished work is kept: the same command goes on\n")
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return code


def _call(arguments: Sequence[str]) -> int:
    if list(arguments) in (["runs"], ["runs", "--json"]):  # the one that is typed all day: no parser is loaded for it
        from headrace.cli.recent import print_runs

        return print_runs(as_json="--json" in arguments)
    from cyclopts.exceptions import CycloptsError

    app = build_app(arguments[0])
    try:
        result = app(list(arguments), exit_on_error=False, print_error=False)
    except CycloptsError as error:
        words = " ".join(a for a in arguments[:2] if not a.startswith("-"))
        known = [c.words for c in COMMANDS if words == c.words or words.startswith(c.words + " ")]
        where = max(known, key=len, default="")
        raise UsageError(str(error), fix=f"headrace {where + ' ' if where else ''}--help lists what there is") from None
    return result if isinstance(result, int) else 0


def build_app(called: str = "") -> Any:
    """The cyclopts application, every command registered by its import string; `called` is the first word typed."""
    from cyclopts import App

    from headrace import __version__

    root = App(name="headrace", version=__version__, result_action="return_value", version_flags=["--version"])
    groups: dict[str, Any] = {}
    parents = {c.words.split()[0] for c in COMMANDS if " " in c.words}
    for command in COMMANDS:
        first, _, second = command.words.partition(" ")
        if first not in parents:
            root.command(command.target, name=first, help=command.help)
            continue
        if first not in groups:
            groups[first] = App(name=first, help=command.help)
            root.command(groups[first])
        if second:
            groups[first].command(command.target, name=second, help=command.help)
        elif first == called:
            groups[first].default(_target(command.target))
    return root


def _target(target: str) -> Any:
    module, _, name = target.partition(":")
    return getattr(import_module(module), name)
