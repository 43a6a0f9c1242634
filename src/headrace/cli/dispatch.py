"""Parses the arguments, calls the command, and turns every error of ours into one message and one exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from importlib import import_module
from typing import TYPE_CHECKING, Any

from headrace.cli.commands import COMMANDS
from headrace.cli.interruption import listen
from headrace.cli.output import print_error
from headrace.errors import HeadraceError, WrongUse

if TYPE_CHECKING:
    from cyclopts.exceptions import CycloptsError

INTERRUPTED = 130


class UsageError(WrongUse):
    """The arguments do not fit the command."""

    code = "usage"


def dispatch(arguments: Sequence[str]) -> int:
    """Run one command line; never lets an error of ours out."""
    as_json = "--json" in arguments
    listen()
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
    if arguments[:1] == ["serve"]:
        from headrace.cli.serving import answer, given_plainly

        given = given_plainly(arguments[1:])
        if given is not None:
            return answer(**given)
    from cyclopts.exceptions import CycloptsError

    app = build_app(arguments)
    try:
        result = app(list(arguments), exit_on_error=False, print_error=False)
    except CycloptsError as error:
        raise _usage(arguments, error) from None
    return result if isinstance(result, int) else 0


def _usage(arguments: Sequence[str], error: CycloptsError) -> UsageError:
    """What is wrong with the arguments; a word that is no command of its group is said to be that, with a guess."""
    from cyclopts.exceptions import UnusedCliTokensError

    problem = str(error)
    words = [word for word in arguments[:2] if not word.startswith("-")]
    known = [c.words for c in COMMANDS]
    below = [name.split()[1] for name in known if name.startswith(words[0] + " ")] if words else []
    where = next((name for name in (" ".join(words), *words[:1]) if name in known), "")
    if isinstance(error, UnusedCliTokensError) and below and len(words) == 2 and words[1] not in below:
        near = get_close_matches(words[1], below, n=1)
        guess = f" (did you mean {near[0]!r}?)" if near else ""
        problem = f"headrace {words[0]} has no command {words[1]!r}{guess}"
    return UsageError(problem, fix=f"headrace {where + ' ' if where else ''}--help lists what there is")


def parameters() -> Any:
    """What is true of every option: several values are given by its name several times, and none by leaving it out."""
    from cyclopts import Parameter

    return Parameter(negative_iterable=())


def build_app(called: Sequence[str] = ()) -> Any:
    """The cyclopts application, every command registered by its import string.

    `called` is what was typed: only that command's own docstring is loaded, the others are listed with one line."""
    from cyclopts import App

    from headrace import __version__

    root = App(
        name="headrace",
        version=__version__,
        default_parameter=parameters(),
        result_action="return_value",
        version_flags=["--version"],
        suppress_keyboard_interrupt=False,  # `dispatch` says what became of the work
    )
    groups: dict[str, Any] = {}
    parents = {c.words.split()[0] for c in COMMANDS if " " in c.words}
    for command in COMMANDS:
        first, _, second = command.words.partition(" ")
        help_ = None if command.words.split() == list(called[: len(command.words.split())]) else command.help
        if first not in parents:
            root.command(command.target, name=first, help=help_)
            continue
        if first not in groups:
            groups[first] = App(name=first, help=command.help)
            root.command(groups[first])
        if second:
            group, _, name = second.rpartition(" ")
            parent = groups[first]
            if group:  # a third word: `data contract export`
                if f"{first} {group}" not in groups:
                    groups[f"{first} {group}"] = App(name=group, help=f"Commands of {first} {group}")
                    parent.command(groups[f"{first} {group}"])
                parent = groups[f"{first} {group}"]
            parent.command(command.target, name=name, help=help_)
        elif list(called[:1]) == [first]:
            groups[first].default(_target(command.target))
    return root


def _target(target: str) -> Any:
    module, _, name = target.partition(":")
    return getattr(import_module(module), name)
