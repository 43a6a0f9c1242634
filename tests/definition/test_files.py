"""Which project, which lock, which secrets: the small files around the definition."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.definition.errors import LockUnreadable, ProjectNotFound, SecretNotFound
from headrace.definition.find import find_project
from headrace.definition.lock import Lock, LockedColumn
from headrace.definition.lockfile import read_lock, write_lock
from headrace.definition.secrets import Secret, has_literal_credential, redact, resolve
from headrace.language.types import Type

LOCK = Lock(
    sources={
        "b": {
            "z": LockedColumn(type=Type.FLOAT, evidence="all numbers"),
            "a": LockedColumn(type=Type.DATE, evidence="ISO"),
        },
        "a": {},
    },
    task="binary",
)


def project(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "headrace.toml"
    file.write_text("format = 1\n")
    return file


def test_the_option_goes_before_the_variable_and_that_before_the_folders_above(tmp_path: Path) -> None:
    option, variable, above = project(tmp_path / "o"), project(tmp_path / "v"), project(tmp_path)
    (tmp_path / "x" / "y").mkdir(parents=True)
    cwd, env = tmp_path / "x" / "y", {"HEADRACE_PROJECT": str(variable)}

    assert find_project(str(option.parent), env, cwd) == option
    assert find_project("../../o/headrace.toml", env, cwd).samefile(option)
    assert find_project(None, env, cwd) == variable
    assert find_project(None, {"HEADRACE_PROJECT": ""}, cwd) == above


@pytest.mark.parametrize(("option", "env"), [("none", {}), (None, {"HEADRACE_PROJECT": "none"})])
def test_a_named_project_that_is_not_there_is_not_looked_for_elsewhere(
    tmp_path: Path, option: str | None, env: dict[str, str]
) -> None:
    project(tmp_path)

    with pytest.raises(ProjectNotFound) as caught:
        find_project(option, env, tmp_path)

    assert caught.value.looked == (str(tmp_path / "none"), str(tmp_path / "none" / "headrace.toml"))
    assert ("--project" if option else "HEADRACE_PROJECT") in caught.value.message


def test_no_project_names_every_place_that_was_looked_at(tmp_path: Path) -> None:
    with pytest.raises(ProjectNotFound) as caught:
        find_project(None, {}, tmp_path)

    assert str(tmp_path / "headrace.toml") in caught.value.message
    assert "/headrace.toml" in caught.value.looked


def test_a_lock_is_read_back_and_is_always_the_same_bytes(tmp_path: Path) -> None:
    first, second = tmp_path / "headrace.lock", tmp_path / "again.lock"

    write_lock(first, LOCK)
    write_lock(second, Lock(sources=dict(reversed(LOCK.sources.items())), task="binary"))

    assert read_lock(first) == LOCK
    assert first.read_bytes() == second.read_bytes()
    assert first.read_bytes().endswith(b"}\n")
    assert list(json.loads(first.read_bytes())["sources"]) == ["a", "b"]
    assert sorted(file.name for file in tmp_path.iterdir()) == ["again.lock", "headrace.lock"]


def test_no_lock_is_the_empty_lock(tmp_path: Path) -> None:
    assert read_lock(tmp_path / "headrace.lock") == Lock()


@pytest.mark.parametrize(
    ("text", "message", "fix"),
    [
        ('{"format": 2}', 'expected "format": 1, found 2', "upgrade"),
        ("[]", "found none", "upgrade"),
        ('{\n"format": 1,\n x', "headrace.lock:3: expected JSON", "restore"),
        ('{\n"format": 1', "expected JSON", "restore"),
        ('{\n<<<<<<< HEAD\n"format": 1}', "headrace.lock:2", "merge conflict"),
        ('{"format": 1, "sources": {"a": {"x": {"type": "int", "evidence": ""}}}}', "sources", "undo"),
        ('{"format": 1, "more": 1}', "more", "undo"),
        ("\xff", "expected JSON", "restore"),
    ],
)
def test_a_lock_that_is_not_ours_is_refused_with_its_place(tmp_path: Path, text: str, message: str, fix: str) -> None:
    file = tmp_path / "headrace.lock"
    file.write_bytes(text.encode("latin-1"))

    with pytest.raises(LockUnreadable) as caught:
        read_lock(file)

    assert message in caught.value.message
    assert caught.value.fix is not None
    assert fix in caught.value.fix


def test_a_lock_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LockUnreadable, match="directory"):
        read_lock(tmp_path)


def test_references_lead_to_variables_and_files(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("t0ken\n")

    found = resolve("s3://b?x=${env:X}&token=${file:token}", {"X": "1"}, tmp_path)

    assert found == "s3://b?x=1&token=t0ken"
    assert repr(found) == "Secret('***')"
    assert repr({"url": found}) == "{'url': Secret('***')}"


def test_a_password_with_any_character_does_not_break_the_url(tmp_path: Path) -> None:
    env = {"PASSWORD": "p@ss/w:rd?#", "URL": "postgresql://a:b%40c@h/d"}

    assert resolve("postgresql://me:${env:PASSWORD}@h/d", env, tmp_path) == "postgresql://me:p%40ss%2Fw%3Ard%3F%23@h/d"
    assert resolve("${env:URL}", env, tmp_path) == env["URL"]
    assert resolve("data/${env:PASSWORD}.csv", env, tmp_path) == "data/p@ss/w:rd?#.csv"


def test_what_a_reference_holds_is_not_resolved_again(tmp_path: Path) -> None:
    assert resolve("${env:A}", {"A": "${env:B}", "B": "x"}, tmp_path) == "${env:B}"


@pytest.mark.parametrize(
    ("text", "found", "fix"),
    [
        ("${env:NONE}", "no environment variable NONE", "export NONE=…"),
        ("${file:none}", "No such file", "write the secret"),
        ("${file:binary}", "not a UTF-8 text", "write the secret"),
        ("${file:a\0b}", "not a UTF-8 text", "write the secret"),
    ],
)
def test_a_reference_that_leads_nowhere_is_named(tmp_path: Path, text: str, found: str, fix: str) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe")

    with pytest.raises(SecretNotFound) as caught:
        resolve(text, {"OTHER": "hunter2"}, tmp_path)

    assert found in caught.value.message
    assert fix in str(caught.value.fix)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "shown", "literal"),
    [
        ("data/a.csv", "data/a.csv", False),
        ("postgresql://h/d", "postgresql://h/d", False),
        ("postgresql://me@h/d", "postgresql://me@h/d", False),
        ("postgresql://me:pw@h/d", "postgresql://me:***@h/d", True),
        ("postgresql://me:p@w@h/d", "postgresql://me:***@h/d", True),
        ("postgresql://me:${env:P}@h/d", "postgresql://me:***@h/d", False),
        ("postgresql://me:${file:/run/p}@h/d", "postgresql://me:***@h/d", False),
        ("postgresql://me:x${env:P}@h/d", "postgresql://me:***@h/d", True),
        ("postgresql://h/d?sslmode=require&password=pw", "postgresql://h/d?sslmode=require&password=***", True),
        ("postgresql://h/d?password=${env:P}", "postgresql://h/d?password=***", False),
        ("s3://b/k?AWS_SECRET_ACCESS_KEY=pw&x=1", "s3://b/k?AWS_SECRET_ACCESS_KEY=***&x=1", True),
        ("https://token@h/a.csv", "https://***@h/a.csv", True),
        ("https://${env:T}@h/a.csv", "https://***@h/a.csv", False),
        ("https://${env:U}:${env:T}@h/a.csv", "https://***@h/a.csv", False),
        ("https://token:@h/a.csv", "https://***@h/a.csv", True),
        ("https://me:pw@h/a.csv", "https://***@h/a.csv", True),
        ("postgresql://${env:U}:${env:P}@h/d", "postgresql://${env:U}:***@h/d", False),
        ("https://h/a.csv?x=1&sig=pw", "https://h/a.csv?x=1&sig=***", True),
        ("https://h/a.csv?X-Amz-Signature=pw&at=me@h", "https://h/a.csv?X-Amz-Signature=***&at=me@h", True),
        ("https://h/a.csv?access_token=${env:T}", "https://h/a.csv?access_token=***", False),
        ("mail me@home: now", "mail me@home: now", False),
    ],
)
def test_credentials_are_seen_and_masked(url: str, shown: str, literal: bool) -> None:
    assert redact(url) == shown
    assert has_literal_credential(url) is literal


@given(st.text(st.characters(exclude_characters="/?# \t\n\r", exclude_categories=["Cs", "Z", "Cc"]), min_size=4))
def test_a_password_of_any_characters_is_masked(password: str) -> None:
    assert redact(f"postgresql://me:{password}@host/d") == "postgresql://me:***@host/d"


def test_a_secret_is_a_text() -> None:
    assert Secret("a") + "b" == "ab"
    assert hash(Secret("a")) == hash("a")
