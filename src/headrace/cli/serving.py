"""What `headrace serve` does. A server is started in a hurry, and again: its usual arguments are read without a parser,
which takes a fifth of a second of a processor to load."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, TypedDict

if TYPE_CHECKING:
    from headrace.serving.workforce import Tells

MOST_PORT: Final = 65_535
MOST_WORKERS: Final = 256


class Given(TypedDict, total=False):
    """Arguments of the command that were given."""

    host: str
    port: int
    workers: int
    project: str
    as_json: bool


def given_plainly(arguments: Sequence[str]) -> Given | None:
    """What a command line says that is written as usual; None: the parser has to read it, and say what is wrong.

    Examples
    --------
    >>> given_plainly(["--port", "8080", "--json"])
    {'port': 8080, 'as_json': True}
    >>> given_plainly(["--prot", "8080"]) is None
    True
    """
    found: dict[str, object] = {}
    words = iter(arguments)
    for word in words:
        option, equals, said = word.partition("=")
        value: object
        if word == "--json":
            name, value = "as_json", True
        elif option in _OPTIONS:
            name, read = _OPTIONS[option]
            value = read(said if equals else next(words, ""))
        else:
            return None
        if value is None or name in found:
            return None
        found[name] = value
    return found  # type: ignore[return-value]  # names and types are those of the table


def _text(word: str) -> str | None:
    return word if word and not word.startswith("-") else None


def _number(least: int, most: int) -> Callable[[str], int | None]:
    def read(word: str) -> int | None:
        plain = word.isascii() and word.isdigit() and len(word) <= len(str(most)) and str(int(word)) == word
        return int(word) if plain and least <= int(word) <= most else None

    return read


_OPTIONS: Final[Mapping[str, tuple[str, Callable[[str], object]]]] = {
    "--host": ("host", _text),
    "--port": ("port", _number(0, MOST_PORT)),
    "--workers": ("workers", _number(1, MOST_WORKERS)),
    "--project": ("project", _text),
}


def answer(
    *,
    host: str | None = None,
    port: int | None = None,
    workers: int | None = None,
    project: str | None = None,
    as_json: bool = False,
) -> int:
    """See `headrace.cli.serve.serve`."""
    with _uncollected():
        import asyncio
        import subprocess

        from headrace.app import Project

    with Project.open(project, to_serve=True) as opened:
        opened.service.address(host)  # before anything is deployed
        if opened.definition.project.source and not opened.service.deployments().names():
            # in a process of its own: the tables that it works with have no place in a server
            first = [sys.executable, "-m", "headrace", "deploy", opened.name, "--project", str(opened.path)]
            code = subprocess.run(first, stdout=subprocess.DEVNULL).returncode  # noqa: S603 - this very program
            if code:
                return code
        with _uncollected():
            supervisor = opened.service.supervisor(host=host, port=port, workers=workers, say=_say(as_json=as_json))
        asyncio.run(supervisor.run())
    return 0


@contextmanager
def _uncollected() -> Iterator[None]:
    """What is loaded stays: to look through it for circles, again and again, takes a tenth of the start."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def _say(*, as_json: bool) -> Tells:
    from headrace.serving.telling import note, write_line

    def say(event: str, /, **facts: object) -> None:
        told = " ".join(f"{name}={value}" for name, value in facts.items())
        write_line(f"{event.replace('_', ' ')}{': ' if told else ''}{told}")

    return note if as_json else say
