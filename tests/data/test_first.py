"""What `init` proposes from data: what the rows show, and nothing that they do not."""

from __future__ import annotations

import contextlib
import csv
import datetime as dt
import random
import sqlite3
from collections.abc import Sequence
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headrace.data.errors import SourceEmpty, SourceUnreadable
from headrace.data.first import Proposal, propose
from headrace.data.first.errors import NoData, NoSuchFile, NothingToLearn, NothingToPredictFrom, OneColumn
from headrace.data.first.rules import bounds, form_of
from headrace.data.first.writing import separator_of
from headrace.data.state import source_state
from headrace.definition.model import ColumnRule, Definition
from headrace.definition.reader import read_definition
from headrace.language.errors import ExpressionError
from headrace.language.types import Type

Row = Sequence[object]


def write(path: Path, header: Sequence[str], rows: Sequence[Row], separator: str = ",") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        table = csv.writer(file, delimiter=separator)
        table.writerows([header, *rows])
    return path


def proposed(
    folder: Path, *data: Path, label: str | None = None, most_rows: int = 1_000_000
) -> tuple[Proposal, Definition]:
    found = propose(folder, data, label, {}, most_rows=most_rows)
    (folder / "headrace.toml").write_text(found.text)
    return found, read_definition(folder / "headrace.toml")


def orders(rows: int = 400) -> list[Row]:
    draw = random.Random(5)
    start = dt.datetime(2025, 1, 1, tzinfo=dt.UTC)
    found: list[Row] = []
    for n in range(rows):
        at = start + dt.timedelta(hours=5 * n)
        sent = at + dt.timedelta(days=draw.randint(1, 4))
        is_back = draw.random() < 0.4
        refund = 10.0 if is_back else 0.0
        found.append(
            (
                f"O-{n:05d}",
                f"C{draw.randint(1, 40):03d}",
                at,
                sent,
                draw.choice(["DE", "FR"]),
                draw.randint(1, 9),
                refund,
                is_back,
            )
        )
    return found


ORDERS = ("order_id", "customer", "ordered_at", "sent_on", "country", "items", "refund", "back")


def customers() -> list[Row]:
    return [(f"C{n:03d}", ("red", "blue", "green")[n % 3], n % 7, f"user{n}@example.org") for n in range(1, 61)]


@pytest.fixture
def shop(tmp_path: Path) -> tuple[Proposal, Definition]:
    first = write(tmp_path / "data" / "orders.csv", ORDERS, orders())
    second = write(tmp_path / "data" / "customers.csv", ("id", "colour", "score", "mail"), customers())
    return proposed(tmp_path, first, second, label="back")


def test_key_and_time_are_told_with_their_evidence(shop: tuple[Proposal, Definition]) -> None:
    found, definition = shop

    assert definition.project.key == ("order_id",)
    assert definition.project.time == "ordered_at"
    assert definition.source("orders").event_time == "ordered_at"
    assert definition.source("orders").unique == ("order_id",)
    assert 'unique = ["order_id"]  # all different in 400 rows\n' in found.text
    assert "never falls; no nulls; 2025-01-01T00:00:00Z … 2025-03-25T03:00:00Z; not after sent_on" in found.text
    assert dict(definition.features.expressions)["ordered_at_hour"] == "hour(ordered_at)"


def test_the_request_leaves_out_what_comes_later_and_what_gives_the_label_away(
    shop: tuple[Proposal, Definition],
) -> None:
    found, definition = shop

    assert definition.project.request == ("customer", "ordered_at", "country", "items")
    assert dict(found.left_out) == {
        "order_id": "it names the row",
        "sent_on": "later than ordered_at",
        "refund": "it tells the label almost by itself (AUC 1.000 in 400 rows): likely made from it, or known after it",
        "back": "it makes the label",
    }
    for column, why in found.left_out:
        assert f"# left out: {column}: {why}\n" in found.text


