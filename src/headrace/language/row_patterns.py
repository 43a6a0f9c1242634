"""Row forms of the functions of regular expressions."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

from headrace.language.regex import PatternError, compile_pattern

LONG = 4_096
"""Bytes from which on a text goes through our own search in columns too: Rust's may take time in the square of the text
for all matches."""


_LIKE = re.compile(r"\\?.", re.DOTALL)
_SIGNS = frozenset("\\.+*?()|[]{}^$")


def like_pattern(text: str) -> str:
    """A pattern of LIKE in the syntax of regular expressions: % is any text, _ any character, a backslash takes the
    meaning from the character after it."""
    wild = {"%": "(?:.|\n)*", "_": "(?:.|\n)"}
    parts = (wild.get(part) or _plain(part[-1]) for part in _LIKE.findall(text))
    return f"^{''.join(parts)}$"


def _plain(character: str) -> str:
    return f"\\{character}" if character in _SIGNS else character


def like_in(pattern: str) -> Callable[[str], bool]:
    return compile_pattern(like_pattern(pattern)).matches


def extract_in(pattern: str, group: int) -> Callable[[str], str | None]:
    search = compile_pattern(pattern).search

    def of(text: str) -> str | None:
        match = search.first(text)
        span = None if match is None or group >= len(match) else match[group]
        return None if span is None else text[span[0] : span[1]]

    return of


def count_in(pattern: str) -> Callable[[str], int]:
    search = compile_pattern(pattern).search
    return lambda text: len(search.all(text))


def replace_in(pattern: str, replacement: str) -> Callable[[str], str]:
    search, pieces = compile_pattern(pattern).search, read_replacement(replacement)

    def of(text: str) -> str:
        parts, end = [], 0
        for match in search.all(text):
            begin, after = match[0] or (0, 0)
            parts.append(text[end:begin])
            for piece in pieces:
                if isinstance(piece, str):
                    parts.append(piece)
                elif (span := match[piece]) is not None:
                    parts.append(text[span[0] : span[1]])
            end = after
        return "".join([*parts, text[end:]])

    return of


_PIECE = re.compile(r"\\(.?)|[^\\]+", re.DOTALL)


@lru_cache(maxsize=256)
def read_replacement(text: str) -> tuple[str | int, ...]:
    r"""Texts, and numbers of groups that stand as ``\0`` to ``\9`` in it; ``\\`` is a backslash.

    Raises
    ------
    PatternError : another character after a backslash.
    """
    pieces: list[str | int] = []
    for found in _PIECE.finditer(text):
        after = found[1]
        if after is None or after == "\\":
            pieces.append(found[0] if after is None else after)
        elif after.isascii() and after.isdigit():
            pieces.append(int(after))
        else:
            raise PatternError(r"in a replacement \0 to \9 are groups and \\ is a backslash")
    return tuple(pieces)


def check_extract(pattern: str, group: int) -> str | None:
    """What is wrong with the constants of `regexp_extract`."""
    return _check(pattern, group)


def check_replace(pattern: str, replacement: str) -> str | None:
    """What is wrong with the constants of `regexp_replace`."""
    return _check(pattern, max((piece for piece in read_replacement(replacement) if isinstance(piece, int)), default=0))


def check_count(pattern: str) -> str | None:
    """What is wrong with the constant of `regexp_count`."""
    return _check(pattern, 0)


def _check(pattern: str, group: int) -> str | None:
    compiled = compile_pattern(pattern)
    try:
        compiled.search  # noqa: B018  (made here, so that a pattern that is too large is found when it is read)
    except PatternError as error:
        return f"this pattern cannot be used: {error}"
    return None if group <= compiled.groups else f"the pattern has {compiled.groups} groups, not {group}"
