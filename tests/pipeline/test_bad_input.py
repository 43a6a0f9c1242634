"""Bad input, end to end: each kind comes to its documented outcome, and nothing is lost."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tests.examples import define, edit, write_csv

import headrace
from headrace.app import Project
from headrace.data.errors import ColumnsDiffer, SourceEmpty, SourceMissing, SourceUnreadable
from headrace.data.model import QualityReport
from headrace.definition.errors import DefinitionErrors
from headrace.errors import HeadraceError
from headrace.features.errors import FeatureErrors, LabelKnownTooEarly, OneClass
from headrace.runs.history import get_run
from headrace.stages.model import Checked
from headrace.training.errors import SettingOfAnotherTask

SAMPLES = Path(__file__).parents[1] / "definition"

VISITS = """
format = 1
[project]
name = "visits"
label = "paid = 'yes'"
[sources.visits]
read = "data/visits*.csv"
[training]
families = ["linear"]
budget = "1 trials"
[split]
by = "random"
folds = 2
"""


def visits(count: int, *, seed: int = 7) -> list[dict[str, Any]]:
    """Rows of which a model can learn something."""
    draw = random.Random(seed)
    rows = []
    for number in range(count):
        age, shop = draw.randint(18, 80), draw.choice(["north", "south", "web"])
        paid = draw.random() < (0.2 + 0.6 * (age > 50))
        at = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=7 * number)
        rows.append({"id": number, "at": at.isoformat(), "age": age, "shop": shop, "paid": "yes" if paid else "no"})
    return rows


def project(root: Path, rows: Sequence[Mapping[str, Any]], *, text: str = VISITS, name: str = "visits.csv") -> Path:
    write_csv(root / "data" / name, list(rows[0]), [list(row.values()) for row in rows])
    return define(root, text)


def quarantined(checked: Checked, root: Path, source: str = "visits") -> list[tuple[int, list[str]]]:
    """Row numbers and reasons of what was set aside."""
    ref = checked.sources[source].quarantine
    if ref is None:
        return []
    place = Project.open(root).objects.scan_target(ref.key)
    return [(row["_row"], row["_reasons"]) for row in pl.read_parquet(place.url).iter_rows(named=True)]


def accepted(checked: Checked, root: Path, source: str = "visits") -> pl.DataFrame:
    place = Project.open(root).objects.scan_target(checked.sources[source].table.ref.key)
    return pl.read_parquet(place.url)


def ledger(reports: Iterable[QualityReport], source: str = "visits") -> tuple[int, int, int, int]:
    """Read, accepted, repaired, quarantined; which add up."""
    report = next(report for report in reports if report.source == source)
    assert report.read == report.accepted + report.repaired + report.quarantined
    return report.read, report.accepted, report.repaired, report.quarantined


def test_a_definition_with_ten_mistakes_names_all_ten_and_runs_nothing(tmp_path: Path) -> None:
    define(tmp_path, (SAMPLES / "samples" / "ten_mistakes.toml").read_text(encoding="utf-8"))
    with pytest.raises(DefinitionErrors) as caught:
        Project.open(tmp_path).run()
    assert caught.value.exit_code == 2
    assert len(caught.value.mistakes) == 10
    assert all(f"headrace.toml:{mistake.line}" in str(caught.value) for mistake in caught.value.mistakes)
    assert not (tmp_path / ".headrace").exists()


def test_a_missing_file_is_named_and_the_run_goes_on_when_it_is_there(tmp_path: Path) -> None:
    root = project(tmp_path, visits(200))
    (root / "data" / "visits.csv").rename(root / "data" / "later")
    with pytest.raises(SourceMissing, match=r"data/visits\*\.csv") as caught:
        Project.open(root).run()
    assert caught.value.exit_code == 3
    with Project.open(root).catalog.read() as reader:
        record = get_run(reader, "visits", "last")
    assert record.state == "failed"
    assert record.error is not None
    assert record.error.startswith("source-missing: ")
    (root / "data" / "later").rename(root / "data" / "visits.csv")
    assert Project.open(root).run().version.number == 1


def test_the_200_001st_row_has_too_many_fields(tmp_path: Path) -> None:
    """All the others are accepted, that one is set aside with its text, and the run is green."""
    draw = random.Random(3)
    lines = [f"{n % 200},{draw.random():.6f}" for n in range(200_002)]
    lines[200_000] += ",surplus,9"
    text = VISITS.replace("label =", 'source = "visits"\nrequest = ["age", "shop"]\nlabel =')
    text += '[sources.clicks]\nread = "data/clicks.csv"\n'
    root = project(tmp_path, visits(200), text=text)
    (root / "data" / "clicks.csv").write_text("visit,weight\n" + "\n".join(lines) + "\n")
    opened = Project.open(root)
    outcome = opened.run()
    assert outcome.version.number == 1
    assert ledger(outcome.reports, "clicks") == (200_002, 200_001, 0, 1)
    checked = opened.check()
    assert quarantined(checked, root, "clicks") == [(200_001, ["shape:too_many_fields"])]
    kept = accepted(checked, root, "clicks")
    assert kept["weight"].to_list() == [float(line.split(",")[1]) for line in lines if "surplus" not in line]


def test_a_column_that_changes_type_in_the_second_file(tmp_path: Path) -> None:
    """Frozen from the first file, the type holds: what is not of it is set aside. Seen together, it is text."""
    rows = visits(300)
    root = project(tmp_path / "frozen", rows[:200], name="visits-1.csv")
    assert Project.open(root).run().version.number == 1
    changed = [{**row, "age": f"{row['age']} years" if row["id"] % 4 == 0 else row["age"]} for row in rows[200:]]
    project(root, changed, name="visits-2.csv")
    outcome = Project.open(root).run()
    assert ledger(outcome.reports) == (300, 275, 0, 25)
    checked = Project.open(root).check()
    assert quarantined(checked, root) == [(row["id"] + 1, ["type:age"]) for row in changed if row["id"] % 4 == 0]
    assert accepted(checked, root)["age"].dtype == pl.Int64

    root = project(tmp_path / "together", rows[:200], name="visits-1.csv")
    project(root, changed, name="visits-2.csv")
    opened = Project.open(root)
    assert ledger(opened.check().reports) == (300, 300, 0, 0)
    assert opened.read_lock().sources["visits"]["age"].type in ("string", "category")
    assert "275 are whole numbers" in opened.read_lock().sources["visits"]["age"].evidence


def test_a_file_with_other_columns_is_refused_by_name(tmp_path: Path) -> None:
    rows = visits(200)
    root = project(tmp_path, rows[:100], name="visits-1.csv")
    project(root, [{**row, "extra": 1} for row in rows[100:]], name="visits-2.csv")
    with pytest.raises(ColumnsDiffer, match=r"visits-2\.csv also has 'extra'") as caught:
        Project.open(root).run()
    assert caught.value.exit_code == 1


def test_a_column_without_a_single_value_is_text_and_does_no_harm(tmp_path: Path) -> None:
    root = project(tmp_path, [{**row, "note": ""} for row in visits(200)])
    opened = Project.open(root)
    outcome = opened.run()
    assert ledger(outcome.reports) == (200, 200, 0, 0)
    assert "all 200 values are null" in opened.read_lock().sources["visits"]["note"].evidence
    row = {"id": 1, "at": "2026-03-01T00:00:00Z", "age": 40, "shop": "web", "note": None}
    scorer = headrace.load("visits", project=root)
    without, unseen = scorer.predict([row, {**row, "note": "seen at last"}])
    assert without.probability == pytest.approx(unseen.probability, abs=0.01)


def test_of_rows_that_share_a_key_the_last_word_stays(tmp_path: Path) -> None:
    rows = visits(200)
    text = VISITS.replace('read = "data/visits*.csv"', 'read = "data/visits*.csv"\nunique = ["id"]')
    root = project(tmp_path, [*rows, {**rows[3], "age": 99}, rows[5], {**rows[7], "id": ""}], text=text)
    checked = Project.open(root).check()
    assert ledger(checked.reports) == (203, 200, 0, 3)
    assert quarantined(checked, root) == [
        (4, ["duplicate-key"]),
        (202, ["duplicate"]),
        (203, ["null-key:id"]),
    ]
    assert accepted(checked, root).filter(pl.col("id") == 3)["age"].to_list() == [99]
    assert Project.open(root).run().version.number == 1


def test_times_of_several_zones_are_one_instant_each(tmp_path: Path) -> None:
    rows = visits(120)
    zones = itertools.cycle(["Z", "+00:00", "+05:30", "-08:00", ""])
    for row, zone in zip(rows, zones, strict=False):
        at = datetime.fromisoformat(row["at"])
        sign = {"+": 1, "-": -1}.get(zone[:1], 0)
        offset = sign * timedelta(hours=int(zone[1:3] or 0), minutes=int(zone[4:6] or 0)) if sign else timedelta()
        row["at"] = (at + offset).strftime("%Y-%m-%dT%H:%M:%S") + zone
    root = project(tmp_path, rows)
    checked = Project.open(root).check()
    assert ledger(checked.reports) == (120, 120, 0, 0)
    assert accepted(checked, root)["at"].to_list() == [datetime.fromisoformat(row["at"]) for row in visits(120)]
    project(root, [{**rows[0], "at": "2026-01-01T00:00:00 Mars"}, *rows[1:]])
    checked = Project.open(root).check()
    assert quarantined(checked, root) == [(1, ["type:at"])]


TIMED = (
    VISITS.replace(
        "label = \"paid = 'yes'\"\n",
        'label = "paid = \'yes\'"\ntime = "at"\nkey = ["id"]\nrequest = ["id", "at", "age", "shop"]\n',
    )
    + '[sources.visits.columns]\npaid = { known = "paid_at" }\n'
)


def test_a_label_known_before_its_prediction_time_is_refused_or_left_out(tmp_path: Path) -> None:
    def timed(early: int) -> list[dict[str, Any]]:
        rows = visits(200)
        for row in rows:
            at = datetime.fromisoformat(row["at"])
            row["paid_at"] = (at + timedelta(hours=-1 if row["id"] < early else 1)).isoformat()
        return rows

    root = project(tmp_path, timed(200), text=TIMED)
    with pytest.raises(LabelKnownTooEarly, match="200 of 200") as caught:
        Project.open(root).run()
    assert caught.value.exit_code == 1
    assert not (root / ".headrace" / "objects" / "packages").exists()
    project(root, timed(2), text=TIMED)
    outcome = Project.open(root).run()
    assert outcome.version.number == 1
    assert "label known before the prediction was asked for: left out" in outcome.run_page.read_text()


def test_a_column_known_too_late_is_refused_with_the_reason(tmp_path: Path) -> None:
    rows = [{**row, "paid_at": row["at"]} for row in visits(100)]
    root = project(tmp_path, rows, text=TIMED + "[features.expressions]\nleak = \"paid = 'yes'\"\n")
    with pytest.raises((DefinitionErrors, FeatureErrors), match="paid") as caught:
        Project.open(root).run()
    assert caught.value.exit_code == 2
    assert "known" in str(caught.value)


@pytest.mark.parametrize(
    ("data", "kind", "exit_code"),
    [
        (b"", SourceEmpty, 1),
        (b"id,age,paid\n", SourceEmpty, 1),
        (b"\x00\x01\x02" * 100, None, None),
        (b"PK\x03\x04 not a table", None, None),
    ],
)
def test_a_source_that_holds_nothing_is_refused(
    data: bytes, kind: type[HeadraceError] | None, exit_code: int | None, tmp_path: Path
) -> None:
    root = define(tmp_path, VISITS)
    (root / "data").mkdir()
    (root / "data" / "visits.csv").write_bytes(data)
    with pytest.raises(kind or HeadraceError) as caught:
        Project.open(root).run()
    assert caught.value.exit_code == exit_code or kind is None
    assert caught.value.fix


def test_a_compressed_file_that_breaks_off_is_refused(tmp_path: Path) -> None:
    import gzip

    root = project(tmp_path, visits(3000))
    whole = gzip.compress((root / "data" / "visits.csv").read_bytes())
    (root / "data" / "visits.csv").unlink()
    (root / "data" / "visits.csv.gz").write_bytes(whole[: len(whole) // 2])
    edit(root, {r"visits\*\.csv": "visits*.csv.gz"})
    with pytest.raises(SourceUnreadable, match=r"visits\.csv\.gz") as caught:
        Project.open(root).run()
    assert caught.value.exit_code == 3
    (root / "data" / "visits.csv.gz").write_bytes(whole)
    assert ledger(Project.open(root).run().reports) == (3000, 3000, 0, 0)


def test_a_label_with_one_class_is_refused_before_any_training(tmp_path: Path) -> None:
    root = project(tmp_path, [{**row, "paid": "no"} for row in visits(200)])
    with pytest.raises(OneClass, match="every one of 200 labels") as caught:
        Project.open(root).run()
    assert caught.value.exit_code == 1
    with Project.open(root).catalog.read() as reader:
        assert get_run(reader, "visits", "last").stages[-1].name == "assemble"


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        (
            '[evaluation]\nfairness = ["shop"]\n',
            r"\[evaluation\] fairness is of a binary task, and the label makes a reg",
        ),
        ('[training]\nimbalance = ["smote"]\n', r"\[training\] imbalance is of a binary or multiclass task"),
    ],
)
def test_what_numbers_do_not_have_is_refused_before_any_training(tmp_path: Path, asked: str, says: str) -> None:
    """That the label is a number is known when it is there."""
    text = VISITS.replace("[training]\n", asked) if asked.startswith("[training]") else VISITS + asked
    text = text.replace("paid = 'yes'", "paid")
    root = project(tmp_path, [{**row, "paid": row["id"] * 1.5} for row in visits(200)], text=text)
    with pytest.raises(SettingOfAnotherTask, match=says) as caught:
        Project.open(root).run()
    assert caught.value.fix
    with Project.open(root).catalog.read() as reader:
        assert "search" not in {stage.name for stage in get_run(reader, "visits", "last").stages}


def test_nan_and_infinities(tmp_path: Path) -> None:
    """NaN is null, counted as a repair; an infinity is a number, and no answer becomes one."""
    odd = ["nan", "NaN", "inf", "-inf", "Infinity", "1e400", "-0.0", "1e-320", ""]
    rows = [{**row, "age": odd[row["id"]] if row["id"] < len(odd) else row["age"]} for row in visits(300)]
    text = VISITS + '[sources.visits.columns]\nage = { type = "float" }\n'
    root = project(tmp_path / "csv", rows, text=text)
    outcome = Project.open(root).run()
    read, _, repaired, aside = ledger(outcome.reports)
    assert (read, repaired) == (300, 2)
    checked = Project.open(root).check()
    assert [number for number, _ in quarantined(checked, root)] == sorted(
        number for number, _ in quarantined(checked, root)
    )
    assert len(quarantined(checked, root)) == aside
    assert accepted(checked, root)["age"].is_nan().sum() == 0

    scorer = headrace.load("visits", project=root)
    row = {"id": 1, "at": "2026-03-01T00:00:00Z", "age": 40.0, "shop": "web"}
    answers = [
        scorer.predict([{**row, "age": age}])[0].probability
        for age in (None, float("nan"), float("inf"), -float("inf"), 1e308, -0.0)
    ]
    assert answers[0] == answers[1]
    assert all(answer is not None and 0 <= answer <= 1 for answer in answers)

    root = define(tmp_path / "parquet", text.replace("*.csv", ".parquet"))
    (root / "data").mkdir()
    frame = pl.DataFrame([{**row, "age": float(row["age"])} for row in visits(300)])
    frame[0, "age"], frame[1, "age"], frame[2, "age"] = float("nan"), float("inf"), -float("inf")
    frame.write_parquet(root / "data" / "visits.parquet")
    outcome = Project.open(root).run()
    assert ledger(outcome.reports)[0] == 300
    assert ledger(outcome.reports)[2] == 1


def test_a_category_with_a_million_levels(tmp_path: Path) -> None:
    """It costs its rows once, and the model keeps only the levels that are frequent enough to say something."""
    root = tmp_path / "many"
    (root / "data").mkdir(parents=True)
    draw = random.Random(11)
    count = 1_000_000
    ages = [draw.randint(18, 80) for _ in range(count)]
    pl.DataFrame(
        {
            "age": ages,
            "visitor": [f"visitor-{(number * 7919) % count}" for number in range(count)],
            # a label now and then: what is read and counted is a million rows, what is trained on a few thousand
            "paid": [
                ("yes" if draw.random() < 0.2 + 0.6 * (age > 50) else "no") if number % 100 == 0 else None
                for number, age in enumerate(ages)
            ],
        }
    ).write_parquet(root / "data" / "visits.parquet")
    define(root, VISITS.replace("*.csv", ".parquet") + '[sources.visits.columns]\nvisitor = { type = "category" }\n')
    outcome = Project.open(root).run()
    assert ledger(outcome.reports) == (count, count, 0, 0)
    opened = Project.open(root)
    files = opened.registry().read(outcome.version).files
    assert sum(map(len, files.values())) < 1_000_000
    assert headrace.load("visits", project=root).predict([{"age": 60, "visitor": "visitor-77"}])[0].decision is not None
