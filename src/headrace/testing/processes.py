"""Many processes at once, and processes that are killed: what the suites race and break stores with."""

from __future__ import annotations

import multiprocessing
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

PATIENCE_S = 120.0

_context = multiprocessing.get_context("forkserver")
# Imported once, in the server that the others are forked from: 50 processes start in a second, not in twenty.
_context.set_forkserver_preload(
    [
        "headrace.testing.objects",
        "headrace.testing.catalog",
        "headrace.testing.tables",
        "headrace.stores.objects.local",
        "headrace.stores.objects.open",
        "headrace.stores.catalog.sqlite",
        "headrace.stores.catalog.open",
        "headrace.stores.catalog.migrate",
        "headrace.stores.tables.delta",
        "polars",
        "psycopg",
        "sqlalchemy.dialects.postgresql.psycopg",
    ]
)


class ChildError(AssertionError):
    """A child process failed, or was killed when nobody meant to."""


def race(count: int, work: Callable[..., Any], *args: Any) -> list[Any]:
    """Call `work(number, *args)` in `count` processes that begin together; what they returned, in order of number.

    `work` is a module's function; it and its arguments are pickled.
    """
    begin = _context.Barrier(count)
    children = []
    for number in range(count):
        ours, theirs = _context.Pipe(duplex=False)
        child = _context.Process(target=_racer, args=(begin, theirs, work, number, args))
        child.start()
        theirs.close()
        children.append((child, ours))
    results = []
    for number, (child, ours) in enumerate(children):
        try:
            failed, result = ours.recv() if ours.poll(PATIENCE_S) else (True, "no answer in time")
        except EOFError:
            failed, result = True, f"ended with {child.exitcode}"
        if failed:
            begin.abort()
        results.append((failed, f"process {number}: {result}" if failed else result))
        ours.close()
    for child, _ in children:
        child.join(PATIENCE_S)
        child.kill()
        child.join()
        child.close()
    problems = [result for failed, result in results if failed]
    if problems:
        raise ChildError("\n".join(problems[:3]))
    return [result for _, result in results]


def run_killed(work: Callable[..., Any], *args: Any) -> bool:
    """Call `work(*args)` in a process of its own; True if it was killed by a signal, False if it came to its end."""
    child = _context.Process(target=work, args=args)
    child.start()
    child.join(PATIENCE_S)
    code = child.exitcode
    child.kill()
    child.join()
    child.close()
    if code is None or code > 0:
        raise ChildError(f"the process ended with {code}")
    return code < 0


@contextmanager
def working(work: Callable[..., Any], *args: Any) -> Iterator[Connection]:
    """Run `work(say, *args)` while the block runs, then kill it with signal 9; the block receives what it says."""
    ours, theirs = _context.Pipe(duplex=False)
    child = _context.Process(target=work, args=(theirs, *args))
    child.start()
    theirs.close()
    try:
        yield ours
    finally:
        child.kill()
        child.join()
        child.close()


def said(connection: Connection) -> list[Any]:
    """Everything that a process said before it was killed; its last words may be cut off."""
    words = []
    try:
        while connection.poll(0):
            words.append(connection.recv())
    except (EOFError, OSError):
        pass
    connection.close()
    return words


def _racer(begin: Any, answer: Connection, work: Callable[..., Any], number: int, args: tuple[Any, ...]) -> None:
    try:
        begin.wait(PATIENCE_S)
        answer.send((False, work(number, *args)))
    except BaseException:
        answer.send((True, traceback.format_exc()))
    finally:
        answer.close()
