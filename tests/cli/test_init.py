"""`headrace init` on tables as they come: what it writes holds on the same data, and leads to a version."""

from __future__ import annotations

import csv
import datetime as dt
import random
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import pytest
from tests.cli.conftest import Call
from tests.examples import flights

Table = tuple[Sequence[str] | None, Iterable[Sequence[object]], str]


def headless(draw: random.Random) -> Table:
    return None, [(n, draw.choice("abc"), draw.random(), draw.choice(["yes", "no"])) for n in range(1, 301)], ","


def repeated(draw: random.Random) -> Table:
    rows = [(f"K{n:04d}", "", "EU", draw.choice(["red", "green"]), draw.randint(0, 99), n % 2) for n in range(300)]
    return ("code", "empty", "region", "colour", "score", "target"), [*rows, *rows[:20]], ","


def mixed_dates(draw: random.Random) -> Table:
    days = [dt.date(2024, 1, 1) + dt.timedelta(days=draw.randrange(500)) for _ in range(300)]
    written = [f"{day:%Y-%m-%d}" if n % 3 else f"{day:%d.%m.%Y}" for n, day in enumerate(days)]
    rows = [(n, text, f"{days[n]:%d.%m.%Y}", draw.gauss(3, 1), draw.choice("ab")) for n, text in enumerate(written)]
    return ("id", "mixed", "german", "x", "label"), rows, ","


def people(draw: random.Random) -> Table:
    rows = [
        (n, f"u{n}@example.org", iban(draw), f"+49 30 {draw.randrange(10**6, 10**7)}", draw.randint(18, 90), n % 3 == 0)
        for n in range(300)
    ]
    return ("customer_id", "email", "iban", "phone", "age", "churned"), rows, ","


def iban(draw: random.Random) -> str:
    account = f"37040044{draw.randrange(10**10):010d}"
    return f"DE{98 - int(account + '131400') % 97:02d}{account}"


def german(draw: random.Random) -> Table:
    rows = [
        (
            n,
            f"{draw.random() * 90:.2f}".replace(".", ","),
            f"{dt.datetime(2024, 1, 1, tzinfo=dt.UTC) + dt.timedelta(hours=7 * n):%d.%m.%Y %H:%M}",
            draw.choice(["Köln", "Ulm; Donau"]),
            draw.choice(["ja", "nein"]),
        )
        for n in range(400)
    ]
    return ("nr", "betrag", "zeit", "ort", "storno"), rows, ";"


@pytest.mark.parametrize(
    ("make", "label", "request_"),
    [
        (headless, None, None),
        (repeated, None, ["colour", "score"]),
        (mixed_dates, None, ["x"]),
        (people, "churned", ["age"]),
        (german, "storno = 'ja'", ["betrag", "zeit", "ort"]),
    ],
)
def test_what_is_proposed_holds_and_runs(
    call: Call,
    tmp_path: Path,
    make: Callable[[random.Random], Table],
    label: str | None,
    request_: list[str] | None,
) -> None:
    header, rows, separator = make(random.Random(11))
    with (tmp_path / "table.csv").open("w", newline="") as file:
        table = csv.writer(file, delimiter=separator)
        table.writerows([*([header] if header else []), *rows])

    said = call("init", "table.csv", *(["--label", label] if label else []), "--json")
    assert said.code == 0, said.err
    assert request_ is None or said.document["request"] == request_
    text = Path("headrace.toml").read_text()
    assert "example.org" not in text, "no value of a personal column"

    checked = call("check", "--json")
    assert (checked.code, checked.document["passed"]) == (0, True)
    if said.document["label"] is not None:
        Path("headrace.toml").write_text(text.replace('budget = "60s"', 'budget = "1 trials"'))
        assert call("run", "--json").document["version"] == 1


def test_the_summary_says_what_was_found_and_what_comes_next(call: Call, tmp_path: Path) -> None:
    header, rows, _ = people(random.Random(11))
    with (tmp_path / "people.csv").open("w", newline="") as file:
        csv.writer(file).writerows([header or (), *rows])
    said = call("init", "people.csv", "--label", "churned")

    assert said.code == 0
    assert "people: 300 rows, 6 columns\n  key        customer_id\n" in said.out
    assert "  personal   email: e-mail address, 100 % of the values looked at\n" in said.out
    assert "request: age\n" in said.out
    assert said.out.endswith("next: read headrace.toml, then headrace check and headrace run\n")

    again = call("init", "people.csv")
    assert (again.code, "is there already" in again.err) == (2, True)
    typo = call("init", "people.csv", "--label", "chruned", "--into", "other")
    assert (typo.code, "did you mean 'churned'" in typo.err) == (2, True)
    assert not Path("other").exists()


def test_the_flights_lead_to_a_version_without_what_is_known_late(call: Call, tmp_path: Path) -> None:
    flights(tmp_path / "given", days=range(1, 9))
    data = tmp_path / "given" / "data"
    files = (data / "flights", data / "weather.parquet", data / "planes.ndjson")
    said = call("init", *files, "--label", "arr_delay > 30", "--into", "mine", "--json")

    assert said.code == 0, said.err
    late = {"dep_time", "dep_delay", "arr_time", "arr_delay", "air_time"}
    assert late <= set(said.document["left_out"])
    assert {"carrier", "tailnum", "time_hour", "distance"} <= set(said.document["request"])
    assert [one["key"] for one in said.document["sources"]][1:] == [["origin", "time_hour"], ["tailnum"]]
    assert said.document["sources"][0]["references"] == {"tailnum": "planes.tailnum"}
    assert call("check", "--project", "mine", "--json").document["passed"] is True
    text = Path("mine/headrace.toml").read_text()
    assert "[features.lookups.planes]" in text
    Path("mine/headrace.toml").write_text(text.replace('budget = "60s"', 'budget = "1 trials"'))
    assert call("run", "--project", "mine", "--json").document["version"] == 1