def test_columns_get_rules_that_hold_on_their_rows(shop: tuple[Proposal, Definition]) -> None:
    _, definition = shop
    rule = definition.source("orders").rule

    assert rule("items") == ColumnRule(type=Type.INTEGER, not_null=True, min=0, max=13)
    assert rule("country") == ColumnRule(type=Type.CATEGORY, not_null=True, allowed=("DE", "FR"))
    assert rule("order_id") == ColumnRule(type=Type.STRING, not_null=True, pattern="O-[0-9]{5}")
    assert rule("customer").pattern == "C[0-9]{3}" or rule("customer").pattern == "[A-Z][0-9]{3}"


def test_a_column_of_another_sources_key_is_a_check_and_a_lookup(shop: tuple[Proposal, Definition]) -> None:
    found, definition = shop
    [reference] = definition.source("orders").foreign_keys
    [lookup] = definition.features.lookups

    assert (reference.key, reference.source) == ((("customer", "id"),), "customers")
    assert (lookup.source, lookup.key, lookup.take) == ("customers", (("customer", "id"),), ("colour", "score"))
    assert "40 of 40 values in 400 rows are in customers.id" in found.text


def test_personal_columns_show_no_value_and_are_left_out(shop: tuple[Proposal, Definition]) -> None:
    found, definition = shop

    assert found.found[1].personal == (("mail", "e-mail address, 100 % of the values looked at"),)
    assert definition.source("customers").rule("mail") == ColumnRule(type=Type.STRING, not_null=True)
    assert "example.org" not in found.text


def test_a_personal_column_of_the_predicted_source_is_no_input(tmp_path: Path) -> None:
    rows = [(n, f"p{n}@example.org", n % 7, n % 2) for n in range(200)]
    found, definition = proposed(tmp_path, write(tmp_path / "a.csv", ("id", "mail", "x", "y"), rows))

    assert definition.project.request == ("x",)
    assert definition.project.label == "y"
    assert 'label = "y"  # it is called so\n' in found.text
    assert dict(found.left_out)["mail"] == "likely personal: e-mail address, 100 % of the values looked at"


def test_a_column_that_is_null_where_the_label_is_comes_with_it(tmp_path: Path) -> None:
    draw = random.Random(1)
    rows = []
    for n in range(500):
        has_flown = draw.random() < 0.8
        late, delay = (draw.random(), draw.random()) if has_flown else ("", "")
        rows.append((n, late, draw.random() if draw.random() < 0.8 else "", delay))
    found, definition = proposed(
        tmp_path, write(tmp_path / "a.csv", ("id", "late", "free", "delay"), rows), label="delay"
    )

    assert definition.project.request == ("free",)
    assert dict(found.left_out)["late"].startswith("likely known only with the label: ")


def test_several_columns_are_a_key_only_against_chance(tmp_path: Path) -> None:
    draw = random.Random(2)
    rows = [(shop, day, draw.randint(0, 10_000_000)) for shop in ("A1", "B2", "C3", "D4") for day in range(100)]
    _, definition = proposed(tmp_path, write(tmp_path / "a.csv", ("shop", "day", "turnover"), rows))
    assert definition.source("a").unique == ("shop", "day")

    pairs = [(draw.randint(0, 10**6), draw.randint(0, 10**6)) for _ in range(400)]
    _, definition = proposed(tmp_path, write(tmp_path / "b.csv", ("u", "v"), pairs))
    assert definition.source("b").unique == (), "different by accident"


def test_rows_that_are_there_twice_do_not_hide_a_key(tmp_path: Path) -> None:
    rows = [(f"K{n:03d}", n % 5, n % 2) for n in range(100)]
    found, definition = proposed(tmp_path, write(tmp_path / "a.csv", ("code", "x", "y"), [*rows, *rows[:7]]))

    assert definition.project.key == ("code",)
    assert "all different in 107 rows but for 7 rows that are there twice" in found.text


