"""A Containerfile as data, and as text: what a value contains never becomes an instruction, an option or a variable.

Programs are in the exec form, a JSON array that no shell reads. Labels and variables are quoted, with the three
characters escaped that mean something between quotes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from headrace.packaging.errors import ImageNameInvalid, NotWritable

_DOMAIN: Final = r"[a-zA-Z0-9](?:[a-zA-Z0-9.-]*[a-zA-Z0-9])?(?::[0-9]{1,5})?"
_PATH: Final = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_IMAGE: Final = re.compile(
    rf"(?P<name>(?:{_DOMAIN}/)?{_PATH}(?:/{_PATH})*)(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9._-]{{0,127}}))?"
    r"(?:@(?P<digest>sha256:[0-9a-f]{64}))?"
)
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LABEL: Final = re.compile(r"[a-z0-9]+(?:[.-][a-z0-9]+)*")


@dataclass(frozen=True, slots=True)
class Image:
    """The name of an image, and the tag and the digest of its manifest if they are known."""

    name: str
    tag: str | None = None
    digest: str | None = None

    @property
    def tagged(self) -> str:
        return self.name if self.tag is None else f"{self.name}:{self.tag}"


def parse_image(text: str) -> Image:
    """An image as people write it; raises `ImageNameInvalid`.

    >>> parse_image("docker.io/library/python:3.11-slim")
    Image(name='docker.io/library/python', tag='3.11-slim', digest=None)
    """
    match = _IMAGE.fullmatch(text)
    if match is None or len(text) > 400:
        raise ImageNameInvalid(text)
    return Image(match["name"], match["tag"], match["digest"])


@dataclass(frozen=True, slots=True)
class Comment:
    """For who reads the file."""

    text: str


@dataclass(frozen=True, slots=True)
class Arg:
    """A value that who builds may give; without a default there is none until somebody does."""

    name: str
    default: str | None = None


@dataclass(frozen=True, slots=True)
class From:
    """Begins a stage, from the image that two arguments name."""

    name_arg: str
    digest_arg: str
    stage: str


@dataclass(frozen=True, slots=True)
class Copy:
    """Files of the context, or of another stage."""

    sources: Sequence[str]
    target: str
    stage: str | None = None
    owner: int | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """A program, as it is: no shell."""

    words: Sequence[str]


@dataclass(frozen=True, slots=True)
class Pairs:
    """`ENV` or `LABEL`."""

    kind: str
    values: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Word:
    """An instruction of one word that is no text of a person: `USER 10001:10001`."""

    kind: str
    value: str


@dataclass(frozen=True, slots=True)
class Exec:
    """`ENTRYPOINT`, `CMD`, `VOLUME`."""

    kind: str
    words: Sequence[str]


@dataclass(frozen=True, slots=True)
class Health:
    """How the container's host finds out whether it answers."""

    words: Sequence[str]
    options: Mapping[str, str] = field(default_factory=dict)


Instruction: TypeAlias = Comment | Arg | From | Copy | Run | Pairs | Word | Exec | Health


def render(instructions: Sequence[Instruction]) -> str:
    """The text of a Containerfile, which is a Dockerfile too.

    Raises
    ------
    NotWritable : a value has a line break or another control character, or a name is no name.
    """
    return "".join(f"{_line(each)}\n" for each in instructions).lstrip("\n")


def _line(each: Instruction) -> str:
    match each:
        case Comment():
            return f"\n# {_plain(each.text, 'a comment')}"
        case Arg():
            return f"ARG {_name(each.name)}" + ("" if each.default is None else f"={_quoted(each.default, each.name)}")
        case From():
            image = f"${{{_name(each.name_arg)}}}@${{{_name(each.digest_arg)}}}"
            return f"\nFROM {image} AS {_name(each.stage)}"
        case Copy():
            stage = "" if each.stage is None else f"--from={_name(each.stage)} "
            owner = "" if each.owner is None else f"--chown={each.owner}:{each.owner} "
            return f"COPY {stage}{owner}{_array([*each.sources, each.target], 'COPY')}"
        case Run():
            return f"RUN {_array(each.words, 'RUN')}"
        case Pairs():
            known = _NAME if each.kind == "ENV" else _LABEL
            pairs = []
            for name, value in each.values.items():
                if not known.fullmatch(name):
                    raise NotWritable(f"{each.kind} {name[:80]!r}", "it is no name")
                pairs.append(f"{name}={_quoted(value, name)}")
            return f"{each.kind} " + " \\\n    ".join(pairs)
        case Word():
            return f"{each.kind} {_plain(each.value, each.kind)}"
        case Exec():
            return f"{each.kind} {_array(each.words, each.kind)}"
        case Health():
            options = " ".join(f"--{name}={value}" for name, value in each.options.items())
            return f"HEALTHCHECK {options} CMD {_array(each.words, 'HEALTHCHECK')}"


def _array(words: Sequence[str], where: str) -> str:
    for word in words:
        if "$" in word:  # COPY would take it for a variable, and a JSON array has no way to say otherwise
            raise NotWritable(where, "there is a $ in it")
    return json.dumps([_plain(word, where) for word in words])


def _quoted(value: str, where: str) -> str:
    escaped = _plain(value, where).replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$")
    return f'"{escaped}"'


def _name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise NotWritable(name[:80], "it is no name")
    return name


def _plain(text: str, where: str) -> str:
    if not text.isprintable():
        raise NotWritable(where, "there is a line break or another character in it that cannot be seen")
    return text
