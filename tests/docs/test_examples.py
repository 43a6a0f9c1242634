"""What the pages show works: definitions are read, Python runs, commands are taken as they are typed."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from tests.docs.pages import PAGES, ROOT, Block, all_blocks, blocks, inline

from headrace.cli import main
from headrace.cli.commands import COMMANDS
from headrace.cli.dispatch import build_app
from headrace.definition.reader import read_definition
from headrace.features.build import build_program
from headrace.language.types import Type

SHOWN = [*all_blocks("toml"), *blocks(ROOT / "README.md", "toml")]
DEFINITIONS = [block for block in SHOWN if block.text.startswith("format = 1\n\n")]
PAYMENTS = {
    **dict.fromkeys(("payment", "card", "country", "merchant"), Type.STRING),
    **dict.fromkeys(("fraud", "declined"), Type.BOOLEAN),
    "amount": Type.FLOAT,
    "paid_at": Type.TIMESTAMP,
}
PYTHON_PAGES = [page for page in PAGES if blocks(page, "python")]
CONSOLE_LINES = [
    pytest.param(line, id=f"{block.where}-{line}")
    for block in all_blocks("console")
    for line in block.text.splitlines()
]
OTHER_COMMANDS = (". .venv/bin/activate", "cd ", "make ", "pip install ")


@pytest.mark.parametrize("block", DEFINITIONS, ids=lambda block: block.where)
def test_a_definition_on_a_page_has_no_mistake(block: Block, tmp_path: Path) -> None:
    path = tmp_path / "headrace.toml"
    path.write_text(block.text, encoding="utf-8")
    assert read_definition(path).sources


def test_the_windows_page_shows_features_that_can_be_computed(tmp_path: Path) -> None:
    [page] = [page for page in PAGES if page.name == "windows.md"]
    (tmp_path / "headrace.toml").write_text(blocks(page, "toml")[0].text, encoding="utf-8")
    program = build_program(read_definition(tmp_path / "headrace.toml"), {"payments": PAYMENTS})
    assert {"z_score", "abroad", "heating", "refusals_rate_1h"} <= {field.name for field in program.outputs}


@pytest.mark.parametrize("page", PYTHON_PAGES, ids=lambda page: page.name)
def test_the_python_on_a_page_runs_from_top_to_bottom(
    page: Path, in_orders: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And prints what a comment behind a `print` says that it prints."""
    _run(page)
    told = [match[1] for block in blocks(page, "python") for match in re.finditer(r"print\(.*\)  # (.+)", block.text)]
    assert set(told) <= set(capsys.readouterr().out.splitlines())


def test_the_contract_page_shows_what_becomes_of_its_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HEADRACE_CONFIG", str(tmp_path / "config"))
    monkeypatch.delenv("HEADRACE_PROJECT", raising=False)
    [page] = [page for page in PAGES if page.name == "contracts.md"]
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "orders.csv").write_text(blocks(page, "csv")[0].text, encoding="utf-8")
    (tmp_path / "headrace.toml").write_text(blocks(page, "toml")[0].text, encoding="utf-8")
    assert main(["check"]) == 0
    ledger, quarantined = (block.text for block in blocks(page, "text"))
    assert ledger in capsys.readouterr().out
    _run(page)
    assert capsys.readouterr().out == quarantined


def test_the_quantiles_page_promises_times_that_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HEADRACE_CONFIG", str(tmp_path / "config"))
    monkeypatch.delenv("HEADRACE_PROJECT", raising=False)
    [page] = [page for page in PAGES if page.name == "counts-and-quantiles.md"]
    _run(page)
    (tmp_path / "headrace.toml").write_text(blocks(page, "toml")[0].text, encoding="utf-8")
    assert main(["run"]) == 0
    capsys.readouterr()
    assert main(["show", "--json"]) == 0
    shown = capsys.readouterr().out
    said = re.search(r"the 90 % quantile: ([0-9.]+)% of the holdout's labels", shown)
    assert said is not None
    assert 85 < float(said[1]) < 95
    assert "pinball_90" in shown


def test_a_block_that_is_not_run_says_why() -> None:
    reasons = [block.not_run for block in all_blocks("python") if block.not_run is not None]
    assert all(len(reason.split()) >= 2 for reason in reasons)


@pytest.mark.parametrize("line", CONSOLE_LINES)
def test_a_command_on_a_page_is_taken_as_it_is_typed(line: str) -> None:
    if line.startswith(OTHER_COMMANDS):
        return
    words = shlex.split(line)
    assert words[0] == "headrace", f"{line!r}: explain it in `OTHER_COMMANDS`, or take it out"
    app = build_app(words[1:])
    command, *_ = app.parse_args(words[1:], exit_on_error=False, print_error=False)
    longest = max(
        (c for c in COMMANDS if words[1:][: len(c.words.split())] == c.words.split()), key=lambda c: len(c.words)
    )
    assert f"{command.__module__}:{command.__name__}" == longest.target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_command_in_the_text_is_a_command(page: Path) -> None:
    known = {command.words for command in COMMANDS} | {"--help", "--version", "COMMAND"}
    known |= {" ".join(words.split()[:2]) for words in known}  # data contract export, data contract import
    groups = {words.split()[0] for words in known if " " in words}
    for token in inline(page):
        if token.type == "code_inline" and (match := re.match(r"headrace ([a-zC-][^\\]*)$", token.content)):
            first, *more = match[1].split()
            is_part = first in groups and bool(more) and more[0].islower() and more[0].isalpha()
            assert (f"{first} {more[0]}" if is_part else first) in known, f"{page}: {token.content}"