def test_german_writing_is_read_as_written(tmp_path: Path) -> None:
    rows = [
        (
            n,
            f"{n % 9 + 1}.234,50",
            f"{n % 28 + 1:02d}.{n % 12 + 1:02d}.2024",
            f"{n % 28 + 1:02d}.01.2024 09:{n % 60:02d}",
        )
        for n in range(100)
    ]
    _, definition = proposed(tmp_path, write(tmp_path / "a.csv", ("nr", "betrag", "tag", "zeit"), rows, ";"))
    source = definition.source("a")

    assert source.separator == ";"
    assert (source.rule("betrag").type, source.rule("betrag").decimal, source.rule("betrag").thousands) == (
        *(Type.FLOAT, ",", "."),
    )
    assert (source.rule("tag").type, source.rule("tag").format) == (Type.DATE, "%d.%m.%Y")
    assert (source.rule("zeit").type, source.rule("zeit").format) == (Type.TIMESTAMP, "%d.%m.%Y %H:%M")


@pytest.mark.parametrize(
    ("texts", "doubt"),
    [
        (["1,234", "5,678", "9,012"], "1,234 can be read in two ways"),
        (["01/02/2024", "03/04/2024", "05/06/2024"], "day first and month first"),
        (["2024-01-31", "31.01.2024", "2024-02-28"], "written in more than one way"),
    ],
)
def test_what_can_be_read_in_two_ways_stays_text(tmp_path: Path, texts: list[str], doubt: str) -> None:
    rows = [(n, texts[n % 3], n % 7, n % 2) for n in range(120)]
    found, definition = proposed(tmp_path, write(tmp_path / "a.csv", ("id", "told", "x", "y"), rows))

    assert definition.source("a").rule("told").type is Type.CATEGORY
    assert doubt in dict(found.left_out)["told"]
    assert "told" not in definition.project.request


def test_a_first_line_of_values_is_told(tmp_path: Path) -> None:
    rows = [(n, n % 5, "ab"[n % 2]) for n in range(50)]
    found, _ = proposed(tmp_path, write(tmp_path / "a.csv", ("7", "3.5", "b"), rows))

    assert "Its first line looks like a row, not like names" in found.text
    assert found.found[0].notes


def test_each_table_of_a_database_is_a_source_without_people(tmp_path: Path) -> None:
    with contextlib.closing(sqlite3.connect(tmp_path / "shop.db")) as connection, connection:
        connection.execute('CREATE TABLE orders (order_id INTEGER, "group" TEXT, mail TEXT, y INTEGER)')
        connection.execute("CREATE TABLE groups (name TEXT, size INTEGER)")
        rows = [(n, f"G{n % 30}", f"p{n}@example.org", n % 7 % 2) for n in range(200)]
        connection.executemany("INSERT INTO orders VALUES (?, ?, ?, ?)", rows)
        connection.executemany("INSERT INTO groups VALUES (?, ?)", [(f"G{n}", n % 9) for n in range(30)])
    found, definition = proposed(tmp_path, tmp_path / "shop.db")

    assert found.found[0].personal == (("mail", "e-mail address, 100 % of the values looked at"),)
    assert "# Not read: mail, likely personal (e-mail address, 100 % of the values looked at)." in found.text
    assert set(found.lock.sources["orders"]) == {"order_id", "group", "y"}
    assert [(one.name, one.query) for one in definition.sources] == [
        ("orders", 'SELECT "order_id", "group", "y" FROM "orders"'),
        ("groups", 'SELECT "name", "size" FROM "groups"'),
    ]
    assert definition.project.key == ("order_id",)
    assert [one.key for one in definition.source("orders").foreign_keys] == [(("group", "name"),)]


def test_parts_with_the_same_columns_are_one_source(tmp_path: Path) -> None:
    for month in (1, 2, 3):
        write(tmp_path / "data" / f"2024-{month:02d}.csv", ("id", "x"), [(month * 100 + n, n % 3) for n in range(40)])
    write(tmp_path / "data" / "2025-01.csv.bak", ("id",), [])
    parts = sorted((tmp_path / "data").glob("*.csv"))
    _, definition = proposed(tmp_path, *parts)
    assert [(one.name, one.read) for one in definition.sources] == [("data", ("data/*.csv",))]
    _, definition = proposed(tmp_path, *parts[:2])
    assert definition.sources[0].read == ("data/2024-01.csv", "data/2024-02.csv"), "the pattern would match a third"
    assert proposed(tmp_path, tmp_path / "data")[1].sources[0].read == ("data/*.csv",)

    write(tmp_path / "data" / "2024-04.csv", ("id", "z"), [(n, n % 3) for n in range(40)])
    _, definition = proposed(tmp_path, *sorted((tmp_path / "data").glob("*.csv")))
    assert len(definition.sources) == 4


