"""`headrace predictions` and `headrace replay` on a project that has answered."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import polars as pl
import pytest
from tests.cli.conftest import HEADRACE, Call

from headrace.app import Project, now_us
from headrace.serving.log.epochs import epochs, segments
from headrace.serving.log.record import Record, Route
from headrace.serving.log.writer import LogHeader, LogWriter
from headrace.serving.model import Arm, Deployment, Served


@pytest.fixture
def answered(delays: Path) -> list[str]:
    """The champion has answered three rows of the newest check and logged it; the ids of the requests."""
    with Project.open(delays) as project:
        version = project.registry().get("flight-delays@champion", model="flight-delays")
        scorer = project.load("flight-delays@champion")
        header = LogHeader(project=project.name, worker="w1")
        log = LogWriter(project.prediction_log, header=header, durability="process", on_full="refuse", clock=now_us)
        route = log.introduce(
            Route(
                deployment="flight-delays",
                revision=1,
                arm="v1",
                model=version.model,
                version=version.number,
                package=version.package,
                sticky=("tailnum",),
                price_usd=1e-6,
            )
        )
        names = [field.name for field in scorer.program.request]
        rows = project.tables()["flights"].select(names).head(3).collect().to_dicts()
        for number, row in enumerate(rows):
            [answer] = scorer.predict([row])
            assert answer.probability is not None
            features = scorer.row_to_features(row)
            entity = (row["tailnum"],)
            record = Record(
                f"q{number}",
                0,
                route,
                now_us(),
                entity,
                features,
                (answer.probability,),
                answer.decision,
                answer.review,
            )
            log.append([record])
        log.close()
    return [f"q{number}" for number in range(3)]


def test_predictions_are_shown_shipped_joined_and_replayed(call: Call, answered: list[str], tmp_path: Path) -> None:
    assert "0 predictions shipped, 3 in the log" in call("predictions").out
    before = call("predictions", "show", answered[0], "--reasons", "2", "--inputs", "--json").document
    assert before[0]["version"] == 1
    assert before[0]["entity"].keys() == {"tailnum"}
    assert "carrier" in before[0]["inputs"]
    assert call("replay", answered[0]).code == 0
    shipped = call("predictions", "ship", "--once", "--json")
    assert (shipped.code, shipped.document["predictions"]) == (0, 3)
    after = call("predictions", "show", answered[0], "--reasons", "2", "--inputs", "--json").document
    assert after == before
    with Project.open() as project:
        arms = (Arm(name="v1", serves=Served(model="flight-delays", version=1, package="0" * 64), weight=1.0),)
        revision = Deployment(
            project=project.name,
            name="flight-delays",
            revision=1,
            arms=arms,
            salt="s",
            at_us=0,
            by="ada",
            reason="deployed 1",
            verb="deploy",
        )
        project.objects.put(
            f"serving/{project.name}/deployments/flight-delays/000000001.json", msgspec.json.encode(revision)
        )
    told = call("predictions", "show", answered[0], "--reasons", "1").out
    assert "arm v1 of revision 1 of flight-delays" in told
    assert "whose share is 100 %: 0 ≤ 0." in told
    assert "since 1970-01-01T00:00:00Z by ada: deployed 1" in told
    truths = tmp_path / "truths.csv"
    truths.write_text("request_id,value,known\nq0,true,2026-01-01\nq1,false,2026-01-01\nq9,true,2026-01-01\n")
    assert "3 outcomes logged" in call("predictions", "outcomes", truths).out
    assert call("predictions", "ship", "--once", "--json").document["outcomes"] == 3
    found = call("predictions", "--json").document
    assert (found["shipped"], found["waiting"], found["outcomes"], found["unmatched"]) == (3, 0, 3, 1)
    assert [day["known"] for day in found["days"]] == [2]
    with Project.open() as project:
        with_truth = project.predictions()
        assert with_truth is not None
        assert sorted(with_truth.rows.collect()["truth"].drop_nulls()) == [0.0, 1.0]
    assert "flight-delays" in call("predictions").out
    tailnum = after[0]["entity"]["tailnum"]
    truths.write_text(f"tailnum,at,value,known\n{tailnum},2100-01-01,true,2026-01-02\n")
    by_entity = ("predictions", "outcomes", truths, "--deployment", "flight-delays", "--sticky", "tailnum")
    assert call(*by_entity, "--json").document == {"outcomes": 1}
    day = found["days"][0]["day"]
    said = call("replay", "--day", day, "--sample", "2")
    assert said.code == 0
    assert "2 of 2 predictions come out the same" in said.out
    assert call("replay", "--day", day, "--json").document == {"replayed": 3, "skipped": 0, "differ": []}


def test_a_score_that_was_tampered_with_is_found(call: Call, answered: list[str], delays: Path) -> None:
    assert call("predictions", "ship", "--once").code == 0
    with Project.open(delays) as project:
        name = f"tables/{project.name}/predictions"
        row = project.growing.scan(name).filter(request_id=answered[1]).collect()
        other = project.growing.scan(name).filter(request_id=answered[0]).collect()
        project.growing.delete_where(name, f"request_id = '{answered[1]}'")
        wrong = row.with_columns(features=pl.lit(bytes(len(other["features"][0])), pl.Binary))
        project.growing.append(name, wrong)
    said = call("replay", answered[1])
    assert said.code == 1
    assert "q1 row 0: scores was" in said.out
    assert call("replay", "--day", str(row["day"][0]), "--json").document["differ"][0]["request_id"] == "q1"


def test_damage_in_the_log_is_found(call: Call, answered: list[str], delays: Path) -> None:
    assert len(answered) == 3
    assert call("predictions", "verify").code == 0
    with Project.open(delays) as project:
        [(_, path)] = [segment for folder in epochs(project.prediction_log) for segment in segments(folder)]
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 8
    path.write_bytes(data)
    said = call("predictions", "verify", "--json")
    assert said.code == 1
    assert said.document["problems"][0]["code"] == "prediction-log-corrupted"
    assert "is damaged in" in call("predictions", "verify").out
    refused = call("predictions", "ship", "--once", "--json")
    assert (refused.code, refused.document["error"]["code"]) == (3, "prediction-log-corrupted")


def test_wrong_use_is_said(call: Call, answered: list[str], tmp_path: Path) -> None:
    for words, code, exit_code in (
        (("predictions", "show", "none"), "prediction-unknown", 1),
        (("replay",), "nothing-to-replay", 2),
        (("replay", answered[0], "--day", "2026-11-27"), "nothing-to-replay", 2),
        (("replay", "--day", "yesterday"), "not-a-day", 2),
        (("predictions", "ship", "--every", "often"), "not-a-duration", 2),
        (("predictions", "outcomes", tmp_path / "none.csv"), "outcomes-refused", 2),
    ):
        refused = call(*words, "--json")
        assert (refused.code, refused.document["error"]["code"]) == (exit_code, code), words


def test_shipping_goes_on_until_it_is_told_to_stop(answered: list[str], delays: Path) -> None:
    command = [*HEADRACE, "predictions", "ship", "--every", "100ms"]
    shipping = subprocess.Popen(command, cwd=delays, stdout=subprocess.PIPE, text=True, env=dict(os.environ))
    assert shipping.stdout is not None
    assert shipping.stdout.readline() == f"{len(answered)} predictions and 0 outcomes shipped\n"
    shipping.send_signal(signal.SIGTERM)
    assert shipping.wait(60) == 0
    shipping.stdout.close()
    assert sys.executable in command