def _run(page: Path) -> None:
    names: dict[str, Any] = {}
    for block in blocks(page, "python"):
        if block.not_run is None:
            exec(compile(block.text, block.where, "exec"), names)


def test_the_page_on_conversions_shows_what_becomes_of_its_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import polars as pl

    from headrace.app import Project

    monkeypatch.setenv("HEADRACE_CONFIG", str(tmp_path / "config"))
    [page] = [page for page in PAGES if page.name == "conversions.md"]
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "parcels.csv").write_text(blocks(page, "csv")[0].text, encoding="utf-8")
    (tmp_path / "headrace.toml").write_text(blocks(page, "toml")[0].text, encoding="utf-8")
    with Project.open(tmp_path) as project:
        checked = project.check().sources["parcels"]
        accepted = pl.read_parquet(project.objects.scan_target(checked.table.ref.key).url)
        assert checked.quarantine is not None
        aside = pl.read_parquet(project.objects.scan_target(checked.quarantine.key).url)
    shown = accepted.with_columns(pl.col("at").dt.strftime("%Y-%m-%d %H:%M"))
    names = ("born", "sex", "price", "distance", "weight", "at")
    rows = "".join(" ".join(f"{name}={row[name]}" for name in names) + "\n" for row in shown.iter_rows(named=True))
    reasons = "".join(f"{row} {' '.join(why)}\n" for row, why in aside.select("_row", "_reasons").iter_rows())
    assert [rows, reasons] == [block.text for block in blocks(page, "text")]


def test_amounts_are_exact_as_the_page_on_conversions_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from headrace.definition.reader import read_definition
    from headrace.features.build import build_program
    from headrace.features.program import RowProgram
    from headrace.language.types import Type

    [page] = [page for page in PAGES if page.name == "conversions.md"]

    def shown(what: str, source: str, types: dict[str, Type], values: tuple[object, ...]) -> dict[str, object]:
        [block] = [block for block in blocks(page, "toml") if what in block.text]
        (tmp_path / "headrace.toml").write_text(block.text, encoding="utf-8")
        program = build_program(read_definition(tmp_path / "headrace.toml"), {source: types})
        names = [field.name for field in program.outputs]
        return dict(zip(names, RowProgram(program, None).outputs(values), strict=True))

    exact = dict.fromkeys(("amount", "fee"), Type.DECIMAL)
    others = {"paid_at": Type.TIMESTAMP, "charged_back": Type.BOOLEAN}
    paid = shown('type = "decimal"', "payments", exact | others, (123_456_789_012_300_000, 50_000, 0))
    assert paid["net"] == 123_456_789_012_250_000
    assert paid["gross"] == 146_913_578_924_637_000
    assert (paid["is_round"], paid["share"]) == (False, 0.05 / 123_456_789_012.3)
    counted = dict.fromkeys(("amount", "fee"), Type.INTEGER) | {"overdrawn": Type.BOOLEAN}
    held = shown("places = 2", "balances", counted, (123_456_789_012_345, 305))
    assert held["net"] == 1_234_567_890_123.14
    assert held["is_round"] is False


def test_the_page_on_combining_shows_what_becomes_of_its_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HEADRACE_CONFIG", str(tmp_path / "config"))
    monkeypatch.delenv("HEADRACE_PROJECT", raising=False)
    [page] = [page for page in PAGES if page.name == "combine.md"]
    (tmp_path / "data").mkdir()
    for name, block in zip(("crm", "billing"), blocks(page, "csv"), strict=True):
        (tmp_path / "data" / f"{name}.csv").write_text(block.text, encoding="utf-8")
    (tmp_path / "headrace.toml").write_text(blocks(page, "toml")[0].text, encoding="utf-8")
    assert main(["check"]) == 0
    ledger, explained = (block.text for block in blocks(page, "text"))
    assert ledger in capsys.readouterr().out
    assert main(["data", "explain", "1"]) == 0
    assert capsys.readouterr().out == explained


def test_the_page_on_starting_shows_what_is_proposed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "hotels"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HEADRACE_CONFIG", str(tmp_path / "config"))
    monkeypatch.delenv("HEADRACE_PROJECT", raising=False)
    [page] = [page for page in PAGES if page.name == "init.md"]
    _run(page)
    [command] = [block.text for block in blocks(page, "console")]
    assert main(shlex.split(command)[1:]) == 0
    summary, definition = blocks(page, "text")[0].text, blocks(page, "toml")[0].text
    assert capsys.readouterr().out.startswith(summary)
    assert Path("headrace.toml").read_text(encoding="utf-8") == definition
    assert main(["check"]) == 0