@pytest.mark.parametrize("name", ["parts", "a b%[1]ü"])
def test_data_outside_the_project_is_named_by_its_whole_path(tmp_path: Path, name: str) -> None:
    data, project = tmp_path / name, tmp_path / "project"
    data.mkdir()
    project.mkdir()
    for month in (1, 2):
        write(data / f"sales-{month}.csv", ("id", "amount"), [(month * 100 + n, n * 1.5) for n in range(50)])
    write(data / "shops.csv", ("shop", "rooms"), [(f"S{n}", n) for n in range(30)])
    for some in ([data / "sales-1.csv", data / "sales-2.csv"], [data / "shops.csv"]):
        proposal = propose(project, some, None, {})
        (project / "headrace.toml").write_text(proposal.text, encoding="utf-8")
        (source,) = read_definition(project / "headrace.toml").sources
        state = source_state(source, project, {})
        assert [path for path, _, _ in state.parts] == [str(path) for path in some]


def test_what_a_cut_look_found_warns_until_it_is_made_stricter(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", ("id", "x", "y"), [(n, n % 7 if n < 500 else 900, n % 2) for n in range(600)])
    found, definition = proposed(tmp_path, path, most_rows=300)

    rule = definition.source("a").rule("x")
    assert (rule.max, rule.on_fail) == (9, "warn")
    assert "the first 300 were looked at" in found.text
    assert definition.source("a").unique == (), "later rows may repeat it"
    assert '# unique = ["id"]  # all different in the first 300 rows' in found.text


@pytest.mark.parametrize(
    ("label", "error", "words"),
    [
        ("bakc", ExpressionError, "did you mean 'back'"),
        ("back =", ExpressionError, "missing after"),
        ("items > 100", NothingToLearn, "the same in all 400 rows"),
        ("order_id", NothingToLearn, "text with 400 different values"),
        ("ordered_at", NothingToLearn, "a timestamp"),
    ],
)
def test_a_label_that_cannot_be_is_refused(tmp_path: Path, label: str, error: type[Exception], words: str) -> None:
    path = write(tmp_path / "orders.csv", ORDERS, orders())
    with pytest.raises(error) as refused:
        propose(tmp_path, [path], label, {})
    assert words in str(refused.value)


@pytest.mark.parametrize("column", ["did churn", "back?", "größe (cm)", "a.b", 'quo"te', "select x", "a-b"])
def test_a_label_may_be_a_column_by_its_plain_name(tmp_path: Path, column: str) -> None:
    rows = [(f"K{n:03d}", n % 7, n % 2) for n in range(60)]
    data = write(tmp_path / "rows.csv", ["key", "x", column], rows)
    found, definition = proposed(tmp_path, data, label=column)
    assert found.label == definition.project.label == '"' + column.replace('"', '""') + '"'
    assert definition.project.request == ("x",)


def test_data_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "header.csv").write_text("a,b\n")
    (tmp_path / "one.csv").write_text("a\n1\n2\n")
    (tmp_path / "none").mkdir()
    (tmp_path / "text.db").write_text("no database at all\n" * 100)
    sqlite3.connect(tmp_path / "bare.db").close()
    (tmp_path / "bare.db").touch()
    for name, error in (
        ("absent.csv", NoSuchFile),
        ("absent-*.csv", NoSuchFile),
        ("empty.csv", SourceEmpty),
        ("header.csv", SourceEmpty),
        ("one.csv", OneColumn),
        ("notes.docx", NoData),
        ("none", NoData),
        ("tables.db", NoSuchFile),
        ("text.db", SourceUnreadable),
        ("bare.db", NoData),
    ):
        with pytest.raises(error):
            propose(tmp_path, [tmp_path / name], None, {})


