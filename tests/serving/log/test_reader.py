"""Reading a log: every record once and in order, whatever killed its writer; damage is named."""

from __future__ import annotations

import contextlib
import random
import re
import shutil
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.serving.log.samples import ROUTE, numbers, reads, record, writer

from headrace.serving.log.epochs import epochs, is_alive, segments
from headrace.serving.log.errors import LogCorrupted, LogTooNew
from headrace.serving.log.frames import Frames, Kind, encode_frame
from headrace.serving.log.reader import EpochReader, Missing, Predictions, Truths, read_log, verify
from headrace.serving.log.record import Outcome, Record, Route, SegmentHeader

VALUES = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats() | st.text(max_size=20)
RECORDS = st.builds(
    Record,
    request_id=st.text(max_size=40),
    row=st.integers(0, 10_000),
    route=st.just(1),
    at_us=st.integers(-(2**62), 2**62),
    entity=st.lists(VALUES, max_size=3).map(tuple),
    features=st.binary(max_size=64),
    scores=st.lists(st.floats(), min_size=1, max_size=4).map(tuple),
    decision=st.none() | st.booleans() | st.text(max_size=9),
    review=st.none() | st.booleans(),
    own=st.lists(VALUES, max_size=2).map(tuple),
    latency_us=st.integers(0, 10**9),
    watermark_us=st.none() | st.integers(0, 2**62),
)


def three_segments(log: Path) -> list[Path]:
    """A closed log of 30 records in three segments."""
    one = writer(log, segment_bytes=2_000)
    route = one.introduce(ROUTE)
    for n in range(30):
        one.append([record(n, route)])
    one.close()
    (folder,) = epochs(log)
    found = [path for _, path in segments(folder)]
    assert len(found) >= 3
    return found


