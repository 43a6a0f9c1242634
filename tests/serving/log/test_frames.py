"""Frames: whole, torn or damaged, and never taken for one another."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.serving.log.frames import DamagedFrameError, Frame, Frames, Kind, encode_frame

PAYLOADS = st.lists(st.binary(max_size=80), min_size=1, max_size=5)


def written(payloads: list[bytes]) -> list[bytes]:
    return [encode_frame(Kind.RECORDS, 3 * n, 3, payload) for n, payload in enumerate(payloads)]


def whole(data: bytes) -> tuple[list[Frame], int]:
    frames = Frames(data)
    return list(frames), frames.torn


@given(PAYLOADS)
def test_what_was_written_is_read(payloads: list[bytes]) -> None:
    found, torn = whole(b"".join(written(payloads)))
    assert [bytes(frame.payload) for frame in found] == payloads
    assert [(frame.kind, frame.sequence, frame.n) for frame in found] == [
        (Kind.RECORDS, 3 * n, 3) for n in range(len(payloads))
    ]
    assert torn == 0


@given(PAYLOADS, st.data())
def test_a_file_that_ends_anywhere_gives_the_whole_frames_before(payloads: list[bytes], data: st.DataObject) -> None:
    frames = written(payloads)
    file = b"".join(frames)
    size = data.draw(st.integers(0, len(file)))
    found, torn = whole(file[:size])
    ends = [sum(map(len, frames[: n + 1])) for n in range(len(frames))]
    assert len(found) == sum(end <= size for end in ends)
    assert torn == size - ([0, *ends][len(found)])


@given(PAYLOADS, st.data(), st.integers(0, 10_000))
def test_a_tail_of_nul_bytes_is_torn_like_a_short_one(payloads: list[bytes], data: st.DataObject, more: int) -> None:
    frames = written(payloads)
    file = b"".join(frames)
    size = data.draw(st.integers(0, len(file)))
    found, _ = whole(file[:size].ljust(len(file) + more, b"\0"))
    ends = [sum(map(len, frames[: n + 1])) for n in range(len(frames))]
    assert len(found) == sum(end <= size for end in ends)


@given(PAYLOADS, st.data())
def test_a_flipped_bit_is_always_found(payloads: list[bytes], data: st.DataObject) -> None:
    file = bytearray(b"".join(written(payloads)))
    bit = data.draw(st.integers(0, 8 * len(file) - 1))
    file[bit // 8] ^= 1 << bit % 8
    with pytest.raises(DamagedFrameError):
        whole(bytes(file))


@given(st.binary(min_size=28, max_size=200).filter(lambda data: data.rstrip(b"\0")[28:] != b""))
def test_what_is_no_frame_is_refused(data: bytes) -> None:
    with pytest.raises(DamagedFrameError):
        whole(data)


def test_a_frame_of_a_kind_that_is_not_known_is_refused() -> None:
    with pytest.raises(DamagedFrameError, match="unknown kind 99"):
        whole(encode_frame(99, 0, 0, b""))
