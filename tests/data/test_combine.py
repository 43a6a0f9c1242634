"""One entity from several sources: every rule equals a plain loop, and every row and lost value is accounted for."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs
from tests.data.stage import Bench

from headrace.data.check import check
from headrace.data.combine import rows as combine_rows
from headrace.data.combine.columns import entity_columns
from headrace.data.combine.explain import EntityUnknown, Explanation, KeyParts, explain
from headrace.data.combine.stage import combine_members
from headrace.data.errors import ContractError, EntityRepeated
from headrace.data.model import CheckedSource, Combined, Snapshot
from headrace.definition.model import ColumnRule, Combine, Source, Survive
from headrace.language.types import Type
from headrace.runs.model import ObjectRef

Row = tuple[int, str | None, int | None, int | None]
TYPES = {"k": Type.INTEGER, "name": Type.STRING, "n": Type.INTEGER, "at": Type.TIMESTAMP}
START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


def member(name: str, *, event_time: str | None = "at", **more: Any) -> Source:
    return Source(name=name, read=(f"{name}.csv",), format="csv", event_time=event_time, **more)


def entity(combine: Combine, **more: Any) -> Source:
    return Source(name="e", format="combined", missing=(), combine=combine, **more)


class Made:
    """A combined source and what it was made from."""

    def __init__(
        self,
        bench: Bench,
        combine: Combine,
        texts: Mapping[str, str],
        types: Mapping[str, Mapping[str, Type]] | None = None,
        *,
        members: Mapping[str, Source] | None = None,
    ) -> None:
        self.bench = bench
        self.sources = [(members or {}).get(name) or member(name) for name in combine.members]
        self.checked: dict[str, CheckedSource] = {}
        self.snapshots: dict[str, Snapshot] = {}
        for source in self.sources:
            bench.write(f"{source.name}.csv", texts[source.name])
            known = (types or {}).get(source.name, TYPES)
            self.snapshots[source.name] = bench.snapshot(source, known)
            self.checked[source.name] = check(self.snapshots[source.name], source, known, {}, bench.stage.fresh())
        self.source = entity(combine)
        self.combined = self.again()

    def again(self) -> Combined:
        return combine_members(self.source, self.sources, self.checked, self.snapshots, self.bench.stage.fresh())

    @property
    def rows(self) -> list[dict[str, Any]]:
        return self.bench.read(self.combined.snapshot.ref).to_dicts()

    @property
    def lost(self) -> list[tuple[Any, ...]]:
        return [] if self.combined.overridden is None else self.bench.read(self.combined.overridden).rows()


def csv_of(rows: Sequence[Row]) -> str:
    lines = [
        f"{k},{name or ''},{'' if n is None else n},{'' if at is None else (START + dt.timedelta(days=at)).isoformat()}"
        for k, name, n, at in rows
    ]
    return "\n".join(["k,name,n,at", *lines]) + "\n"


CRM = "k,name,n,at\n1,Ann,1,2026-01-01\n2,Bob,,2026-01-05\n3,,3,2026-01-02\n,Nobody,9,2026-01-01\n"
BILLING = "k,name,n,at\n3,Cid,4,2026-01-03\n2,Robert,2,2026-01-04\n1,Ann,1,2026-01-09\n4,Dora,5,\n2,Bo,7,2026-01-06\n"


def test_rows_of_one_key_are_one_entity_and_nulls_never_win(bench: Bench) -> None:
    made = Made(bench, Combine(members=("crm", "billing"), key=("k",)), {"crm": CRM, "billing": BILLING})
    assert [(row["k"], row["name"], row["n"]) for row in made.rows] == [
        (1, "Ann", 1),
        (2, "Bob", 7),
        (3, "Cid", 3),
        (4, "Dora", 5),
    ]
    counts = [(m.source, m.rows, m.entities, m.merged, m.quarantined) for m in made.combined.members]
    assert counts == [("crm", 4, 3, 0, 1), ("billing", 5, 1, 4, 0)]
    assert (made.combined.snapshot.rows, made.combined.snapshot.malformed_rows) == (4, 1)


def test_every_lost_value_is_kept_with_its_place_and_reason(bench: Bench) -> None:
    survive = (("*", Survive(rule="rank")), ("n", Survive(rule="most_recent")), ("at", Survive(rule="max")))
    combine = Combine(members=("crm", "billing"), key=("k",), survive=survive)
    made = Made(bench, combine, {"crm": CRM, "billing": BILLING})
    assert [lost for lost in made.lost if lost[1] != "at"] == [
        (2, "name", "billing", 5, "Bo", "rank", "rank"),
        (2, "name", "billing", 2, "Robert", "rank", "rank"),
        (2, "n", "billing", 2, "2", "most_recent", "older"),
        (3, "n", "crm", 3, "3", "most_recent", "older"),
    ]
    conflicts = {c.column: (c.rule, c.entities, c.values) for c in made.combined.conflicts}
    assert conflicts["name"] == ("rank", 1, 2)
    assert conflicts["n"] == ("most_recent", 2, 2)
    assert len(made.lost) == sum(c.values for c in made.combined.conflicts)
    lineage = made.bench.read(made.combined.lineage)
    assert lineage.filter(entity=2).rows() == [(2, "crm", 2), (2, "billing", 5), (2, "billing", 2)]
    assert lineage.height == 8


def test_a_row_number_is_that_of_the_source_whatever_was_set_aside(bench: Bench) -> None:
    crm = "k,name,n,at\nz,bad,,\n1,Ann,1,\ntoo,many,fields,2026-01-01,here\n"
    billing = "k,name,n,at\nz,bad,,\nz,bad,,\n1,Anna,1,\n"
    made = Made(bench, Combine(members=("crm", "billing"), key=("k",)), {"crm": crm, "billing": billing})
    assert made.bench.read(made.combined.lineage).rows() == [(1, "crm", 2), (1, "billing", 3)]
    assert made.lost == [(1, "name", "billing", 3, "Anna", "rank", "rank")]


def test_the_contract_of_the_entity_holds_and_keyless_rows_are_in_its_quarantine(bench: Bench) -> None:
    made = Made(bench, Combine(members=("crm", "billing"), key=("k",)), {"crm": CRM, "billing": BILLING})
    types = {field.name: field.type for field in made.combined.fields}
    checked = check(made.combined.snapshot, made.source, types, {}, bench.stage.fresh())
    assert (checked.report.read, checked.report.accepted, checked.report.quarantined) == (5, 4, 1)
    aside = bench.read(checked.quarantine)
    assert aside["_reasons"].to_list() == [["shape:null_key"]]
    assert (aside["_file"].to_list(), aside["_line"].to_list()) == (["crm"], [4])
    assert "Nobody" in aside["_text"][0]


def test_columns_are_mapped_by_expressions_and_by_their_names(bench: Bench) -> None:
    combine = Combine(
        members=("crm", "billing"), key=("k",), map=(("billing", (("k", "cust_no"), ("name", "first || ' ' || last"))),)
    )
    types = {
        "billing": {
            "cust_no": Type.INTEGER,
            "first": Type.STRING,
            "last": Type.STRING,
            "due": Type.FLOAT,
            "n": Type.FLOAT,
        }
    }
    texts = {"crm": CRM, "billing": "cust_no,first,last,due,n\n3,Cid,Ra,1.5,9\n7,Eve,Ko,2,\n"}
    made = Made(bench, combine, texts, types, members={"billing": member("billing", event_time=None)})
    assert [field.name for field in made.combined.fields] == ["k", "name", "n", "at", "due"]
    assert {field.name: field.type for field in made.combined.fields}["n"] == Type.FLOAT
    assert [(r["k"], r["name"], r["n"], r["due"]) for r in made.rows] == [
        (1, "Ann", 1.0, None),
        (2, "Bob", None, None),
        (3, "Cid Ra", 3.0, 1.5),
        (7, "Eve Ko", None, 2.0),
    ]


def test_a_join_has_one_row_an_entity(bench: Bench) -> None:
    combine = Combine(members=("crm", "billing"), key=("k",), how="join", survive=(("*", Survive()),))
    with pytest.raises(EntityRepeated, match="source 'billing' has several rows for 1 keys"):
        Made(bench, combine, {"crm": CRM, "billing": BILLING})
    made = Made(bench, combine, {"crm": CRM, "billing": BILLING.replace("2,Bo,7,2026-01-06\n", "")})
    assert [row["n"] for row in made.rows] == [1, 2, 3, 5]


@pytest.mark.parametrize(
    ("combine", "tables", "problem"),
    [
        ({}, {"b": {"x": Type.STRING}}, "key: source 'b' has no column 'k'; map it"),
        ({}, {"b": {"k": Type.INTEGER, "x": Type.INTEGER}}, "column 'x' is string in 'a' and integer in 'b'"),
        ({"how": "join"}, {}, "column 'x' is in 'a' and 'b': say in survive which stays"),
        ({"survive": (("y", Survive()),)}, {}, "survive: there is no column 'y'"),
        ({"survive": (("x", Survive(rule="most_recent", by="x")),)}, {}, "'x' is string"),
        ({"survive": (("k", Survive(rule="longest")),)}, {}, "longest is for text, the column is integer"),
        ({"map": (("b", (("x", "y + 1"),)),)}, {}, "map.b.x: there is no column 'y' here"),
    ],
)
def test_columns_that_do_not_fit_together_are_told(
    combine: dict[str, Any], tables: dict[str, dict[str, Type]], problem: str
) -> None:
    known = {name: {"k": Type.INTEGER, "x": Type.STRING} for name in ("a", "b")} | tables
    with pytest.raises(ContractError, match=problem.replace("'", ".").replace("+", r"\+")):
        entity_columns("e", Combine(members=("a", "b"), key=("k",), **combine), known)


def plainly(
    rows: Mapping[str, Sequence[Row]], column: int, rule: Survive
) -> dict[int, tuple[Any, list[tuple[str, int]]]]:
    """Entity → the value that stays and the places of those that lost, by a plain loop."""
    order = sorted(rows)
    by_entity: dict[int, list[tuple[str, int, Row]]] = {}
    for source, held in rows.items():
        for number, row in enumerate(held, start=1):
            by_entity.setdefault(row[0], []).append((source, number, row))
    found = {}
    for k, candidates in by_entity.items():
        ranked = sorted(
            candidates, key=lambda c: (order.index(c[0]), -(c[2][3] if c[2][3] is not None else -(10**9)), -c[1])
        )
        eligible = ranked if rule.null_wins else [c for c in ranked if c[2][column] is not None]
        votes = [c[2][column] for c in ranked]

        def figure(c: tuple[str, int, Row], votes: list[Any] = votes) -> float:
            value, at = c[2][column], c[2][3]
            match rule.rule:
                case "rank":
                    places = [*rule.order, *(name for name in order if name not in rule.order)]
                    return places.index(c[0])
                case "most_recent":
                    return -at if at is not None else 10**9
                case "earliest":
                    return at if at is not None else 10**9
                case "majority":
                    return -votes.count(value)
                case "longest":
                    return -len(str(value))
                case "min":
                    return float(value or 0)
                case "max":
                    return -float(value or 0)

        winner = min(eligible, key=figure)[2][column] if eligible else None
        lost = [(c[0], c[1]) for c in ranked if c[2][column] is not None and c[2][column] != winner]
        found[k] = (winner, lost)
    return found


ROWS = st.lists(
    st.tuples(
        st.integers(1, 4),
        st.none() | st.sampled_from(["a", "b", "bb", "ccc"]),
        st.none() | st.integers(-2, 2),
        st.none() | st.integers(0, 3),
    ),
    min_size=1,
    max_size=12,
)
RULES = (
    Survive(),
    Survive(order=("c", "a")),
    Survive(null_wins=True),
    Survive(rule="most_recent"),
    Survive(rule="most_recent", null_wins=True),
    Survive(rule="earliest"),
    Survive(rule="majority"),
    Survive(rule="min"),
    Survive(rule="max"),
)


@settings(max_examples=40)
@given(rows=st.fixed_dictionaries({"a": ROWS, "b": ROWS, "c": ROWS}), data=st.data())
def test_survivorship_equals_a_plain_loop(
    tmp_path_factory: pytest.TempPathFactory, rows: dict[str, list[Row]], data: st.DataObject
) -> None:
    name_rule = data.draw(st.sampled_from([rule for rule in RULES if rule.rule not in ("min", "max")]))
    name_rule = data.draw(st.sampled_from([name_rule, Survive(rule="longest")]))
    number_rule = data.draw(st.sampled_from(RULES))
    combine = Combine(members=("a", "b", "c"), key=("k",), survive=(("name", name_rule), ("n", number_rule)))
    bench = Bench(tmp_path_factory.mktemp("combine"))
    made = Made(bench, combine, {name: csv_of(held) for name, held in rows.items()})
    for column, place, rule in (("name", 1, name_rule), ("n", 2, number_rule)):
        expected = plainly(rows, place, rule)
        assert {row["k"]: row[column] for row in made.rows} == {k: value for k, (value, _) in expected.items()}
        keys = sorted(expected)
        lost = sorted((keys[e - 1], source, row) for e, c, source, row, *_ in made.lost if c == column)
        assert lost == sorted((k, *place_) for k, (_, places) in expected.items() for place_ in places)
    for one in made.combined.members:
        assert one.rows == one.entities + one.merged + one.quarantined == len(rows[one.source])
    assert sum(one.entities for one in made.combined.members) == len(made.rows)


@settings(max_examples=20)
@given(rows=ROWS, seed=st.randoms())
def test_where_the_rule_decides_the_order_of_rows_does_not_matter(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Row], seed: Any
) -> None:
    different = list({(k, n): (k, name, n, at) for k, name, n, at in rows}.values())
    shuffled = seed.sample(different, len(different))
    survive = (("n", Survive(rule="max")), ("at", Survive(rule="max")), ("name", Survive(rule="min")))
    combine = Combine(members=("a",), key=("k",), survive=survive)
    found = [
        Made(Bench(tmp_path_factory.mktemp("order")), combine, {"a": csv_of(held)}).combined.snapshot.ref.sha256
        for held in (different, shuffled)
    ]
    assert found[0] == found[1]


def test_how_many_rows_are_held_at_a_time_changes_no_byte(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [(n % 700, "ab"[n % 2] * (n % 5) or None, n % 11, n % 13) for n in range(3000)]
    combine = Combine(
        members=("crm", "billing"),
        key=("k",),
        survive=(("name", Survive(rule="longest")), ("n", Survive(rule="majority"))),
    )
    made = Made(bench, combine, {"crm": csv_of(rows), "billing": csv_of(rows[::-1])})
    monkeypatch.setattr(combine_rows, "CELLS", 900)
    monkeypatch.setattr(combine_rows, "_SLICE", 1000)
    again = made.again()
    assert again.snapshot.ref == made.combined.snapshot.ref
    assert (again.lineage, again.overridden) == (made.combined.lineage, made.combined.overridden)
    assert again == made.combined


def test_keys_of_several_columns_come_in_order(bench: Bench) -> None:
    made = Made(
        bench,
        Combine(members=("crm", "billing"), key=("k", "name")),
        {"crm": csv_of([(2, "b", 1, 0), (1, "z", 1, 0), (2, "a", None, 0)]), "billing": csv_of([(2, "a", 5, 0)])},
    )
    assert [(row["k"], row["name"], row["n"]) for row in made.rows] == [(1, "z", 1), (2, "a", 5), (2, "b", 1)]


def test_columns_may_be_called_as_ours_are(bench: Bench) -> None:
    names = ("row", "entity", "source", "column", "value", "key", "text", "instant")
    types = {"a": dict.fromkeys(names, Type.STRING), "b": dict.fromkeys(names, Type.STRING)}
    head = ",".join(names)
    members = {name: member(name, event_time=None) for name in types}
    survive = (("value", Survive(rule="majority")), ("text", Survive(rule="longest")))
    combine = Combine(members=("a", "b"), key=("row", "entity"), survive=survive)
    texts = {"a": f"{head}\n1,2,x,x,x,x,x,x\n,2,x,x,x,x,x,x\n", "b": f"{head}\n1,2,y,y,y,y,yy,y\n"}
    made = Made(bench, combine, texts, types, members=members)
    assert made.rows == [dict(zip(names, ["1", "2", "x", "x", "x", "x", "yy", "x"], strict=True))]
    assert [lost[1] for lost in made.lost] == ["source", "column", "value", "key", "text", "instant"]
    assert explained(made, "1", "2").columns[0].rule == "key"


def test_values_are_kept_as_text_that_reads_back(bench: Bench) -> None:
    survive = (("at", Survive(rule="max")),)
    combine = Combine(members=("crm", "billing"), key=("k",), survive=survive)
    made = Made(bench, combine, {"crm": csv_of([(1, "a", 1, 0)]), "billing": csv_of([(1, "a", 1, 1)])})
    [lost] = made.lost
    instant = pl.Series([lost[4]]).str.to_datetime(time_zone="UTC")[0]
    assert (lost[1], instant, lost[6]) == ("at", START, "smaller")


def explained(made: Made, *key: str, checked: CheckedSource | None = None) -> Explanation:
    def scan(ref: ObjectRef) -> pl.LazyFrame:
        return pl.scan_parquet(made.bench.stage.scan(ref)[0])

    return explain("e", made.combined, checked, key, scan)


class TestExplain:
    """What is told of one entity is what was done."""

    def test_each_value_is_that_of_the_row_named_and_what_lost_is_told(self, bench: Bench) -> None:
        crm = "k,name,n,at\nz,bad,,\n" + CRM.partition("\n")[2]
        survive = (("n", Survive(rule="most_recent")), ("at", Survive(rule="max")))
        combine = Combine(members=("crm", "billing"), key=("k",), survive=survive)
        made = Made(bench, combine, {"crm": crm, "billing": BILLING})
        found = explained(made, "2")
        assert [(row.source, row.row, row.place) for row in found.rows] == [
            ("crm", 3, "row 3 of crm.csv"),
            ("billing", 5, "row 5 of billing.csv"),
            ("billing", 2, "row 2 of billing.csv"),
        ]
        by_name = {column.column: column for column in found.columns}
        assert (by_name["name"].value, by_name["name"].place) == ("Bob", "row 3 of crm.csv")
        assert [(lost.value, lost.row, lost.why) for lost in by_name["name"].lost] == [
            ("Bo", 5, "its source comes later"),
            ("Robert", 2, "its source comes later"),
        ]
        assert (by_name["n"].value, by_name["n"].source, by_name["n"].row, by_name["n"].rule) == (
            "7",
            "billing",
            5,
            "most_recent",
        )
        assert by_name["k"].rule == "key"

    @settings(max_examples=15)
    @given(rows=st.fixed_dictionaries({"a": ROWS, "b": ROWS}), rule=st.sampled_from(RULES))
    def test_it_tells_of_every_entity_what_is_in_the_table(
        self, tmp_path_factory: pytest.TempPathFactory, rows: dict[str, list[Row]], rule: Survive
    ) -> None:
        combine = Combine(members=("a", "b"), key=("k",), survive=(("n", structs.replace(rule, order=())),))
        made = Made(Bench(tmp_path_factory.mktemp("explain")), combine, {n: csv_of(held) for n, held in rows.items()})
        lost = []
        for number, row in enumerate(made.rows, start=1):
            found = explained(made, str(row["k"]))
            assert found.entity == number
            told = next(column for column in found.columns if column.column == "n")
            assert told.value == (None if row["n"] is None else str(row["n"]))
            if told.source is not None and told.row is not None:
                assert rows[told.source][told.row - 1][2] == row["n"]
            lost += [(number, one.source, one.row) for one in told.lost]
        assert lost == [(one[0], one[2], one[3]) for one in made.lost if one[1] == "n"]

    def test_a_wrong_key_is_answered_with_the_nearest(self, bench: Bench) -> None:
        combine = Combine(members=("crm", "billing"), key=("name",))
        made = Made(bench, combine, {"crm": CRM, "billing": BILLING})
        with pytest.raises(EntityUnknown) as caught:
            explained(made, "Robbert")
        assert (caught.value.fix or "").startswith("did you mean Robert")
        with pytest.raises(KeyParts, match="expected 1, found 2"):
            explained(made, "Ann", "Bob")

    def test_an_entity_that_the_contract_refuses_is_told(self, bench: Bench) -> None:
        made = Made(bench, Combine(members=("crm", "billing"), key=("k",)), {"crm": CRM, "billing": BILLING})
        types = {field.name: field.type for field in made.combined.fields}
        strict = entity(made.combined.combine, columns=(("n", ColumnRule(max=3)),))
        checked = check(made.combined.snapshot, strict, types, {}, bench.stage.fresh())
        assert explained(made, "4", checked=checked).quarantined == ("max:n",)
        assert explained(made, "1", checked=checked).quarantined == ()
