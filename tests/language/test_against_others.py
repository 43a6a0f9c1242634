"""Functions whose two forms share a kernel, against other implementations of the same meaning."""

from __future__ import annotations

import calendar
import datetime as dt
import hashlib
import math
import random
import statistics
from decimal import ROUND_FLOOR, ROUND_HALF_UP, Decimal, localcontext

import numpy as np
import pytest
from rapidfuzz.distance import JaroWinkler, Levenshtein

from headrace.language import formats, row_decimals, row_lists, row_math, row_places, row_scaled, row_text
from headrace.language import row_calendar as c
from headrace.language.zones import FIRST_DAY, LAST_DAY

_EPOCH = dt.date(1970, 1, 1)
_UTC_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def _days(source: random.Random, count: int) -> list[int]:
    near = [FIRST_DAY, LAST_DAY, -1, 0, 11_016, 15_399, -25_508]
    return near + [source.randrange(FIRST_DAY, LAST_DAY + 1) for _ in range(count)]


def _date(day: int) -> dt.date:
    return _EPOCH + dt.timedelta(days=day)


def _text(source: random.Random, letters: str = "abcé \U0001f600") -> str:
    return "".join(source.choices(letters, k=source.randrange(12)))


def test_parts_of_dates_are_those_of_the_standard_library() -> None:
    for day in _days(random.Random(0), 2_000):
        there = _date(day)
        assert c.iso(day) == there.isocalendar()[:2]
        assert c.days_in_month(day) == calendar.monthrange(there.year, there.month)[1]
        assert c.is_leap(there.year) == calendar.isleap(there.year)
        assert _date(c.last_day(day)).day == c.days_in_month(day)
        assert c.last_of_month(day) == (c.last_day(day) == day)
        assert _date(c.start_of_in("quarter")(day)) == there.replace(month=(there.month - 1) // 3 * 3 + 1, day=1)
        assert _date(c.start_of_in("week")(day)).weekday() == 0
        assert 0 <= day - c.start_of_in("week")(day) < 7
        assert c.day_number(there.year, there.month, there.day) == day


def test_months_are_added_as_a_person_counts_them() -> None:
    source = random.Random(1)
    for day in _days(source, 1_000):
        there, count = _date(day), source.randrange(-40, 40)
        year, month = divmod(there.year * 12 + there.month - 1 + count, 12)
        found = c.add_months(day, count)
        if not 1 <= year <= 9999:
            assert found is None
            continue
        last = calendar.monthrange(year, month + 1)[1]
        assert found is not None
        assert _date(found) == dt.date(year, month + 1, min(there.day, last))


def test_whole_months_are_as_many_as_can_be_added() -> None:
    source = random.Random(2)
    for _ in range(2_000):
        start = source.randrange(0, 20_000)
        end = start + source.randrange(0, 2_000)
        months = c.full_months(start, end)
        first, last = _date(start), _date(end)
        reached = (last.year - first.year) * 12 + last.month - first.month - (last.day < first.day)
        assert months == reached
        assert c.full_months(end, start) == -months
        assert c.full_years(start, end) == months // 12


def test_business_days_are_those_that_numpy_counts() -> None:
    source = random.Random(3)
    for _ in range(1_000):
        start, end = (source.randrange(-50_000, 50_000) for _ in range(2))
        assert c.business_days(start, end) == _weekdays(start, end)


def _weekdays(start: int, end: int) -> int:
    if start > end:
        return -_weekdays(end, start)
    return int(np.busday_count(np.datetime64(start, "D"), np.datetime64(end, "D")))


@pytest.mark.parametrize("text", ["%Y-%m-%d", "%d.%m.%Y", "%d %b %Y", "%Y%m%d", "%%%Y/%m/%d"])
def test_dates_in_a_format_are_read_as_strptime_reads_them(text: str) -> None:
    source = random.Random(text)
    read = formats.parse_date_in(text)
    for day in _days(source, 200):
        there = _date(day)
        shown = text.replace("%Y", f"{there.year:04}").replace("%b", there.strftime("%b"))
        written = there.strftime(shown.replace("%%", "%%%%")).replace("%%", "%")
        assert read(written) == day, written
        assert read(written + " ") is None
    assert formats.parse_date_in("%Y-%m-%d")("2013-02-29") is None


def test_times_in_a_format_are_read_as_strptime_reads_them() -> None:
    source = random.Random(4)
    read = formats.parse_timestamp_in("%d/%b/%Y:%H:%M:%S.%f", "UTC")
    for _ in range(500):
        there = _UTC_EPOCH + dt.timedelta(microseconds=source.randrange(-(10**15), 4 * 10**15))
        written = there.strftime("%d/%b/%Y:%H:%M:%S.%f")
        assert read(written) == (there - _UTC_EPOCH) // dt.timedelta(microseconds=1)
    assert read("31/Oct/2013:24:00:00.0") is None


def test_distances_of_texts_are_those_of_rapidfuzz() -> None:
    source = random.Random(5)
    for _ in range(3_000):
        a, b = _text(source), _text(source)
        assert row_text.levenshtein(a, b) == Levenshtein.distance(a, b), (a, b)
        assert row_text.jaro_winkler(a, b) == pytest.approx(JaroWinkler.similarity(a, b), abs=1e-12), (a, b)
    a, b = ("".join(source.choices("abc", k=700)) for _ in range(2))
    assert row_text.levenshtein(a, b) == Levenshtein.distance(a, b)


def test_trigrams_are_compared_as_sets() -> None:
    assert row_text.trigram_similarity("", "") == 1.0
    assert row_text.trigram_similarity("abc", "ABC") == 1.0
    assert row_text.trigram_similarity("abc", "xyz") == 0.0
    # "  w", " wo", "wor", "ord" are in both; "rd " and "rds", "ds " in one
    assert row_text.trigram_similarity("word", "words") == 4 / 7


def test_statistics_are_those_of_the_standard_library() -> None:
    source = random.Random(6)
    for _ in range(500):
        values = [source.choice([None, source.uniform(-1e3, 1e3)]) for _ in range(source.randint(1, 7))]
        there = [value for value in values if value is not None]
        if not there:
            assert row_lists.mean_of(*values) is row_lists.median_of(*values) is row_lists.argmax_of(*values) is None
            continue
        assert row_lists.sum_of(*values) == pytest.approx(math.fsum(there), abs=1e-9)
        assert row_lists.mean_of(*values) == pytest.approx(statistics.fmean(there), abs=1e-9)
        assert row_lists.median_of(*values) == pytest.approx(statistics.median(there), abs=1e-9)
        assert row_lists.max_of(*values) == max(there)
        assert row_lists.min_of(*values) == min(there)
        assert row_lists.argmax_of(*values) == 1 + values.index(max(there))
        assert row_lists.argmin_of(*values) == 1 + values.index(min(there))
        if len(there) > 1:
            assert row_lists.stddev_of(*values) == pytest.approx(statistics.stdev(there), abs=1e-9)


def test_buckets_of_equal_width_hold_their_edges() -> None:
    place = row_lists.width_bucket_in(0.0, 10.0, 5)
    assert [place(x) for x in (-0.1, 0.0, 1.99, 2.0, 9.99, 10.0, math.inf, -math.inf)] == [0, 1, 1, 2, 5, 6, 6, 0]
    source = random.Random(7)
    for _ in range(1_000):
        x = source.uniform(-5, 15)
        low = (place(x) - 1) * 2.0
        assert (x < 0) if place(x) == 0 else (x >= 10) if place(x) == 6 else low <= x < low + 2


def test_hashes_are_blake2b_and_fill_their_buckets_evenly() -> None:
    texts = [f"N{number}" for number in range(20_000)]
    for text in texts[:100]:
        digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
        assert row_lists.hash64(text) == int.from_bytes(digest, "little", signed=True)
    bucket = row_lists.hash_bucket_in(10)
    counts = np.bincount([bucket(text) for text in texts], minlength=10)
    assert counts.min() > 1_800
    assert counts.max() < 2_200


def test_bearings_are_those_of_vectors() -> None:
    source = random.Random(8)
    for _ in range(500):
        lat1, lat2 = source.uniform(-89, 89), source.uniform(-89, 89)
        lon1, lon2 = source.uniform(-180, 180), source.uniform(-180, 180)
        one, two = _vector(lat1, lon1), _vector(lat2, lon2)
        north = np.array([-math.sin(math.radians(lat1)) * math.cos(math.radians(lon1)),
                          -math.sin(math.radians(lat1)) * math.sin(math.radians(lon1)),
                          math.cos(math.radians(lat1))])  # fmt: skip
        east = np.cross(north, one)
        expected = math.degrees(math.atan2(two @ east, two @ north)) % 360.0
        found = row_places.bearing(lat1, lon1, lat2, lon2)
        assert found is not None
        assert abs((found - expected + 180.0) % 360.0 - 180.0) < 1e-6


def _vector(lat: float, lon: float) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    north, east = math.radians(lat), math.radians(lon)
    return np.array([math.cos(north) * math.cos(east), math.cos(north) * math.sin(east), math.sin(north)])


def test_a_geohash_is_the_box_that_holds_the_point() -> None:
    source = random.Random(9)
    for _ in range(300):
        lat, lon = source.uniform(-90, 90), source.uniform(-180, 180)
        code = row_places.geohash_in(8)(lat, lon)
        assert code is not None
        assert row_places.geohash_in(3)(lat, lon) == code[:3]
        bits = "".join(f"{row_places.GEOHASH.index(character):05b}" for character in code)
        for value, part, bound in ((lon, bits[::2], 180.0), (lat, bits[1::2], 90.0)):
            size = 2 * bound / 2 ** len(part)
            low = -bound + int(part, 2) * size
            assert low <= value < low + size or value == bound


def test_scaled_amounts_are_those_of_exact_decimals() -> None:
    source = random.Random(10)
    for _ in range(3_000):
        places, wanted = source.randrange(7), source.randrange(7)
        written = f"{source.choice(['', '-', '+'])}{source.randrange(10**12)}.{source.randrange(10**4):04}"
        exact = Decimal(written).scaleb(places)
        found = row_scaled.text_in(places)(written)
        assert found == (int(exact) if exact == int(exact) else None), (written, places)
        if found is not None:
            assert Decimal(row_scaled.to_text_in(places)(found)) == Decimal(written)
            moved = Decimal(written).quantize(Decimal(1).scaleb(-wanted), rounding=ROUND_HALF_UP)
            assert row_scaled.rescale_in(places, wanted)(found) == int(moved.scaleb(wanted))


def test_a_circle_closes_after_its_period() -> None:
    sine, cosine = row_math.cyclic_sin_in(24.0), row_math.cyclic_cos_in(24.0)
    for hour in range(-48, 48):
        assert sine(hour) == pytest.approx(math.sin(hour / 24 * math.tau), abs=1e-12)
        assert cosine(hour) == pytest.approx(math.cos(hour / 24 * math.tau), abs=1e-12)
    assert (sine(24.0), cosine(24.0)) == (0.0, 1.0)


def test_logistic_functions_undo_each_other() -> None:
    for x in (-30.0, -1.0, 0.0, 0.5, 12.0):
        assert row_math.logit(row_math.sigmoid(x)) == pytest.approx(x, abs=1e-3)


def test_decimals_are_computed_as_the_standard_library_computes_them() -> None:
    source = random.Random(3)
    with localcontext() as context:
        context.prec = 60
        for _ in range(20_000):
            a, b = (source.choice([-1, 1]) * source.randrange(10 ** source.randint(1, 18)) for _ in range(2))
            x, y = Decimal(a).scaleb(-6), Decimal(b).scaleb(-6)
            product = (x * y).quantize(Decimal("0.000001"), ROUND_HALF_UP)
            assert row_decimals.multiply(a, b) == row_decimals.within(int(product.scaleb(6)))
            digits = source.randrange(7)
            rounded = x.quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP)
            assert row_decimals.round_half_away_to(digits)(a) == row_decimals.within(int(rounded.scaleb(6)))
            assert row_decimals.floor(a) == row_decimals.within(int(x.to_integral_value(ROUND_FLOOR).scaleb(6)))
            assert row_decimals.decimal_to_integer(a) == int(x)
            assert Decimal(row_decimals.decimal_to_text(a)) == x
            assert row_decimals.text_to_decimal(str(x)) == a or "E" in str(x)
            assert row_decimals.exactly(x) == a
            assert row_decimals.float_to_decimal(a / 10**6) == a or abs(a) > 10**15
