"""A definition's mistakes come all at once, each with its place, what was expected, what was found and the fix."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from headrace.definition.errors import DefinitionErrors, Mistake
from headrace.definition.model import Definition
from headrace.definition.not_yet import NOT_YET

Read = Callable[[str], Definition]
Mistakes = Callable[[str], tuple[Mistake, ...]]
HERE = Path(__file__).parent

SMALLEST = """
format = 1
[project]
[sources.rows]
read = "rows.csv"
"""


def test_ten_mistakes_are_told_at_once_as_the_golden_text_has_them(read: Read) -> None:
    golden = HERE / "golden" / "ten_mistakes.txt"

    with pytest.raises(DefinitionErrors) as caught:
        read((HERE / "samples" / "ten_mistakes.toml").read_text(encoding="utf-8"))

    text = f"{caught.value}\n"
    if os.environ.get("HEADRACE_UPDATE_GOLDEN"):
        golden.write_text(text, encoding="utf-8")
    assert text == golden.read_text(encoding="utf-8")
    assert len(caught.value.mistakes) == 10


def test_the_mistakes_as_data_say_the_same(read: Read) -> None:
    with pytest.raises(DefinitionErrors) as caught:
        read(SMALLEST.replace("[project]", '[project]\ntaks = "binary"'))

    data = json.loads(json.dumps(caught.value.to_dict()))

    assert data["code"] == "definition-mistakes"
    assert data["facts"]["mistakes"] == [msgspec.to_builtins(mistake) for mistake in caught.value.mistakes]
    assert data["facts"]["mistakes"][0] == {
        "code": "unknown-key",
        "file": "headrace.toml",
        "line": 4,
        "column": 1,
        "key": "project.taks",
        "message": "there is no key `taks` here",
        "expected": "`key`, `label`, `name`, `positive`, `request`, `source`, `task` or `time`",
        "found": "`taks`",
        "fix": "did you mean `task`?",
    }


COLUMN = "sources.rows.columns.x"
NOT_AVAILABLE = {
    "monitoring": '[monitoring]\nwindow = "1d"',
    "notify": '[notify.ops]\nwebhook = "x"',
    "privacy": '[privacy]\nsubject = "x"',
    "cost": '[cost]\nbudget = "200 USD / month"',
    "team": "[team]",
    "sources.*.read.* kafka://": '[sources.rows]\nread = "kafka://host/topic"\nformat = "csv"',
    "sources.*.columns.*.personal": '[sources.rows.columns]\nx = { personal = "pseudonym" }',
    "stores.broker": '[stores]\nbroker = ".headrace/broker"',
    "stores.engine": '[stores]\nengine = "local"',
}


@pytest.mark.parametrize("line", NOT_YET, ids=lambda line: f"{line.path} {line.value or ''}".strip())
def test_what_is_not_built_is_refused_by_name(mistakes: Mistakes, line: object) -> None:
    name = f"{getattr(line, 'path', '')} {getattr(line, 'value', None) or ''}".strip()
    text = NOT_AVAILABLE[name]
    rows = "" if "[sources.rows]" in text else '[sources.rows]\nread = "rows.csv"\n'
    if "[sources.rows]" in text and "read" not in text:
        text += '\nread = "rows.csv"'

    found = mistakes(
        f"format = 1\n{text if '=' in text[:10] else ''}\n[project]\n{rows}{text if '=' not in text[:10] else ''}"
    )

    assert [mistake.code for mistake in found] == ["not-available"]
    assert found[0].message.startswith("not available in this version")


def test_every_refusal_has_its_text() -> None:
    assert {f"{line.path} {line.value or ''}".strip() for line in NOT_YET} == set(NOT_AVAILABLE)


def test_a_personal_column_is_refused_until_pseudonyms_exist(mistakes: Mistakes) -> None:
    [mistake] = mistakes(SMALLEST + '[sources.rows.columns]\nx = { personal = "pseudonym" }\n')

    assert "refused until pseudonyms exist" in mistake.message


def test_strategies_searches_and_a_budget_in_money_are_taken(mistakes: Mistakes) -> None:
    text = '[training]\nimbalance = ["none", "weights", "smote"]\nsearch = "halving"\nbudget = "0.50 USD"\n'
    assert mistakes(SMALLEST + text) == ()


@pytest.mark.parametrize(
    ("text", "key", "fix"),
    [
        ("[trainning]", "trainning", "did you mean `training`?"),
        ('[training]\nmetric = "auc"', "training.metric", 'did you mean "roc_auc"?'),
        ("[sources.rows.columns]\nx = { type = 'int' }", "sources.rows.columns.x.type", 'did you mean "integer"?'),
        ("[sources.rows.columns]\nx = { zone = 'Europe/Pari' }", "sources.rows.columns.x.zone", 'mean "Europe/Paris"'),
        ("[sources.rows.columns]\nx = { typ = 'float' }", "sources.rows.columns.x.typ", "did you mean `type`?"),
        ('[split]\nholdout = "20%"', "split.holdout", "a share is written as a number: 0.2"),
        ("[split]\nholdout = 20", "split.holdout", "within"),
        ("[split]\nholdout = nan", "split.holdout", "within"),
        ("[split]\nfolds = true", "split.folds", "whole number"),
        ("[split]\nfolds = 3.0", "split.folds", "whole number"),
        ('[split]\nby = "time"', "split.by", "time"),
        ('[split]\nby = "group"', "split.group", "group ="),
        ('[split]\ngroup = "g"', "split.group", "take one out"),
        ('[training]\nfamilies = ["linear", "linear"]', "training.families[1]", "take one out"),
        ("[training]\nfamilies = []", "training.families", "at least one"),
        ("[costs]\nover = 2\nunder = '1 USD'", "costs.over", '"2 USD"'),
        ("[costs]\nover = '2 USD'\nunder = '1 EUR'", "costs.under", "convert"),
        ("[costs]\nover = '2 USD'", "costs.under", "under ="),
        ("[costs]\nover = '0 USD'\nunder = '1 USD'", "costs.over", "USD"),
        ("[costs]\nvolume = '2M / month'", "costs", "false_positive"),
        ("[costs]\nover = '1 USD'\nunder = '1 USD'\nvolume = '2 millions'", "costs.volume", '"2M / month"'),
        ("[costs]\nover = '1 USD'\nunder = '1 USD'\nfalse_positive = '1 USD'", "costs", "keep one"),
        ("[costs.matrix]\ncat = '1 USD'", "costs.matrix.cat", '"cat>dog"'),
        ("[costs]\nfalse_postive = '1 USD'\nfalse_negative = '2 USD'", "costs.false_postive", "false_positive"),
        ('[selection]\nrule = "least_cost"', "selection.rule", "best_metric"),
        ("[selection]\nwithin = 0.1", "selection.within", "take one out"),
        ("[evaluation]\ncoverage = 1", "evaluation.coverage", "within"),
        ('[stores]\ncatalog = "mysql://h/d"', "stores.catalog", "path"),
        ('[stores]\nobjects = "file://rel"', "stores.objects", "file:///"),
        ('[trust]\nsigners = ["me"]', "trust.signers[0]", "ed25519:"),
        ("[[sources.rows.checks]]\nname = 'c'", "sources.rows.checks[0].where", "where ="),
        ("[[sources.rows.checks]]\nname = 'c'\nwhere = 'x >'", "sources.rows.checks[0].where", ""),
        ("[sources.rows.columns]\nx = { min = 2, max = 1 }", "sources.rows.columns.x.min", "swap"),
        ("[sources.rows.columns]\nx = { pattern = '(?=a)' }", "sources.rows.columns.x.pattern", "without"),
        ("[sources.rows.columns]\nx = { pattern = '(a)\\1' }", "sources.rows.columns.x.pattern", "without"),
        ("[sources.rows.rename]\na = 'b'\nc = 'b'", "sources.rows.rename.c", "rename one"),
        ("[sources.rows.rename]\na = '_b'", "sources.rows.rename.a", ""),
        ("[sources.rows.derive]\na = 'b'\nb = 'a'", "sources.rows.derive.a", "break the circle"),
        ("[sources.rows.derive]\na = 'a + 1'", "sources.rows.derive.a", "name of its own"),
        ("[sources.rows.derive]\n_a = 'x'", "sources.rows.derive._a", "begin"),
        ("[sources.rows.columns]\nx = { min = 'soon' }", "sources.rows.columns.x.min", "2026-01-31"),
        (
            "[sources.rows.columns]\nx = { type = 'date', max = 3 }",
            "sources.rows.columns.x.max",
            "the bound or the type",
        ),
        ("[sources.rows.columns]\nx = { min = 2026-02-01, max = '2026-01-31' }", "sources.rows.columns.x.min", "swap"),
        ("[sources.rows.columns]\nx = { min_length = 3, max_length = 2 }", "sources.rows.columns.x.min_length", "swap"),
        ("[sources.rows.columns]\nx = { type = 'float', max_length = 2 }", "sources.rows.columns.x.max_length", "out"),
        ("[sources.rows.columns]\nx = { not_null = 'yes' }", "sources.rows.columns.x.not_null", "true or false"),
        ("[sources.rows.columns]\nx = { monotone = 'asc' }", "sources.rows.columns.x.monotone", '"increasing"'),
        ("[sources.rows.columns]\nx = { on_fail = 'repair' }", "sources.rows.columns.x.repair", "write repair ="),
        ("[sources.rows.columns]\nx = { repair = 'clip' }", "sources.rows.columns.x.repair", "write max ="),
        ("[sources.rows.columns]\nx = { repair = 'trim' }", "sources.rows.columns.x.repair", 'did you mean "strip"?'),
        (
            "[sources.rows.columns]\nx = { repair = ['strip', 'strip'] }",
            "sources.rows.columns.x.repair",
            "take one out",
        ),
        ("[sources.rows.columns]\nx = { repair = {} }", "sources.rows.columns.x.repair", "for several write a list"),
        (
            "[sources.rows.columns]\nx = { repair = 'strip', on_fail = 'warn' }",
            "sources.rows.columns.x.on_fail",
            'write "repair"',
        ),
        (
            "[sources.rows.derive]\ny = 'x + 1'\n[sources.rows.columns]\ny = { max = 1, repair = 'clip' }",
            "sources.rows.columns.y.repair",
            "repair the columns that it is made of",
        ),
        (
            "[[sources.rows.checks]]\nname = 'c'\nwhere = 'x > 1'\nrows = { min = 1 }",
            "sources.rows.checks[0].rows",
            "each",
        ),
        ("[[sources.rows.checks]]\nname = 'c'\nrows = {}", "sources.rows.checks[0].rows.min", "write rows ="),
        ("[[sources.rows.checks]]\nname = 'c'\nrows = { min = 2, max = 1 }", "sources.rows.checks[0].rows.min", "swap"),
        (
            "[[sources.rows.checks]]\nname = 'c'\nrows = { min = 2 }\non_fail = 'quarantine'",
            "sources.rows.checks[0].on_fail",
            '"warn"',
        ),
        ("[[sources.rows.checks]]\nname = 'c'\nsum = 'x'", "sources.rows.checks[0].equals", "write equals ="),
        (
            "[[sources.rows.checks]]\nname = 'c'\nsum = 'x'\nequals = 'y'",
            "sources.rows.checks[0].equals",
            "customers.id",
        ),
        ("[[sources.rows.checks]]\nname = 'c'\nsum = 'x'\nequals = 'row.y'", "sources.rows.checks[0].equals", '"rows"'),
        ("[[sources.rows.checks]]\nname = 'c'\nsum = 'x'\nequals = 'rows.y'", "sources.rows.checks[0].equals", "where"),
        (
            "[[sources.rows.checks]]\nname = 'c'\nwhere = 'x > 1'\ntolerance = 1",
            "sources.rows.checks[0].tolerance",
            "take it out",
        ),
        (
            "[[sources.rows.checks]]\nname = 'c'\nforeign_key = { a = 'rows.x', b = 'other.y' }",
            "sources.rows.checks[0].foreign_key",
            "for each source",
        ),
        (
            "[[sources.rows.checks]]\nname = 'c'\nforeign_key = { a = 'others.x' }",
            "sources.rows.checks[0].foreign_key.a",
            "[sources.others]",
        ),
        (
            "[[sources.rows.checks]]\nname = 'c'\nforeign_key = { a = 'rows.x' }\non_fail = 'repair'",
            "sources.rows.checks[0].on_fail",
            "set aside",
        ),
        (
            "[[sources.rows.checks]]\nname = 'c'\nwhere = 'x > 1'\non_fail = 'repair'",
            "sources.rows.checks[0].repair",
            "",
        ),
        ("[features.lookups.'my l']", 'features.lookups."my l"', "letter"),
    ],
)
def test_each_mistake_names_its_key_and_its_fix(mistakes: Mistakes, text: str, key: str, fix: str) -> None:
    found = mistakes(f"{SMALLEST}{text}\n")

    assert [mistake.key for mistake in found] == [key]
    assert fix in found[0].fix
    assert found[0].expected
    assert found[0].found


@pytest.mark.parametrize(
    ("old", "new", "key", "fix"),
    [
        ("format = 1", "", "format", "format = 1"),
        ("format = 1", "format = 2", "format", ""),
        ("format = 1", 'format = "1"', "format", "without quotes"),
        ("[project]", "", "project", "[project]"),
        ("[project]", "[project]\nname = 'a b'", "project.name", "name ="),
        ("[project]", "[project]\nlabel = 'x > '", "project.label", ""),
        ("[project]", "[project]\nlabel = '1 > 0'", "project.label", "arr_delay"),
        ("[project]", "[project]\nsource = 'row'", "project.source", 'did you mean "rows"?'),
        ("[project]", "[project]\ntask = 'binry'", "project.task", 'did you mean "binary"?'),
        ("[project]", "[project]\ntask = 'regression'\npositive = 'yes'", "project.positive", "take it out"),
        ("[project]", "[project]\ntime = 't'", "project.request", "request ="),
        ("[project]", "[project]\nrequest = ['_id']", "project.request[0]", 'rename = { _id = "id" }'),
        ("[project]", "[project]\ntime = 't'\nrequest = ['x']", "project.request", 'add "t"'),
        ('[sources.rows]\nread = "rows.csv"', "[sources]", "sources", "[sources.rows]"),
        ('[sources.rows]\nread = "rows.csv"', "", "sources", "[sources.rows]"),
        ('[project]\n[sources.rows]\nread = "rows.csv"', "sources = 3\n[project]", "sources", "write sources ="),
        ("[project]", "[project]\ncolour = 3", "project.colour", "take it out"),
        ('read = "rows.csv"', "", "sources.rows.read", "read ="),
        ('read = "rows.csv"', "read = 3", "sources.rows.read", "read ="),
        ('read = "rows.csv"', "read = 'rows.dat'", "sources.rows.read", "format ="),
        ('read = "rows.csv"', "read = ['a.csv', 'a.parquet']", "sources.rows.read", "two sources"),
        ('read = "rows.csv"', "read = 'a.csv'\nformat = 'sqlite'\nquery = 'q'", "sources.rows.format", '"csv"'),
        ('read = "rows.csv"', "read = 'a.db'", "sources.rows.query", "query ="),
        ('read = "rows.csv"', "read = 'a.csv'\nquery = 'SELECT 1'", "sources.rows.query", "take"),
        ('read = "rows.csv"', "read = 'a.parquet'\nseparator = ';'", "sources.rows.separator", "take it out"),
        ('read = "rows.csv"', "read = 'a.csv'\nseparator = ';;'", "sources.rows.separator", "separator ="),
        ('read = "rows.csv"', "read = 's3a://b/a.csv'", "sources.rows.read", "did you mean s3://?"),
        ('read = "rows.csv"', "read = '${ENV:X}/a.csv'", "sources.rows.read", "correct it"),
        ('read = "rows.csv"', "read = 'a.csv'\nknown = 't'", "sources.rows.known", "event_time"),
        (
            'read = "rows.csv"',
            "read = 'a.csv'\nevent_time = 't'\nknown = { delay = '1m' }",
            "sources.rows.known.after",
            "after",
        ),
        (
            'read = "rows.csv"',
            "read = 'a.csv'\nunique = ['u']\nrename = { u = 'v' }",
            "sources.rows.unique[0]",
            "use `v`",
        ),
    ],
)
def test_a_wrong_part_is_named(mistakes: Mistakes, old: str, new: str, key: str, fix: str) -> None:
    found = mistakes(SMALLEST.replace(old, new))

    assert [mistake.key for mistake in found] == [key]
    assert fix in found[0].fix


def test_a_mistake_in_an_expression_is_found_at_its_character(mistakes: Mistakes) -> None:
    [mistake] = mistakes(SMALLEST + '[sources.rows.derive]\nroute = "origin || dest || lenght(x)"\n')

    assert (mistake.line, mistake.column) == (7, 10 + len("origin || dest || ") - 1 + 1)
    assert "length" in mistake.fix
    caret = mistake.found.split("\n")[-1]
    assert caret.index("^") == len("origin || dest || ")


def test_two_mistakes_of_one_cause_are_told_once(mistakes: Mistakes) -> None:
    text = SMALLEST.replace("[project]", '[project]\ntime = "t"\nreqest = ["t", "x"]') + (
        '[features.expressions]\ny = "x + 1"\n[features.windows.w]\nsource = "rows"\nkey = ["x"]\nvalue = "v"\n'
        'over = "1h"\ntake = "mean"\n[sources.rows.columns]\nv = { known = 3 }\n'
    )

    assert [mistake.key for mistake in mistakes(text)] == ["project.reqest", "sources.rows.columns.v.known"]


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:hunter2@db/flights",
        "postgresql://me:${env:A}hunter2@db/flights",
        "postgresql://db/flights?user=me&password=hunter2",
        "s3://bucket/x.csv?secret_access_key=hunter2",
    ],
)
@pytest.mark.parametrize("key", ["read", "catalog"])
def test_a_credential_in_the_clear_is_refused_and_not_repeated(read: Read, url: str, key: str) -> None:
    text = f'{SMALLEST}[stores]\ncatalog = "{url}"\n' if key == "catalog" else SMALLEST.replace("rows.csv", url)

    with pytest.raises(DefinitionErrors) as caught:
        read(text)

    assert caught.value.mistakes[0].code == "credential"
    assert "${env:NAME}" in caught.value.mistakes[0].fix
    assert "hunter2" not in str(caught.value) + repr(caught.value) + json.dumps(caught.value.to_dict())


def test_a_credential_is_not_repeated_by_other_mistakes_either(read: Read) -> None:
    with pytest.raises(DefinitionErrors) as caught:
        read(
            SMALLEST + '[sources.x]\nread = 3\nquery = "postgresql://me:hunter2@db"\n[stores]\nobjets = "x"\n'
            'catalog = ["postgresql://me:hunter2@db"]\n[trust]\nsigners = ["s3://a:hunter2@b"]\n'
        )

    assert "hunter2" not in str(caught.value) + json.dumps(caught.value.to_dict())


@pytest.mark.parametrize(
    ("rows", "key", "words"),
    [
        ('read = "https://host/*.csv"', "read", "cannot be asked for a list"),
        ('read = "https:///a.csv"', "read", "has no host"),
        ('read = "https://host/data/"', "read", "format cannot be told"),
        ('read = "https://host/t"\nformat = "delta"', "read", "is a folder"),
        ('read = "a.csv"\nheaders = { Accept = "text/csv" }', "headers", "is for files on web servers"),
        ('read = "a.csv"\nmax_size = "1GiB"', "max_size", "is for files on web servers"),
        ('read = "https://host/a.csv"\nmax_size = "0GiB"', "max_size", "the amount cannot be read"),
        ('read = "https://host/a.csv"\nheaders = { Range = "bytes=1-" }', "headers.Range", "set by the client"),
        ('read = "https://host/a.csv"\nheaders = { X-Api-Key = "abc" }', "headers.X-Api-Key", "a credential stands"),
    ],
)
def test_what_is_wrong_with_a_file_on_a_web_server(mistakes: Mistakes, rows: str, key: str, words: str) -> None:
    (found,) = mistakes(f"format = 1\n[project]\n[sources.rows]\n{rows}")
    assert (found.key, words in found.message) == (f"sources.rows.{key}", True)


def test_a_file_on_a_web_server_is_told_by_its_path_alone(read: Read) -> None:
    address = "https://me:${env:P}@host/a.parquet?file=b.csv&token=${env:T}"
    (source,) = read(SMALLEST.replace("rows.csv", address)).sources
    assert (source.format, source.read, source.max_size) == ("parquet", (address,), 16 << 30)
