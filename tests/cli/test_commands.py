"""Every command on a real project: its JSON document, its words for people, its exit code."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import tomllib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tests.cli.conftest import HEADRACE, Call
from tests.definition.test_schema import misfits
from tests.examples import EXAMPLES, edit, flights_rows, tumours, write_csv

DIGEST = re.compile(r"[0-9a-f]{64}")


def again(call: Call, delays: Path) -> dict[str, Any]:
    """Run with other costs: a second version."""
    edit(delays, {r'false_positive = "\d+ USD"': 'false_positive = "9 USD"'})
    said = call("run", "--json")
    assert said.code == 0
    document: dict[str, Any] = said.document
    return document


def stored(root: Path) -> set[str]:
    """Keys in the object store."""
    objects = root / ".headrace" / "objects"
    keys = {str(path.relative_to(objects)) for path in objects.rglob("*") if path.is_file()}
    return {key for key in keys if "#" not in key}  # the store's own are no objects


def test_run_says_what_it_made(call: Call, delays: Path) -> None:
    said = call("run", "--json")
    assert (said.code, said.err) == (0, "")
    found = said.document
    assert found.keys() == {
        *("run", "model", "version", "aliases", "package", "family", "reason", "metrics", "cost_per_million"),
        *(
            "sensitivity",
            "serving",
            "currency",
            "holdout_looks",
            "verdicts",
            "stages_computed",
            "wall_s",
            "cost_usd",
            "pages",
        ),
    }
    assert (found["model"], found["version"], found["aliases"]) == ("flight-delays", 1, ["champion"])
    assert DIGEST.fullmatch(found["package"])
    assert found["stages_computed"] == 0
    assert found["cost_per_million"]["total"] == pytest.approx(
        sum(found["cost_per_million"][part] for part in ("errors", "serving", "training"))
    )
    assert all(Path(page).read_text().startswith("<!doctype html>") for page in found["pages"].values())
    people = call("run")
    assert people.code == 0
    assert f"package                    {found['package']}" in people.out
    assert people.out.splitlines()[-3:] == [
        "  headrace models show flight-delays@champion",
        "  headrace predict flight-delays@champion ROWS.csv -o scores.parquet",
        "  headrace show last",
    ]
    assert "check flights: unchanged" in people.err, "plain lines where there is no terminal"
    assert "\r" not in people.err
    assert "\033" not in people.err + people.out


def test_stopped_from_the_keyboard_it_says_so_and_goes_on_later(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tumours(tmp_path / "tumours", text='\n[training]\nbudget = "200 trials"\n')
    monkeypatch.chdir(root)
    with subprocess.Popen([*HEADRACE, "run"], stderr=subprocess.PIPE, text=True) as running:
        assert running.stderr is not None
        for line in running.stderr:
            if line.startswith("search: ") and " of 200 trials" in line:
                break
        running.send_signal(signal.SIGINT)
        last = running.stderr.read().splitlines()[-1]
    assert running.returncode == 130
    assert last == "stopped; finished work is kept: the same command goes on"
    stopped = call("show", "--json").document
    assert (stopped["state"], stopped["stages"][-1]["name"]) == ("interrupted", "search")
    edit(root, {"200 trials": "2 trials"})
    said = call("run", "--json")
    assert said.code == 0
    assert said.document["stages_computed"] == 7, "what was read, checked and assembled is not done again"
    assert said.document["proposed_features"]["tried"] == 1
    assert re.search(r"proposed features +\d of 1 families that were tried pay", call("run").out)


def test_check_says_whether_the_contracts_hold(call: Call, delays: Path) -> None:
    said = call("check", "--json")
    assert said.code == 0
    assert said.document["passed"] is True
    assert [source["source"] for source in said.document["sources"]] == [
        *("flights", "weather", "planes", "airports", "airlines")
    ]
    for source in said.document["sources"]:
        assert source["read"] == source["accepted"] + source["repaired"] + source["quarantined"]
    assert re.search(r"^flights +[\d,]+ rows = [\d,]+ accepted", call("check").out)

    edit(delays, {r"origin <> dest\"\non_fail = \"quarantine": 'origin = dest"\non_fail = "fail'})
    broken = call("run", "--json")
    assert (broken.code, broken.document["error"]["code"]) == (1, "contract-broken")
    checked = call("check", "--json")
    assert (checked.code, checked.document["passed"]) == (1, False)
    assert "(broken: check:departs_from_new_york_only" in call("check").out


def test_runs_and_show_tell_what_was_done(call: Call, delays: Path) -> None:
    call("run")
    runs = call("runs", "--json").document
    assert runs["project"] == "flight-delays"
    assert [run["state"] for run in runs["runs"]] == ["done", "done"]
    newest = runs["runs"][0]
    assert call("runs", "--limit", "1", "--json").document["runs"] == [newest]
    assert call("show", "--json").document == newest
    assert call("show", newest["id"], "--json").document == newest
    assert call("show", newest["id"][:-2], "--json").document == newest
    first = call("show", runs["runs"][1]["id"], "--json").document
    stage = next(stage for stage in first["stages"] if stage["name"] == "check flights")
    assert stage["state"] == "done"
    assert stage["usage"].keys() == {
        *("wall_s", "cpu_s", "peak_memory_bytes", "bytes_in", "bytes_out", "rows_in", "rows_out", "cost_usd"),
        "price_id",
    }
    assert stage["usage"]["rows_in"] > 1000
    assert first["result"]["package"] == newest["result"]["package"]
    assert re.search(rf"^{newest['id']} .* done .* flight-delays@1$", call("runs").out, re.MULTILINE)
    people = call("show").out.splitlines()
    assert people[0].startswith(f"run {newest['id']}  done")
    assert people[1].split() == ["stage", "state", "wall", "CPU", "memory", "read", "written", "rows", "rows/s", "cost"]
    unknown = call("show", "20200101-000000-abcdef", "--json")
    assert (unknown.code, unknown.document["error"]["code"]) == (2, "run-not-found")


def test_before_the_first_run_there_is_nothing_and_it_says_what_to_do(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tumours(tmp_path / "tumours"))
    assert call("runs").out == "tumours has no runs yet: headrace run\n"
    assert call("runs", "--json").document == {"project": "tumours", "runs": []}
    assert call("models").out == "tumours has no versions yet: headrace run\n"
    assert call("models", "list", "--json").document == {"model": "tumours", "versions": []}
    for words, code in (
        (["show"], "no-runs"),
        (["models", "show", "tumours"], "model-unknown"),
        (["predict", "tumours@champion", "data/tumours.csv", "-o", "s.csv"], "model-unknown"),
    ):
        said = call(*words, "--json")
        assert (said.code, said.document["error"]["code"]) == (2, code)
    assert not Path("s.csv").exists()


def test_a_removed_run_frees_its_space_and_the_champion_still_answers(call: Call, delays: Path) -> None:
    first = call("runs", "--json").document["runs"][0]["id"]
    refused = call("runs", "rm", first, "--json")
    assert (refused.code, refused.document["error"]["code"]) == (2, "run-in-use")
    assert "champion" in refused.document["error"]["message"]

    second = again(call, delays)["run"]
    write_csv(delays / "data" / "flights" / "2013-01.csv", *flights_rows(range(1, 8), ["LGA"]))
    third = call("run", "--json").document
    assert third["version"] == 3
    assert "lineage" in call("runs", "rm", second).err, "its version could not be traced any more"
    assert call("models", "promote", "flight-delays@3").code == 0
    for run in (first, second):
        removed = call("runs", "rm", run, "--force", "--json")
        assert (removed.code, removed.document) == (0, {"removed": run})
    assert [run["id"] for run in call("runs", "--json").document["runs"]] == [third["run"]]
    assert call("runs", "rm", first).code == 2

    assert call("runs", "gc", "--json").document["objects"] == 0, "young data stays"
    full = stored(delays)
    freed = call("runs", "gc", "--grace-minutes", "0", "--json").document
    gone = full - stored(delays)
    assert freed["objects"] == len(gone) > 0
    assert freed["bytes"] > 0
    assert {"snapshots", "tables", "frames", "graphs", "reports"} <= {key.partition("/")[0] for key in gone}
    assert not any(key.startswith("packages/") for key in gone)
    for reference in ("flight-delays@champion", "flight-delays@1", "flight-delays@2"):
        assert call("models", "verify", reference).code == 0
    rows = write_csv(delays / "rows.csv", *flights_rows([8], ["LGA"]))
    assert call("predict", "flight-delays@champion", rows, "-o", "s.csv").code == 0
    assert call("run", "--json").document["stages_computed"] == 0


def test_models_are_listed_compared_moved_and_moved_back(call: Call, delays: Path) -> None:
    before = datetime.now(UTC)
    second = again(call, delays)
    listed = call("models", "list", "--json").document
    assert listed == call("models", "--json").document == call("models", "list", "flight-delays", "--json").document
    assert [(version["number"], version["aliases"]) for version in listed["versions"]] == [(2, []), (1, ["champion"])]
    assert listed["versions"][0]["package"] == second["package"]
    assert [line.split()[0] for line in call("models").out.splitlines()[1:]] == ["flight-delays@2", "flight-delays@1"]

    shown = call("models", "show", "flight-delays@champion", "--json").document
    assert shown == listed["versions"][1]
    assert DIGEST.fullmatch(shown["package"])
    assert shown["package"] in call("models", "show", "flight-delays").out
    both = call("models", "compare", "flight-delays@1", "flight-delays@2", "--json").document
    assert (both["first"]["number"], both["second"]["number"]) == (1, 2)
    assert any(not file["same"] for file in both["difference"]["files"])
    assert call("models", "compare", "flight-delays@1", "flight-delays@2").out.startswith(" ")

    moved = call("models", "promote", "flight-delays@2", "--reason", "cheaper", "--json")
    assert moved.document == {"model": "flight-delays", "alias": "champion", "version": 2}
    assert call("models", "show", "flight-delays@champion", "--json").document["number"] == 2
    assert call("models", "promote", "flight-delays@1", "challenger").code == 0
    between = datetime.now(UTC)
    assert call("models", "rollback", "flight-delays").out == "flight-delays@champion is now version 1\n"
    nothing = call("models", "rollback", "flight-delays", "--json")
    assert (nothing.code, nothing.document["error"]["code"]) == (2, "nothing-to-roll-back")

    def champion_at(moment: datetime) -> tuple[int, Any]:
        said = call("models", "at", "flight-delays", moment.isoformat(), "--json")
        return said.code, said.document["version"]

    assert champion_at(before) == (0, 1)
    assert champion_at(between) == (0, 2)
    assert champion_at(datetime.now(UTC)) == (0, 1)
    assert champion_at(before - timedelta(days=9)) == (1, None)
    wrong = call("models", "at", "flight-delays", "yesterday", "--json")
    assert (wrong.code, wrong.document["error"]["code"]) == (2, "not-an-instant")


def test_a_version_is_verified_and_exported(call: Call, delays: Path) -> None:
    package = call("models", "show", "flight-delays", "--json").document["package"]
    verified = call("models", "verify", "flight-delays@1", "--json")
    assert (verified.code, verified.document) == (
        0,
        {"version": 1, "package": package, "verified": True, "golden_rows": 32},
    )
    exported = call("models", "export", "flight-delays@1", "out", "--json")
    assert (exported.code, exported.document["version"]) == (0, 1)
    files = {path.name: path.read_bytes() for path in Path("out").iterdir()}
    assert files.keys() == {
        *("model.onnx", "program.json", "encoder.json", "decision.json", "contract.json", "profile.json"),
        *("lineage.json", "certificate.json", "golden.json", "README.md", "manifest.json", "manifest.sig"),
    }
    assert {entry["name"] for entry in json.loads(files["manifest.json"])["files"]} == files.keys() - {
        *("manifest.json", "manifest.sig")
    }
    taken = call("models", "export", "flight-delays@1", "out", "--json")
    assert (taken.code, taken.document["error"]["code"]) == (2, "export-target-taken")
    for reference, code in (
        ("flight-delays@9", "version-unknown"),
        ("flight-delays@chmpion", "alias-unknown"),
        ("flight-delay@1", "model-unknown"),
        ("flight-delays@", "reference-invalid"),
    ):
        said = call("models", "verify", reference, "--json")
        assert (said.code, said.document["error"]["code"]) == (2, code)
    assert "did you mean 'champion'" in call("models", "verify", "flight-delays@chmpion").err


def test_predict_scores_a_file(call: Call, delays: Path) -> None:
    header, rows = flights_rows([8], ["LGA"])
    path = write_csv(delays / "rows.csv", header, rows)
    said = call("predict", "flight-delays@champion", path, "-o", "scores.csv", "--reasons", "2", "--json")
    assert said.code == 0
    assert (said.document["reference"], said.document["rows"], said.document["out"]) == (
        *("flight-delays@champion", len(rows), "scores.csv"),
    )
    assert Path("scores.csv").read_text().count("\n") == len(rows) + 1
    assert f"{len(rows)} rows scored" in call("predict", "flight-delays", path, "--out", "scores.ndjson").out
    wrong = write_csv(
        delays / "wrong.csv",
        header,
        [
            ["x" if name == "distance" else cell for name, cell in pair]
            for pair in (list(zip(header, row, strict=True)) for row in rows)
        ],
    )
    for words, code, exit_code in (
        ((wrong,), "cast-refused", 2),
        (("missing.csv",), "rows-unreadable", 3),
        ((path, "--ignore-unknown", "--project", delays / "nowhere"), "project-not-found", 2),
    ):
        refused = call("predict", "flight-delays", *words, "-o", "other.csv", "--json")
        assert (refused.code, refused.document["error"]["code"]) == (exit_code, code)
    assert not Path("other.csv").exists()


def test_the_first_definition_leads_to_a_first_version(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tumours(tmp_path / "tumours")
    (root / "headrace.toml").unlink()
    monkeypatch.chdir(root)
    said = call("init", "data/tumours.csv", "--json")
    assert said.code == 0
    assert said.document["definition"] == "headrace.toml"
    assert said.document["signer"] == call("keys", "--json").document["public"]
    assert call("check", "--json").document["passed"] is True, "what init writes is right as it stands"
    unlabelled = call("run", "--json")
    assert (unlabelled.code, "label" in unlabelled.document["error"]["message"]) == (2, True)

    text = Path("headrace.toml").read_text()
    assert "569 of 569 values are numbers" in text
    text, count = re.subn(r'^# label = ".*?".*$', "label = \"diagnosis = 'malignant'\"", text, flags=re.MULTILINE)
    assert count == 1
    text = text.replace('"diagnosis",\n', "").replace('budget = "60s"', 'budget = "2 trials"')
    Path("headrace.toml").write_text(text)
    run = call("run", "--json").document
    assert (run["model"], run["version"]) == ("tumours", 1)
    assert run["metrics"]["roc_auc"] > 0.9
    exists = call("init", "data/tumours.csv", "--json")
    assert (exists.code, exists.document["error"]["code"]) == (2, "definition-exists")


def test_init_with_a_label_can_run_at_once(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tumours(tmp_path / "tumours")
    monkeypatch.chdir(tmp_path)
    said = call("init", root / "data" / "tumours.csv", "--label", "diagnosis = 'malignant'", "--into", "mine")
    assert said.code == 0
    assert "next: " in said.out
    edit(tmp_path / "mine", {'budget = "60s"': 'budget = "1 trials"'})
    assert call("run", "--project", "mine", "--json").document["version"] == 1
    for words, code in (
        (["init", "--into", "none"], "no-data"),
        (["init", "notes.docx", "--into", "none"], "no-data"),
        (["init", "absent.csv", "--into", "none"], "no-such-file"),
        (["init", "https://me:hunter2@host/a.csv", "--into", "none"], "init-from-files"),
    ):
        refused = call(*words, "--json")
        assert (refused.document["error"]["code"], refused.code) == (code, 2)
    assert not Path("none/headrace.toml").exists()


def test_the_schema_is_one_that_the_examples_fit(call: Call) -> None:
    said = call("schema")
    assert said.code == 0
    schema = said.document
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    for example in ("flights", "tumours"):
        definition = tomllib.loads((EXAMPLES / example / "headrace.toml").read_text(encoding="utf-8"))
        assert list(misfits(definition, schema)) == []
        definition["project"]["lable"] = "x"
        assert list(misfits(definition, schema)) != []


def test_keys_shows_the_public_key_and_never_the_private_one(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADRACE_CONFIG", str(tmp_path / "new"))
    made = call("keys")
    assert re.fullmatch(r"ed25519:[A-Za-z0-9+/]{43}=\n", made.out)
    told = call("keys", "--json").document
    assert told == {"public": made.out.strip(), "folder": str(tmp_path / "new")}
    for path in (tmp_path / "new").rglob("*"):
        assert path.stat().st_mode & 0o077 == 0


def test_features_build_makes_the_table_that_a_run_goes_on_from(call: Call, delays: Path) -> None:
    said = call("features", "build", "--json", "--memory", "2GB")
    assert (said.code, said.err) == (0, "")
    found = said.document
    assert found["rows"] > found["holdout_rows"] > 0
    table = pl.read_parquet(found["table"])
    assert table.height == found["rows"]
    assert set(found["features"]) <= set(table.columns)
    people = call("features", "build")
    assert people.code == 0
    assert f"{found['rows']:,} examples x {len(found['features'])} features" in people.out
    edit(delays, {r'label = "[^"]+"': 'label = "arr_delay > 31"'})
    changed = call("features", "build", "--json")
    assert changed.document["sha256"] != found["sha256"]
    assert call("runs", "--json").document["runs"][0]["state"] == "done"


@pytest.mark.parametrize("command", ["run", "check", "features build"])
def test_a_memory_limit_that_is_none_or_too_small_is_wrong_use(call: Call, delays: Path, command: str) -> None:
    for text, code in (("4 gigs", "no-size"), ("10MB", "memory-too-small")):
        said = call(*command.split(), "--json", "--memory", text)
        assert said.code == 2
        assert said.document["error"]["code"] == code


def test_training_that_does_not_fit_into_a_given_limit_is_refused_before_it_begins(
    call: Call, delays: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headrace.stages.learning.CELL_BYTES", 10**6)
    edit(delays, {r'false_positive = "\d+ USD"': 'false_positive = "9 USD"'})
    refused = call("run", "--json", "--memory", "2GB")
    assert (refused.code, refused.document["error"]["code"]) == (2, "not-enough-memory")
    needed = refused.document["error"]["facts"]["needed_bytes"]
    assert f"--memory {-(-needed // 10**9)}GB" in refused.document["error"]["fix"]
    allowed = call("run", "--json", "--memory", f"{-(-needed // 10**9)}GB")
    assert allowed.code == 0