@given(batches=st.lists(st.lists(RECORDS, min_size=1, max_size=4), max_size=5))
def test_what_was_logged_is_read_to_the_bit(
    batches: list[list[Record]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    log = tmp_path_factory.mktemp("log")
    one = writer(log, segment_bytes=300)
    assert one.introduce(ROUTE) == 1
    for batch in batches:
        one.append(batch)
    one.close()
    found = reads(log)
    assert all(isinstance(read, Predictions) and set(read.routes) == {ROUTE} for read in found)
    encode = msgspec.msgpack.encode  # NaN is itself there
    assert [encode(read.records) for read in found if isinstance(read, Predictions)] == [*map(encode, batches)]
    assert [read.sequence for read in found] == [sum(map(len, batches[:n])) for n in range(len(batches))]


def test_outcomes_stand_in_the_same_log(tmp_path: Path) -> None:
    one = writer(tmp_path)
    truths = [
        Outcome(value="late", known_us=5, request_id="r1"),
        Outcome(value=0.5, known_us=6, entity=("N1",), at_us=7),
    ]
    one.append([record(0, one.introduce(ROUTE))])
    one.append_outcomes(truths)
    found = reads(tmp_path)
    assert [type(read) for read in found] == [Predictions, Truths]
    assert isinstance(found[1], Truths)
    assert found[1].outcomes == truths
    assert found[1].sequence == 1


def test_a_writer_that_lives_can_be_read_beside(tmp_path: Path) -> None:
    one = writer(tmp_path)
    (folder,) = epochs(tmp_path)
    assert is_alive(folder)
    route = one.introduce(ROUTE)
    reader_at = 0
    for n in range(5):
        one.append([record(n, route)])
        reader = EpochReader(folder, reader_at, alive=True)
        assert [r.request_id for read in reader if isinstance(read, Predictions) for r in read.records] == [f"r{n}"]
        assert reader.next is not None
        reader_at = reader.next
    one.close()
    assert not is_alive(folder)


def test_two_writers_have_logs_of_their_own(tmp_path: Path) -> None:
    both = [writer(tmp_path) for _ in range(2)]
    for n in range(6):
        both[n % 2].append([record(n, both[n % 2].introduce(ROUTE))])
    assert len(epochs(tmp_path)) == 2
    assert sorted(numbers(tmp_path)) == [*range(6)]


def test_a_clock_that_jumps_changes_no_order(tmp_path: Path) -> None:
    times = iter([10**15 + step for step in (0, 86_400_000_000, -3_600_000_000, 315_360_000_000_000) * 50])
    one = writer(tmp_path, clock=lambda: next(times), segment_bytes=500)
    route = one.introduce(ROUTE)
    for n in range(20):
        one.append([record(n, route)])
    one.close()
    assert numbers(tmp_path) == [*range(20)]
    assert verify(tmp_path).problems == []


def test_segments_that_were_shipped_may_be_gone(tmp_path: Path) -> None:
    first, *_ = three_segments(tmp_path)
    held = sum(frame.n for frame in Frames(first.read_bytes()))
    first.unlink()
    (folder,) = epochs(tmp_path)
    found = [r for read in EpochReader(folder) if isinstance(read, Predictions) for r in read.records]
    assert [r.request_id for r in found] == [f"r{n}" for n in range(held, 30)]
    assert [*EpochReader(folder, held)]
    with pytest.raises(LogCorrupted, match=re.escape(f"records 0 to {held - 1} are missing")):
        [*EpochReader(folder, 0)]


def test_a_segment_missing_in_the_middle_is_named(tmp_path: Path) -> None:
    _, second, *_ = three_segments(tmp_path)
    second.unlink()
    with pytest.raises(LogCorrupted, match="number 2, is missing"):
        [*read_log(tmp_path)]


@pytest.mark.parametrize("where", [0.0, 0.3, 0.6, 0.999])
def test_a_flipped_bit_is_refused_and_its_place_said(tmp_path: Path, where: float) -> None:
    _, second, *_ = three_segments(tmp_path)
    data = bytearray(second.read_bytes())
    place = int(where * len(data))
    data[place] ^= 0x40
    second.write_bytes(data)
    with pytest.raises(LogCorrupted, match=r"0002\.log at byte \d+") as refused:
        [*read_log(tmp_path)]
    assert refused.value.facts["offset"] <= place
    found = verify(tmp_path)
    assert [problem.code for problem in found.problems] == ["prediction-log-corrupted"]
    assert found.predictions < 30


def test_a_block_of_zeros_in_the_middle_is_refused(tmp_path: Path) -> None:
    first, *_ = three_segments(tmp_path)
    data = first.read_bytes()
    half = len(data) // 2
    first.write_bytes(data[:half] + bytes(64) + data[half + 64 :])
    with pytest.raises(LogCorrupted):
        [*read_log(tmp_path)]


def test_of_a_thousand_damaged_logs_none_gives_a_record_that_was_not_logged(tmp_path: Path) -> None:
    """And none loses one silently: each is refused, or says how many are missing. Only what cuts the last segment short
    looks like the tail of a killed worker."""
    paths = three_segments(tmp_path)
    whole = {path: path.read_bytes() for path in paths}
    draw, refused, counted = random.Random(7), 0, 0
    for mutant in range(1_000):
        path = draw.choice(paths)
        data = bytearray(whole[path])
        place = draw.randrange(len(data))
        kind = mutant % 4
        if kind == 0:
            data[place] ^= 1 << draw.randrange(8)
        elif kind == 1 and path is not paths[-1]:
            del data[place:]
        elif kind == 2:
            end = min(len(data) - 1, place + 64)  # zeros to the end are a power cut's
            data[place:end] = bytes(end - place)
        else:
            at = draw.randrange(len(data))
            data[place : place + 40], data[at : at + 40] = data[at : at + 40], data[place : place + 40]
        if bytes(data) != whole[path]:
            path.write_bytes(data)
            found = verify(tmp_path)
            held: list[int] = []
            with contextlib.suppress(LogCorrupted, LogTooNew):
                held = numbers(tmp_path)
            assert held == sorted(set(held))
            refused += bool(found.problems)
            counted += not found.problems and sum(found.missing.values()) == 30 - found.predictions > 0
            assert found.problems or sum(found.missing.values()) == 30 - found.predictions, (mutant, path, place)
            path.write_bytes(whole[path])
    assert refused + counted > 900
    assert counted > 20


def test_two_segments_that_were_swapped_are_refused(tmp_path: Path) -> None:
    first, second, *_ = three_segments(tmp_path)
    a, b = first.read_bytes(), second.read_bytes()
    first.write_bytes(b)
    second.write_bytes(a)
    with pytest.raises(LogCorrupted, match="it is segment 2 of epoch"):
        [*read_log(tmp_path)]


def test_the_segment_of_another_epoch_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    mine, theirs = three_segments(tmp_path / "a"), three_segments(tmp_path / "b")
    shutil.copy(theirs[1], mine[1])
    with pytest.raises(LogCorrupted, match="it is segment 2 of epoch"):
        [*read_log(tmp_path / "a")]


def test_a_closed_segment_that_was_cut_is_refused(tmp_path: Path) -> None:
    """What a cut leaves has no end; that the next segment goes on later says that something was lost."""
    first, *_ = three_segments(tmp_path)
    data = first.read_bytes()
    frames = [*Frames(data)]
    last = next(frame for frame in reversed(frames) if frame.kind is Kind.RECORDS)
    first.write_bytes(data[: last.offset] + data[frames[-1].offset :])
    with pytest.raises(LogCorrupted, match=r"records .* are missing"):
        [*read_log(tmp_path)]


def test_a_tail_that_a_power_cut_took_is_counted_when_later_records_are_there(tmp_path: Path) -> None:
    first, *_ = three_segments(tmp_path)
    data = first.read_bytes()
    frames = [*Frames(data)]
    kept = [frame for frame in frames if frame.kind is Kind.RECORDS]
    first.write_bytes(data[: kept[-2].offset + 10].ljust(len(data), b"\0"))
    gaps = [read for read in reads(tmp_path) if isinstance(read, Missing)]
    assert [(gap.sequence, gap.gap.n, gap.gap.reason) for gap in gaps] == [(kept[-2].sequence, 2, "cut")]
    assert len(numbers(tmp_path)) == 28


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    writer(tmp_path).close()
    (folder,) = epochs(tmp_path)
    header = SegmentHeader(format=2, project="p", worker="w", epoch=folder.name, number=1, first=0, opened_us=0)
    (folder / "0001.log").write_bytes(encode_frame(Kind.HEADER, 0, 0, msgspec.msgpack.encode(header)))
    with pytest.raises(LogTooNew, match="format 2"):
        [*read_log(tmp_path)]


def test_routes_are_introduced_in_every_segment(tmp_path: Path) -> None:
    one = writer(tmp_path, segment_bytes=400)
    routes = [Route(deployment="d", revision=n, arm="a", model="m", version=n, package="0" * 64) for n in range(4)]
    names = [one.introduce(route) for route in routes]
    for n in range(40):
        one.append([record(n, names[n % 4])])
    one.close()
    found = [
        (r, route)
        for read in reads(tmp_path)
        if isinstance(read, Predictions)
        for r, route in zip(read.records, read.routes, strict=True)
    ]
    assert [route.revision for _, route in found] == [n % 4 for n in range(40)]
