"""From a run to the online store and back: the command, what a program reads, and what the version carries."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tests.examples import write_csv
from tests.pipeline.test_predict import ASKED, CHAMPION, as_sent, asked_rows, bits
from tests.servers import own_database, shared

import headrace
from headrace.app import Project
from headrace.cli import main
from headrace.features import certify as certifying
from headrace.features.certificate import Certificate
from headrace.features.errors import BeforeWatermark, NotMaterialized, OnlineStale
from headrace.features.records import WindowRecord
from headrace.scoring.package import decode_json
from headrace.stages.certificate import FeaturesDiffer

WATERMARK = "2013-01-09T12:00:00Z"


def command(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, Any]:
    capsys.readouterr()
    status = main([*map(str, words), "--json"])
    return status, json.loads(capsys.readouterr().out)


def at_the_watermark() -> list[dict[str, str]]:
    """Rows whose prediction time is the watermark, and rows of which several parts are unknown."""
    [row, *rows] = asked_rows([2, 7], ["LGA"])[::5]
    when = {"time_hour": WATERMARK, "minute": "0"}
    odd = [{"tailnum": ""}, {"carrier": "ZZ", "dest": "XXX"}, {"origin": ""}]
    return [{**one, **when} for one in [row, *rows, *({**row, **change} for change in odd)]]


@pytest.mark.parametrize("where", ["folder", "redis"])
def test_at_the_watermark_the_store_and_history_answer_alike_to_the_bit(
    delays: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    if where == "redis":
        monkeypatch.setenv("ONLINE", own_database(str(shared("redis")["url"])))
        with (delays / "headrace.toml").open("a") as definition:
            definition.write('\n[stores]\nonline = "${env:ONLINE}"\n')
    status, made = command(capsys, "materialize", "--until", WATERMARK, "--project", delays)
    assert status == 0
    assert made["watermark_us"] == 1_357_732_800_000_000
    assert {one["name"]: one["keys"] > 0 for one in made["steps"]} == dict.fromkeys(
        (one["name"] for one in made["steps"]), True
    )
    sent = at_the_watermark()
    rows = write_csv(tmp_path / "rows.csv", ASKED, [list(row.values()) for row in sent])
    answers = {}
    for features in ("history", "online"):
        out = tmp_path / f"{features}.parquet"
        words = ("predict", CHAMPION, rows, "--out", out, "--features", features, "--project", delays)
        assert command(capsys, *words)[0] == 0
        answers[features] = bits(pl.read_parquet(out)["probability"].to_list())
    assert answers["history"] == answers["online"]
    assert len(set(answers["online"])) > 20
    alone = headrace.load(CHAMPION, project=delays, features="online").predict([as_sent(row) for row in sent])
    assert bits([one.probability or 0.0 for one in alone]) == answers["online"]


def test_without_a_materialisation_the_way_out_is_told(delays: Path) -> None:
    with pytest.raises(NotMaterialized) as caught:
        headrace.load(CHAMPION, project=delays, features="online")
    assert "headrace materialize" in str(caught.value.fix)


def test_rows_before_the_watermark_and_far_behind_it_are_refused(delays: Path) -> None:
    with (delays / "headrace.toml").open("a") as definition:
        definition.write('\n[online]\nmax_staleness = "1h"\n')
    project = Project.open(delays)
    project.materialize(until_us=1_357_732_800_000_000)
    scorer = project.load(CHAMPION, features="online")
    row = as_sent(at_the_watermark()[0])
    scorer.predict([row])
    with pytest.raises(BeforeWatermark):
        scorer.predict([{**row, "time_hour": "2013-01-09T11:00:00Z", "minute": 59}])
    with pytest.raises(OnlineStale, match="max_staleness"):
        scorer.predict([{**row, "minute": 30, "time_hour": "2013-01-09T13:00:00Z"}])
    project.close()


def test_a_version_carries_the_certificate_of_its_features(delays: Path) -> None:
    with Project.open(delays) as project:
        registry = project.registry()
        package = registry.read(registry.get(CHAMPION))
        certificate = decode_json(package, "certificate.json", Certificate)
        assert certificate.passed
        assert certificate.rows == certifying.DEFAULT_ROWS
        assert certificate.features == len(json.loads(package.files["program.json"])["outputs"])
        lineage = json.loads(package.files["lineage.json"])
        assert certificate.frame == lineage["frame"]
        programs = {entry.name: entry.sha256 for entry in package.manifest.files}
        assert certificate.program == programs["program.json"]


def test_certify_says_so_and_a_run_whose_forms_differ_makes_no_version(
    delays: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    status, told = command(capsys, "features", "certify", "--rows", 50, "--seed", 7, "--project", delays)
    assert (status, told["passed"], told["certificate"]["rows"]) == (0, True, 50)
    states = WindowRecord.states
    monkeypatch.setattr(
        WindowRecord, "states", lambda self, record, edges: states(self, record, [e - 1 for e in edges])
    )
    monkeypatch.setattr(WindowRecord, "states", lambda self, record, edges: [None for _ in edges])
    status, told = command(capsys, "features", "certify", "--rows", 60, "--project", delays)
    assert (status, told["passed"]) == (1, False)
    assert told["differences"] > 60
    with (delays / "headrace.toml").open("a") as definition:
        definition.write("\n")
    text = (delays / "headrace.toml").read_text()
    (delays / "headrace.toml").write_text(text.replace("hour(sched_dep_at", "1 + hour(sched_dep_at", 1))
    with Project.open(delays) as project:
        before = project.registry().list()
        with pytest.raises(FeaturesDiffer, match="no version is made"):
            project.run()
        assert project.registry().list() == before


def test_features_are_listed_and_explained(delays: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, listed = command(capsys, "features", "--project", delays)
    assert status == 0
    by_name = {one["name"]: one for one in listed["features"]}
    assert by_name["carrier"]["known"].startswith("at once")
    assert by_name["route"]["known"].startswith("at once")
    assert by_name["plane_age"]["known"] == "before t: with plane_built"
    assert by_name["weather_temp"]["known"] == "before t: rows of weather known at time_hour + 10m"
    told: Any = None
    for name in ("carrier", "weather_temp", "plane_built", "origin_delay_mean_1h", "dep_clock", "night"):
        status, told = command(capsys, "features", "explain", name, "--project", delays)
        assert status == 0
        assert told["feature"] == by_name[name]
        assert told["columns"]
        assert told["row"]
        assert (told["cost"] is None) == (by_name[name]["kind"] == "request")
    assert told["tree"][0] == "or: boolean"
    assert command(capsys, "features", "explain", "nigth", "--project", delays) == (
        2,
        {
            "error": {
                "code": "feature-unknown",
                "message": "there is no column or feature 'nigth'; did you mean 'night'?",
                "fix": "headrace features lists them all",
                "facts": {"name": "nigth"},
            }
        },
    )
