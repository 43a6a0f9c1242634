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
from headrace.pages.scale import log_ticks, ticks
from headrace.pages.swarm import Swarm, swarm_chart

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
    # a name stands in attributes too, where it is no number that is none
    st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20).filter(lambda name: "nan" not in name.lower()),
)
def test_any_finite_points_and_any_name_make_a_whole_chart(points: list[tuple[float, float]], name: str) -> None:
    x, y = [p[0] for p in points], [p[1] for p in points]
    lines = line_chart(name, [Series(name, x, y), Series("other", x, y, dashed=True)], x_label=name, y_label=name)
    marks = scatter_chart(name, [Point(a, b, name) for a, b in points], x_label=name, y_label=name, groups=[name])
    logs = scatter_chart(
        name, [Point(a, b, name) for a, b in points], x_label="", y_label="", groups=[name] * 9, log_x=True, path=points
    )
    bars = bar_chart(name, [Bar(name, a, a - 1, a + 1) for a in x])
    shades = [None, *[i / len(x) for i in range(len(x) - 1)]]
    swarm = swarm_chart(name, [Swarm(name, x, shades), Swarm("", y, shades)], x_label=name, low="", high="", none=name)
    for chart in (lines, marks, logs, bars, swarm):
        assert ET.fromstring(chart).tag == "svg"
        assert "nan" not in re.sub(r">[^<]*<", "><", chart).lower()


@given(st.floats(1e-9, 1e9), st.floats(1, 1e9))
def test_ticks_of_a_logarithmic_axis_cover_the_range(low: float, times: float) -> None:
    found = log_ticks(low, low * times)
    assert found[0] <= low * 1.002
    assert found[-1] >= low * times * 0.998
    assert found == sorted(set(found))
    assert 2 <= len(found) <= 20


def test_bars_below_zero_go_to_the_left_of_it_with_their_intervals() -> None:
    chart = ET.fromstring(bar_chart("b", [Bar("up", 2.0, 1.0, 3.0), Bar("down", -1.0, -2.0, 0.5)]))
    up, down = ((float(r.get("x", 0)), float(r.get("width", 0))) for r in chart.iter("rect"))
    assert up[0] == pytest.approx(down[0] + down[1], abs=0.2), "both begin at zero"
    assert up[1] == pytest.approx(2 * down[1], abs=0.3)
    ends = [(float(w.get("x1", 0)), float(w.get("x2", 0))) for w in chart.iter("line") if w.get("class") == "whisker"]
    assert ends[1][0] == pytest.approx(down[0] - down[1], abs=0.2)


def test_points_of_a_swarm_that_are_close_stand_above_and_below_one_another() -> None:
    chart = swarm_chart("s", [Swarm("a", [1.0] * 5, [0.0] * 5)], x_label="", low="", high="", none="")
    row = next(p for p in ET.fromstring(chart).iter("path") if "h0M" in p.get("d", ""))
    heights = re.findall(r"M[\d.]+ ([\d.]+)h0", row.get("d", ""))
    assert len(set(heights)) == 5


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
