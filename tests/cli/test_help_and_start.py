"""What is seen first: help, wrong words, and how little is loaded for them."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from tests.cli.conftest import HEADRACE, Call

import headrace.cli
from headrace.cli.commands import COMMANDS, help_text

HEAVY = {
    "numpy",
    "polars",
    "sklearn",
    "sqlalchemy",
    "msgspec",
    "cyclopts",
    "rich",
    "onnxruntime",
    "lightgbm",
    "pydantic",
}


def loaded_by(code: str, *, cwd: Path | None = None) -> set[str]:
    """Names of the top packages that a fresh interpreter has loaded after `code`."""
    probe = f"import sys\n{code}\nprint(); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True, cwd=cwd)
    return {name.partition(".")[0] for name in done.stdout.splitlines()[-1].split()}


def test_help_is_the_text_made_from_the_table(call: Call) -> None:
    for words in (["--help"], ["-h"], ["help"], []):
        assert call(*words) == (0, help_text(), "")
    assert (Path(headrace.cli.__file__).parent / "help.txt").read_text(encoding="utf-8") == help_text()


def test_every_command_has_help_of_its_own(call: Call) -> None:
    for command in COMMANDS:
        said = call(*command.words.split(), "--help")
        assert said.code == 0, command
        assert f"headrace {command.words}" in said.out
        assert said.err == ""


def test_the_version_is_told(call: Call) -> None:
    assert call("--version").out == f"headrace {headrace.__version__}\n"


@pytest.mark.parametrize("code", ["import headrace", "import headrace.cli", "import headrace; headrace.__version__"])
def test_an_import_loads_nothing_heavy(code: str) -> None:
    assert not HEAVY & loaded_by(code)


def test_help_loads_the_standard_library_only() -> None:
    loaded = loaded_by("from headrace.cli import main; main(['--help'])")
    known = set(sys.stdlib_module_names) | {"headrace", "__mp_main__"}
    assert {name for name in loaded - known if not name.startswith(("_", "sitecustomize", "distutils"))} == set()


def test_the_list_of_runs_loads_neither_parser_nor_database_library(delays: Path) -> None:
    for words in ("['runs']", "['runs', '--json']"):
        loaded = loaded_by(f"from headrace.cli import main; assert main({words}) == 0", cwd=delays)
        assert not {"sqlalchemy", "cyclopts", "polars", "numpy", "rich", "sklearn"} & loaded
        assert "sqlite3" in loaded


@pytest.mark.parametrize(
    ("words", "guess"),
    [
        (["rnu"], "run"),
        (["modles", "list"], "models"),
        (["models", "promot", "a@1"], "promote"),
        (["run", "--refesh"], "--refresh"),
        (["predict", "m@champion", "rows.csv", "--reason", "3", "-o", "x.csv"], "--reasons"),
    ],
)
def test_a_near_miss_is_answered_with_a_guess(words: list[str], guess: str, call: Call) -> None:
    said = call(*words)
    assert said.code == 2
    assert said.out == ""
    assert said.err.startswith("error (usage): ")
    assert guess in said.err
    assert "fix: headrace " in said.err
    as_json = call(*words, "--json")
    assert as_json.code == 2
    assert as_json.document["error"]["code"] == "usage"
    assert guess in as_json.document["error"]["message"]


@pytest.mark.parametrize(
    "words", [["predict"], ["predict", "m@champion", "rows.csv"], ["models", "show"], ["runs", "--limit", "many"]]
)
def test_a_missing_or_misshapen_argument_is_wrong_use(words: list[str], call: Call, delays: Path) -> None:
    said = call(*words)
    assert said.code == 2
    assert said.err.startswith("error (usage): ")
    assert "Traceback" not in said.err


def test_a_folder_without_a_project_says_where_it_looked(call: Call, tmp_path: Path) -> None:
    for words in (["runs"], ["run"], ["models", "list"], ["show"], ["check"]):
        said = call(*words)
        assert said.code == 2, words
        assert str(tmp_path / "headrace.toml") in said.err
        document = call(*words, "--json").document
        assert set(document) == {"error"}
        assert set(document["error"]) == {"code", "message", "fix", "facts"}
        assert document["error"]["code"] == "project-not-found"


def test_no_colour_where_none_is_wanted(delays: Path) -> None:
    """In a real terminal: colour by default, none with NO_COLOR."""
    import pty

    def in_terminal(**env: str) -> bytes:
        child, terminal = pty.fork()
        if child == 0:
            os.execve(sys.executable, [*HEADRACE, "show", "x"], {**os.environ, "TERM": "xterm-256color", **env})
        text = b""
        try:
            while part := os.read(terminal, 4096):
                text += part
        except OSError:  # the terminal's way to say that the child has ended
            pass
        os.close(terminal)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 2
        return text

    plain = {key: value for key, value in os.environ.items() if key != "NO_COLOR"}
    assert b"\033[31m" in in_terminal(**plain)
    assert b"\033[" not in in_terminal(**plain, NO_COLOR="1")


def test_errors_keep_standard_output_clean_for_machines(delays: Path) -> None:
    command = [*HEADRACE, "show", "nothing-like-it", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert json.loads(done.stdout)["error"]["code"] == "run-not-found"
    assert done.stderr == ""


def test_a_reader_that_goes_away_is_no_error(delays: Path) -> None:
    command = f"{shlex.join(HEADRACE)} schema | head -c 10; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("words", [("--workers", "0"), ("--workers", "-3"), ("--port", "65536"), ("--port", "-1")])
def test_a_server_that_could_never_answer_is_not_begun(call: Call, words: tuple[str, str]) -> None:
    said = call("serve", *words)
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith(f'error (usage): Invalid value "{words[1]}" for {words[0]}.')
