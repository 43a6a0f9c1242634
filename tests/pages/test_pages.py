"""Pages: charts are whole SVG, every value is escaped, nothing is loaded from anywhere."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.data.model import ColumnProfile, QualityReport, RuleResult
from headrace.data.page import quality_page
from headrace.language.types import Type
from headrace.pages.charts import Bar, Point, Series, bar_chart, line_chart, scatter_chart
from headrace.pages.scale import ticks

NASTY = '<script>alert("x")</script>&'


def report(source: str = "flights", *, broken: bool = False) -> QualityReport:
    rule = RuleResult(
        rule=f"check:{NASTY}", kind="row", on_fail="fail", failed=3 if broken else 0, first_row=7, passed=not broken
    )
    column = ColumnProfile(name=NASTY, type=Type.CATEGORY, nulls=1, distinct=2, top=((NASTY, 5),))
    return QualityReport(
        source=source,
        read=10,
        accepted=6,
        repaired=1,
        quarantined=3,
        reasons=((NASTY, 3),),
        repairs=(("nan:x", 1),),
        rules=(rule,),
        columns=(column,),
        warnings=(NASTY,),
    )


@given(
    st.lists(st.tuples(st.floats(-1e9, 1e9), st.floats(-1e9, 1e9)), min_size=1, max_size=20),
    st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20),
)
def test_any_finite_points_and_any_name_make_a_whole_chart(points: list[tuple[float, float]], name: str) -> None:
    x, y = [p[0] for p in points], [p[1] for p in points]
    lines = line_chart(name, [Series(name, x, y), Series("other", x, y, dashed=True)], x_label=name, y_label=name)
    marks = scatter_chart(name, [Point(a, b, name) for a, b in points], x_label=name, y_label=name, groups=[name])
    bars = bar_chart(name, [Bar(name, a, a - 1, a + 1) for a in x])
    for chart in (lines, marks, bars):
        assert ET.fromstring(chart).tag == "svg"
        assert "nan" not in re.sub(r">[^<]*<", "><", chart).lower()


@given(st.floats(-1e12, 1e12), st.floats(0, 1e12))
def test_ticks_cover_the_range_in_even_steps(low: float, width: float) -> None:
    found = ticks(low, low + width)
    slack = 1e-6 * (abs(low) + width) + 1e-9
    assert found[0] <= low + slack
    assert found[-1] >= low + width - slack
    assert 2 <= len(found) <= 12


def test_the_quality_page_escapes_names_and_says_what_broke() -> None:
    page = quality_page(NASTY, [report(broken=True)])
    assert "<script>" not in page
    assert "A contract is broken." in page
    assert "Of 10 rows read, 6 were accepted as read, 1 after a repair, and 3 were set aside" in page


@pytest.mark.parametrize("page", [quality_page("p", [report()])])
def test_a_page_loads_nothing_and_runs_nothing(page: str) -> None:
    assert "default-src 'none'" in page
    assert not re.search(r"<script|<link|<img|<iframe|url\(|@import", page)