def test_bounds_hold_what_was_seen_and_keep_the_sign() -> None:
    assert bounds(0.0, 10.0) == (0.0, 15.0)
    assert bounds(-10.0, 0.0) == (-15.0, 0.0)
    for low, high in ((1e-9, 3e-9), (-7.25, 1e6), (1999.0, 2000.0)):
        least, most = bounds(low, high)
        assert least <= low < high <= most


@pytest.mark.parametrize(
    ("values", "form"),
    [
        (["a.b1", "c.d2"], r"[a-z]\.[a-z][0-9]"),
        (["A1", "1B"], "[0-9A-Z]{2}"),
        (["one", "two"], None),
        (["AB", "ABC"], None),
        (["Äb1", "Öc2"], None),
    ],
)
def test_a_form_is_told_from_its_places(values: list[str], form: str | None) -> None:
    found = form_of(pl.Series(values))
    assert found == form
    assert found is None or pl.Series(values).str.contains(f"^(?:{found})$").all()


@pytest.mark.parametrize(("text", "separator"), [("a;b\n1,5;2\n", ";"), ("a,b\n1,2\n", ","), ("a\tb\n1\t2\n", "\t")])
def test_the_separator_is_the_one_that_records_agree_on(tmp_path: Path, text: str, separator: str) -> None:
    (tmp_path / "a.csv").write_text(text)
    assert separator_of(tmp_path / "a.csv") == separator


CELLS = st.one_of(
    st.integers(-5, 10**6).map(str),
    st.sampled_from(
        ["", "NA", "x", "Ünïcode ☃", "1,5", "2024-01-31", "31.12.2024 10:00", "true", "a@b.org", '"', "nan"]
    ),
    st.floats(allow_nan=False, allow_infinity=False).map(str),
)


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    names=st.lists(st.text("abc_ é\"'1", min_size=1, max_size=6).map(str.strip).filter(bool), min_size=2, unique=True),
    data=st.data(),
)
def test_whatever_the_table_the_definition_reads_back(tmp_path: Path, names: list[str], data: st.DataObject) -> None:
    kinds = [data.draw(st.lists(CELLS, min_size=1, max_size=3)) for _ in names]
    rows = [
        [kind[(n * 7 + i) % len(kind)] for i, kind in enumerate(kinds)] for n in range(data.draw(st.integers(1, 90)))
    ]
    path = write(tmp_path / "a.csv", names, rows)
    try:
        found, definition = proposed(tmp_path, path)
    except NothingToPredictFrom as refused:
        left_out = refused.facts["left_out"]
        assert all(name.startswith("_") or left_out[name].startswith("likely personal") for name in names)
        return

    assert definition.project.request == found.request
    assert set(found.request).isdisjoint(name for name, _ in found.left_out) or len(found.request) == 1


def table(folder: Path, name: str, **columns: Sequence[object]) -> Path:
    """A file with these columns."""
    return write(folder / f"{name}.csv", list(columns), list(zip(*columns.values(), strict=True)))


def test_of_a_few_rows_nothing_is_said(tmp_path: Path) -> None:
    _, definition = proposed(tmp_path, table(tmp_path, "a", user_id=range(19), x=["r", "s", "t"] * 6 + ["r"]))
    assert definition.source("a").unique == ()
    assert definition.source("a").rule("user_id") == ColumnRule(type=Type.INTEGER)

    _, definition = proposed(tmp_path, table(tmp_path, "b", user_id=range(40), x=(["r", "s", "t"] * 14)[:40]))
    assert definition.source("b").unique == ("user_id",)
    assert definition.source("b").rule("x").allowed is None, "40 rows are too few for three levels"
    assert definition.source("b").rule("user_id") == ColumnRule(type=Type.INTEGER, not_null=True), "a key grows"


