"""Ways in which stored bytes go bad."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

Mutation: TypeAlias = Callable[[bytes], bytes]


def flip_first_bit(data: bytes) -> bytes:
    return bytes([data[0] ^ 0x80]) + data[1:]


def flip_middle_bit(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 0x01]) + data[middle + 1 :]


def flip_last_bit(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 0x10])


def truncate_half(data: bytes) -> bytes:
    return data[: len(data) // 2]


def truncate_last_byte(data: bytes) -> bytes:
    return data[:-1]


def empty(data: bytes) -> bytes:  # noqa: ARG001
    return b""


def zero_all(data: bytes) -> bytes:
    return bytes(len(data))


def zero_a_block(data: bytes) -> bytes:
    start = len(data) // 3
    block = bytes(min(4096, len(data) - start))
    return data[:start] + block + data[start + len(block) :]


def append_a_byte(data: bytes) -> bytes:
    return data + b"\0"


MUTATIONS: tuple[Mutation, ...] = (
    flip_first_bit,
    flip_middle_bit,
    flip_last_bit,
    truncate_half,
    truncate_last_byte,
    empty,
    zero_all,
    zero_a_block,
    append_a_byte,
)
