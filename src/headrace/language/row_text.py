"""Row forms of the functions of text; `headrace.language.row_kernels` says what holds for all of them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

LONGEST_MADE = 10_000
"""Code points that `pad_left`, `pad_right` and `repeat` make at most; null beyond."""


def pad_left(text: str, length: int, fill: str = " ") -> str | None:
    return text.rjust(length, fill) if length <= LONGEST_MADE else None


def pad_right(text: str, length: int, fill: str = " ") -> str | None:
    return text.ljust(length, fill) if length <= LONGEST_MADE else None


def pad_left_in(fill: str) -> Callable[[str, int], str | None]:
    return lambda text, length: pad_left(text, length, fill)


def pad_right_in(fill: str) -> Callable[[str, int], str | None]:
    return lambda text, length: pad_right(text, length, fill)


def repeat(text: str, times: int) -> str | None:
    if times < 0 or len(text) * times > LONGEST_MADE:
        return None
    return text * times if text else text


def strip_in(characters: str) -> Callable[[str], str]:
    return lambda text: text.strip(characters)


def lstrip_in(characters: str) -> Callable[[str], str]:
    return lambda text: text.lstrip(characters)


def rstrip_in(characters: str) -> Callable[[str], str]:
    return lambda text: text.rstrip(characters)


def split_part_in(separator: str, place: int) -> Callable[[str], str | None]:
    at = place - 1 if place > 0 else place

    def of(text: str) -> str | None:
        parts = text.split(separator)
        return parts[at] if -len(parts) <= at < len(parts) else None

    return of


_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)*")


def initcap(text: str) -> str:
    return _WORD.sub(lambda word: word[0].capitalize(), text)


def code_point(text: str) -> int | None:
    return ord(text[0]) if text else None


def count_in(other: str) -> Callable[[str], int]:
    return lambda text: text.count(other)


def count_letters(text: str) -> int:
    return sum(map(str.isalpha, text))


def count_capitals(text: str) -> int:
    return sum(map(str.isupper, text))


def count_digits(text: str) -> int:
    return sum("0" <= character <= "9" for character in text)


_BLANKS = re.compile(r"[^ \t\n\r\f\v]+")


def count_words(text: str) -> int:
    return len(_BLANKS.findall(text))


def normalize(text: str) -> str:
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def strip_accents(text: str) -> str:
    if text.isascii():
        return text
    apart = unicodedata.normalize("NFD", text)
    return unicodedata.normalize("NFC", "".join(one for one in apart if unicodedata.category(one) != "Mn"))


def levenshtein(a: str, b: str) -> int:
    """Myers, "A fast bit-vector algorithm for approximate string matching", JACM 1999, as Hyyrö 2003 writes it."""
    if not a or a == b:
        return 0 if a else len(b)
    places: dict[str, int] = {}
    for at, character in enumerate(a):
        places[character] = places.get(character, 0) | 1 << at
    last, whole = 1 << (len(a) - 1), (1 << len(a)) - 1
    up, down, distance = whole, 0, len(a)
    for character in b:
        same = places.get(character, 0)
        diagonal = (((same & up) + up) ^ up) | same | down
        right_up = down | ~(diagonal | up) & whole
        right_down = diagonal & up
        distance += bool(right_up & last) - bool(right_down & last)
        right_up = right_up << 1 | 1
        up = (right_down << 1 | ~(diagonal | right_up)) & whole
        down = right_up & diagonal
    return distance


def trigram_similarity(a: str, b: str) -> float:
    ours, theirs = _trigrams(a), _trigrams(b)
    return len(ours & theirs) / len(ours | theirs)


def _trigrams(text: str) -> set[str]:
    padded = f"  {text.lower()} "
    return {padded[at : at + 3] for at in range(len(padded) - 2)}


def common_prefix(a: str, b: str) -> int:
    shorter = min(len(a), len(b))
    return next((at for at in range(shorter) if a[at] != b[at]), shorter)


def jaro_winkler(a: str, b: str) -> float:
    """Winkler, "String Comparator Metrics and Enhanced Decision Rules in the Fellegi-Sunter Model", 1990.

    As it is written there and in most libraries: a common prefix of up to four counts from a similarity of 0.7 on.
    """
    if a == b:
        return 1.0
    if not a or not b:
        return 0.0
    near = max(max(len(a), len(b)) // 2 - 1, 0)
    taken = [False] * len(b)
    matched = []
    for at, character in enumerate(a):
        for other in range(max(at - near, 0), min(at + near + 1, len(b))):
            if not taken[other] and b[other] == character:
                taken[other] = True
                matched.append(character)
                break
    if not matched:
        return 0.0
    theirs = [character for character, is_taken in zip(b, taken, strict=True) if is_taken]
    crossed = sum(ours != other for ours, other in zip(matched, theirs, strict=True)) // 2
    count = len(matched)
    similarity = (count / len(a) + count / len(b) + (count - crossed) / count) / 3.0
    if similarity > 0.7:
        similarity += min(common_prefix(a, b), 4) * 0.1 * (1.0 - similarity)
    return similarity