def test_a_column_with_nulls_may_have_some(tmp_path: Path) -> None:
    _, definition = proposed(tmp_path, table(tmp_path, "a", x=[*range(99), ""], y=range(100)))
    assert not definition.source("a").rule("x").not_null
    assert definition.source("a").rule("y").not_null


def test_columns_that_are_together_different_by_accident_are_no_key(tmp_path: Path) -> None:
    draw = random.Random(6)
    pairs = {(draw.randrange(2_000), draw.randrange(2_000)) for _ in range(400)}
    u, v = zip(*pairs, strict=True)
    assert len({*u}) < len(u) > len({*v})
    assert proposed(tmp_path, table(tmp_path, "a", u=u, v=v))[1].source("a").unique == ()

    shops, days = [f"S{n % 4}" for n in range(400)], [n // 4 for n in range(399)] + [98]
    _, definition = proposed(
        tmp_path, table(tmp_path, "b", shop=shops, day=days, turnover=[n * 7 % 997 for n in range(400)])
    )
    assert definition.source("b").unique != ("shop", "day"), "one pair is there twice"


def test_neither_people_nor_the_label_are_a_key(tmp_path: Path) -> None:
    mails = [f"p{n}@example.org" for n in range(100)]
    found, definition = proposed(tmp_path, table(tmp_path, "a", user_id=mails, x=[n % 9 for n in range(100)]))
    assert definition.source("a").unique == ()
    assert "example.org" not in found.text

    numbers = [n * 3 for n in range(100)]
    path = table(tmp_path, "b", x=[n % 9 for n in range(100)], serial_no=numbers)
    assert proposed(tmp_path, path)[1].source("b").unique == ("serial_no",)
    assert proposed(tmp_path, path, label="serial_no")[1].source("b").unique == ()


def test_fixed_forms_of_people_are_not_told(tmp_path: Path) -> None:
    accounts = [f"37040044{n:010d}" for n in range(1000, 1100)]
    ibans = [f"DE{98 - int(one + '131400') % 97:02d}{one}" for one in accounts]
    _, definition = proposed(tmp_path, table(tmp_path, "a", iban=ibans, x=range(100)))
    assert definition.source("a").rule("iban") == ColumnRule(type=Type.STRING, not_null=True)


@pytest.mark.parametrize(
    ("column", "values", "is_looked_up", "is_checked"),
    [
        ("plane", [f"N{n % 30}" for n in range(200)], True, True),
        ("plane", [f"N{n % 50}" for n in range(200)], True, False),
        ("other", [f"N{n % 50}" for n in range(200)], False, False),
        ("plane", [f"N{n % 90}" for n in range(200)], False, False),
        ("plane", [n % 30 for n in range(200)], False, False),
    ],
)
def test_a_lookup_needs_the_values_and_a_check_needs_all_of_them(
    tmp_path: Path, column: str, values: Sequence[object], is_looked_up: bool, is_checked: bool
) -> None:
    flights = table(tmp_path, "flights", **{column: values, "y": [n % 7 % 2 for n in range(200)]})
    planes = table(tmp_path, "planes", plane=[f"N{n}" for n in range(30)], seats=[n % 7 for n in range(30)])
    _, definition = proposed(tmp_path, flights, planes)

    assert bool(definition.features.lookups) is is_looked_up
    assert bool(definition.source("flights").foreign_keys) is is_checked


def test_numbers_refer_only_where_the_names_say_so(tmp_path: Path) -> None:
    numbers = [n % 20 + 1 for n in range(200)]
    orders_ = table(tmp_path, "orders", product_id=numbers, quantity=numbers, y=[n % 7 % 2 for n in range(200)])
    products = table(tmp_path, "products", id=range(1, 41), price=[n % 9 for n in range(40)])
    _, definition = proposed(tmp_path, orders_, products)

    assert [one.key for one in definition.source("orders").foreign_keys] == [(("product_id", "id"),)]
    assert definition.features.drop == ("product_id",), "the size of an id means nothing"


def test_texts_with_many_values_only_look_up(tmp_path: Path) -> None:
    numbers = [n * 7 % 150 for n in range(400)]
    y = [n % 7 % 2 for n in range(400)]
    planes = table(tmp_path, "planes", plane=[f"N{n}" for n in range(150)], seats=[n % 7 for n in range(150)])
    flights = table(tmp_path, "flights", plane=[f"N{n}" for n in numbers], y=y)
    assert proposed(tmp_path, flights, planes)[1].features.drop == ("plane",)
    flights = table(tmp_path, "flights", plane=[f"N{n % 90}" for n in numbers], y=y)
    assert proposed(tmp_path, flights, planes)[1].features.drop == ()


def test_tables_of_the_same_things_do_not_need_one_another_in_a_circle(tmp_path: Path) -> None:
    codes = [f"K{n:03d}" for n in range(60)]
    first = table(tmp_path, "first", code=codes, x=[n % 9 for n in range(60)], y=[n % 2 for n in range(60)])
    second = table(tmp_path, "second", code=codes, z=[n % 7 for n in range(60)])
    _, definition = proposed(tmp_path, first, second)

    assert len(definition.source("first").foreign_keys) == 1
    assert definition.source("second").foreign_keys == ()
    [lookup] = definition.features.lookups
    assert (lookup.take, definition.features.drop) == (("z",), ("code",))
    assert "code" in definition.project.request, "a request names what it looks up"


def test_a_source_whose_rows_change_in_time_is_not_looked_up(tmp_path: Path) -> None:
    start = dt.date(2025, 1, 1)
    days = [start + dt.timedelta(days=n // 10) for n in range(200)]
    flights = table(tmp_path, "flights", origin=[f"A{n % 10}" for n in range(200)], y=[n % 7 % 2 for n in range(200)])
    weather = table(
        tmp_path, "weather", origin=[f"A{n % 10}" for n in range(200)], day=days, temp=[n % 31 for n in range(200)]
    )
    _, definition = proposed(tmp_path, flights, weather)

    assert definition.source("weather").event_time == "day"
    assert set(definition.source("weather").unique) == {"origin", "day"}
    assert definition.features.lookups == ()


def test_a_source_that_is_told_apart_without_its_time_holds_for_all_time(tmp_path: Path) -> None:
    since = [dt.date(2024, 1, 1) + dt.timedelta(days=n) for n in range(30)]
    orders_ = table(tmp_path, "orders", city=[f"C{n % 30}" for n in range(200)], y=[n % 7 % 2 for n in range(200)])
    cities = table(tmp_path, "cities", city=[f"C{n}" for n in range(30)], since=since, size=[n % 7 for n in range(30)])
    found, definition = proposed(tmp_path, orders_, cities)

    assert definition.source("cities").event_time is None
    assert "its rows are told apart without since" in found.text
    assert definition.features.lookups[0].take == ("size",)


def test_times_after_the_event_and_times_of_another_kind_are_not_the_time(tmp_path: Path) -> None:
    at = [dt.datetime(2025, 1, 1, tzinfo=dt.UTC) + dt.timedelta(hours=n) for n in range(200)]
    later = [one + dt.timedelta(days=2) for one in at]
    y = [n % 7 % 2 for n in range(200)]
    _, definition = proposed(tmp_path, table(tmp_path, "a", updated_at=at, x=y[::-1], y=y))
    assert definition.project.time is None
    _, definition = proposed(tmp_path, table(tmp_path, "b", asked_at=["", *at[1:]], x=y[::-1], y=y))
    assert definition.project.time is None, "one is null"
    shuffled = at[:]
    random.Random(3).shuffle(shuffled)
    found, definition = proposed(tmp_path, table(tmp_path, "c", asked_at=at, seen_at=shuffled, x=y[::-1], y=y))
    assert definition.project.time is None
    assert "one of asked_at, seen_at: the rows do not tell which" in found.text
    _, definition = proposed(tmp_path, table(tmp_path, "d", seen_at=later, asked_at=at, x=y[::-1], y=y))
    assert definition.project.time == "asked_at"
    few = at[:30]
    _, definition = proposed(tmp_path, table(tmp_path, "e", asked_at=few, x=y[:30], y=y[:30]))
    assert (definition.project.time, definition.source("e").event_time) == (None, "asked_at")


def test_a_null_here_and_there_is_no_sign_of_coming_late(tmp_path: Path) -> None:
    draw = random.Random(8)
    labels = [draw.random() if n % 4 else "" for n in range(400)]
    few = [draw.random() if n % 16 else "" for n in range(400)]
    many = [draw.random() if n % 2 else "" for n in range(400)]
    x = [draw.random() for _ in range(400)]
    _, definition = proposed(tmp_path, table(tmp_path, "a", few=few, many=many, x=x, label=labels))
    assert definition.project.request == ("few", "many", "x"), "a quarter of the rows without a label; as many with one"


def test_columns_that_say_nothing_are_left_out(tmp_path: Path) -> None:
    n = range(100)
    texts = [f"{k} words of its own" for k in n]
    path = table(
        tmp_path, "a", note=texts, one=[1] * 100, none=[""] * 100, x=[k % 9 for k in n], target=[k % 2 for k in n]
    )
    found, definition = proposed(tmp_path, path)

    assert definition.project.request == ("x",)
    assert {name: why.split(":")[0] for name, why in found.left_out} == {
        "note": "almost every row has its own",
        "one": "one value in all rows",
        "none": "all null",
        "target": "it makes the label",
    }


def test_two_columns_called_a_label_are_none(tmp_path: Path) -> None:
    n = [k % 2 for k in range(60)]
    assert proposed(tmp_path, table(tmp_path, "a", x=range(60), y=n, label=n))[1].project.label is None
    assert proposed(tmp_path, table(tmp_path, "b", x=range(60), y=[1] * 60))[1].project.label is None


def test_a_definition_carries_something_but_nothing_personal(tmp_path: Path) -> None:
    n = range(100)
    found, definition = proposed(tmp_path, table(tmp_path, "a", one=[1] * 100, y=[k % 2 for k in n]))
    assert definition.project.request == ("one",)
    assert dict(found.left_out)["one"] == "one value in all rows"
    with pytest.raises(NothingToPredictFrom, match="e-mail address"):
        propose(tmp_path, [table(tmp_path, "b", mail=[f"p{k}@example.org" for k in n], y=[k % 2 for k in n])], "y", {})


def test_a_file_called_like_a_pattern_is_that_file(tmp_path: Path) -> None:
    table(tmp_path, "report1", x=range(5), y=range(5))
    _, definition = proposed(tmp_path, table(tmp_path, "report[1]", x=range(40), y=range(40)))
    assert definition.sources[0].read == ("report[[]1].csv",)


def test_a_file_that_is_not_there_is_answered_with_a_guess(tmp_path: Path) -> None:
    path = table(tmp_path, "orders", x=range(40), y=range(40))
    with pytest.raises(NoSuchFile) as refused:
        propose(tmp_path, [path.with_name("order.csv")], None, {})
    assert refused.value.fix == f"did you mean {path}?"


def test_a_file_in_another_encoding_is_told(tmp_path: Path) -> None:
    rows = "".join(f"{n};{'Köln' if n == 30 else 'Bonn'};{n % 2}\n" for n in range(60))
    (tmp_path / "a.csv").write_bytes(f"nr;ort;y\n{rows}".encode("latin-1"))
    found, _ = proposed(tmp_path, tmp_path / "a.csv")
    assert "It is not UTF-8" in found.found[0].notes[0]
    assert f"# {found.found[0].notes[0]}\n" in found.text


def test_rows_that_are_meant_to_be_there_twice_have_no_key(tmp_path: Path) -> None:
    codes = [f"K{n % 70:03d}" for n in range(100)]
    _, definition = proposed(tmp_path, table(tmp_path, "a", code=codes, x=[n % 70 for n in range(100)]))
    assert definition.source("a").unique == ()
