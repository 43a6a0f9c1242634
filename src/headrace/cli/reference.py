"""The reference page of the command line, made from the commands themselves: ``docs/reference/command-line.md``."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from importlib import import_module
from typing import TYPE_CHECKING, Any

from headrace.cli.commands import COMMANDS, GROUPS, Command

if TYPE_CHECKING:
    from cyclopts import Argument

_HEAD = """# Command line

    headrace COMMAND [ARGUMENTS] [--json] [--project PATH]

`headrace --help` lists the commands, `headrace COMMAND --help` tells what one takes. Results go to standard output,
progress and errors to standard error. With `--json` the result is one JSON document, and so is an error:
`{"error": {"code": …, "message": …, "fix": …, "facts": …}}`.

| exit code | meaning |
| --: | --- |
| 0 | done |
| 1 | the work was done and the answer is no: a contract is broken, a package is refused |
| 2 | wrong use: an argument or the definition is wrong |
| 3 | trouble outside: a disk, a network, a server |
| 130 | stopped from the keyboard; finished work is kept |

[Errors](errors.md) lists every code.

| option of every command on a project | |
| --- | --- |
| `--project PATH` | `headrace.toml` or its folder; else `HEADRACE_PROJECT`, else the nearest parent folder |
| `--json` | one JSON document on standard output, for machines |

| environment variable | |
| --- | --- |
| `HEADRACE_PROJECT` | the project, where `--project` does not say it |
| `HEADRACE_CONFIG` | the folder of your signing key; else `headrace` in `XDG_CONFIG_HOME`, else `~/.config/headrace` |
| `NO_COLOR` | no colours, when set |
"""
_SHARED = frozenset({"--json", "--project"})
_SECTION = re.compile(r"^\w+\n-{3,}$", re.MULTILINE)


def render() -> str:
    """The page."""
    parts = [_HEAD]
    named = {name for _, names in GROUPS for name in names}
    for title, names in GROUPS:
        parts.append(f"## {title}\n")
        # one of a family that a group has stands beside its siblings, once
        families = [name for name in names if " " not in name or name.split()[0] not in named]
        parts += [
            _command(command) for name in families for command in COMMANDS if f"{command.words} ".startswith(f"{name} ")
        ]
    return "\n".join(parts)


def _command(command: Command) -> str:
    module, _, name = command.target.partition(":")
    function = getattr(import_module(module), name)
    arguments = list(_arguments(function))
    usage = " ".join(["headrace", command.words, *map(_usage, sorted(arguments, key=_is_option))])
    lines = [f"### `headrace {command.words}`", "", f"    {usage}", "", _description(function), ""]
    if arguments:
        lines += ["| argument | meaning |", "| --- | --- |"]
        lines += [f"| {_names(argument)} | {_meaning(argument)} |" for argument in arguments]
        lines.append("")
    return "\n".join(lines)


def _arguments(function: Any) -> Iterator[Argument]:
    """What a command takes, but for what every command does; their help is read from its docstring."""
    from cyclopts import App

    from headrace.cli.dispatch import parameters

    app = App(default_parameter=parameters())
    app.default(function)
    for argument in app.assemble_argument_collection(parse_docstring=True):
        if not _SHARED.issuperset(argument.names):
            yield argument


def _description(function: Any) -> str:
    """The docstring up to its first section."""
    return _SECTION.split(inspect.getdoc(function) or "")[0].strip()


def _is_option(argument: Argument) -> bool:
    return argument.field_info.kind is inspect.Parameter.KEYWORD_ONLY


def _word(argument: Argument) -> str:
    """What stands for the value: the name of a positional argument, the kind of an option's value."""
    if not _is_option(argument):
        return argument.names[0].removeprefix("--").upper()
    if argument.hint is bool:
        return ""
    return (
        "PATH"
        if "Path" in str(argument.hint)
        else {int: "N", float: "X", int | None: "N", float | None: "X"}.get(argument.hint, "TEXT")
    )


def _usage(argument: Argument) -> str:
    if not _is_option(argument):
        if argument.field_info.kind is inspect.Parameter.VAR_POSITIONAL:
            return f"{_word(argument)}…"
        return _word(argument) if argument.required else f"[{_word(argument)}]"
    text = f"{argument.names[-1]} {_word(argument)}".rstrip()
    return text if argument.required else f"[{text}]"


def _names(argument: Argument) -> str:
    if not _is_option(argument):
        return f"`{_word(argument)}`"
    return ", ".join(f"`{name}`" for name in argument.names) + (f" {_word(argument)}" if _word(argument) else "")


def _meaning(argument: Argument) -> str:
    text = " ".join((argument.parameter.help or "").split()).replace("|", "\\|")
    default = argument.field_info.default
    if argument.hint is bool or default in (None, "", inspect.Parameter.empty):
        return text
    return f"{text} Default: `{default:g}`." if isinstance(default, float) else f"{text} Default: `{default}`."
