"""The retail example as it is shipped, on a real database and object store: prepared, checked, run and explained."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path

import pytest
from tests.conftest import S3Place
from tests.examples import EXAMPLES

from headrace.cli import main


@pytest.fixture
def retail(tmp_path: Path, postgres_url: str, s3_server: S3Place, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The example, laid out by its own script."""
    settings = {
        **s3_server.env,
        "RETAIL_DATABASE": postgres_url,
        "RETAIL_BUCKET": s3_server.url.removeprefix("s3://"),
        "HEADRACE_CONFIG": str(tmp_path / "keys"),
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("HEADRACE_PROJECT", raising=False)
    spec = importlib.util.spec_from_file_location("prepare_retail", EXAMPLES / "retail" / "prepare.py")
    assert spec is not None
    assert spec.loader is not None
    prepare = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(prepare)
    root = tmp_path / "retail"
    prepare.main(root / "data", settings)
    text = (EXAMPLES / "retail" / "headrace.toml").read_text(encoding="utf-8")
    assert text.count('budget = "10 trials"') == 1
    (root / "headrace.toml").write_text(text.replace('budget = "10 trials"', 'budget = "2 trials"'), encoding="utf-8")
    shutil.copy(EXAMPLES / "retail" / "headrace.lock", root)
    monkeypatch.chdir(root)
    return root


def test_the_example_is_checked_run_and_explained(retail: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert retail.is_dir()
    assert main(["check", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    reports = {report["source"]: report for report in found["sources"]}
    assert dict(reports["crm"]["reasons"]) == {"pattern:kunde": 1}
    assert reports["customers"]["read"] == 800
    assert set(dict(reports["orders"]["reasons"])) == {"check:known_customer"}
    members = {member["source"]: member for member in found["combined"]["customers"]["members"]}
    assert [members["crm"][part] for part in ("rows", "entities", "merged", "quarantined")] == [600, 600, 0, 0]
    assert [members["billing"][part] for part in ("rows", "entities", "merged", "quarantined")] == [500, 200, 300, 0]
    assert {"name", "city"} <= {conflict["column"] for conflict in found["combined"]["customers"]["conflicts"]}
    assert main(["data", "explain", "C00450", "--json"]) == 0
    explained = {column["column"]: column for column in json.loads(capsys.readouterr().out)["columns"]}
    assert (explained["name"]["source"], explained["name"]["rule"]) == ("billing", "longest")
    assert explained["name"]["lost"][0]["place"] == "row 450 of data/crm.csv"
    assert main(["run", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["version"] == 1
