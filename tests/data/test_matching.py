"""Fuzzy duplicates: what is one stays one in whatever order the rows come, and every pair's bits add up."""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from tests.data.stage import Bench, source_of

from headrace.data.check import check
from headrace.data.errors import ContractError
from headrace.data.matching.answers import Answer, AnswersUnreadable, add_answer, digests, read_answers
from headrace.data.matching.block import PAIRS_PER_RECORD, WINDOW, candidate_pairs, choose_passes
from headrace.data.matching.cluster import cluster, components
from headrace.data.matching.compare import LEVELS, NULL, comparer_of
from headrace.data.matching.find import Answers, Matched, match_rows
from headrace.data.matching.model import MatchedSource
from headrace.data.matching.normal import normal_form
from headrace.data.matching.records import records_of
from headrace.data.matching.source import match_source
from headrace.data.model import QualityReport
from headrace.definition.model import ColumnRule, Match, MatchKind, OnMatch, Repair
from headrace.language.types import Type

PEOPLE = Match(compare=(("name", "name"), ("email", "email"), ("born", "date"), ("city", "text")))
_GIVEN = (
    "Anna", "Bruno", "Clara", "David", "Elena", "Frank", "Greta", "Hugo", "Irene", "Jonas", "Karin", "Louis",
    "Maria", "Nils", "Olga", "Paul", "Rosa", "Stefan",
)  # fmt: skip
_FAMILY = (
    "Abel", "Brandt", "Conrad", "Dietz", "Ebert", "Falk", "Gruber", "Hahn", "Illner", "Jung", "Kaiser", "Lorenz",
    "Moser", "Nagel", "Otto", "Pohl", "Roth",
)  # fmt: skip
_CITIES = (
    "Aachen", "Bonn", "Celle", "Dresden", "Erfurt", "Fulda", "Gera", "Halle", "Ilmenau", "Jena", "Kassel",
    "Leipzig",
)  # fmt: skip


def people(count: int, seed: int, *, doubled: float = 0.3) -> pl.DataFrame:
    """People, some of them twice with a slip; `entity` is the truth."""
    rng = random.Random(seed)
    rows: list[tuple[int, str, str | None, dt.date, str | None]] = []
    for entity in range(count):
        given, family = rng.choice(_GIVEN), rng.choice(_FAMILY) + rng.choice(("", "", "er", "mann", "stein"))
        born = dt.date(1950, 1, 1) + dt.timedelta(days=rng.randrange(18_000))
        email = f"{given}.{family}{rng.randrange(10_000)}@example.org".lower()
        row = (entity, f"{given} {family}", email, born, rng.choice(_CITIES))
        rows.append(row)
        if rng.random() < doubled:
            at = rng.randrange(1, len(family) - 1)
            slips = (
                (entity, f"{given} {family[:at]}{family[at + 1 :]}", email, born, row[4]),
                (entity, f"{family}, {given}".upper(), email, born, None),
                (entity, row[1], None, born, row[4]),
                (entity, row[1], email, born + dt.timedelta(days=1), rng.choice(_CITIES)),
            )
            rows.append(rng.choice(slips))
    rng.shuffle(rows)
    return pl.DataFrame(rows, schema=["entity", "name", "email", "born", "city"], orient="row")


def scores(frame: pl.DataFrame, found: Matched) -> tuple[float, float]:
    """Precision and recall over pairs."""
    told = frame.select("entity").with_columns(found.cluster.alias("cluster"))

    def pairs(*names: str) -> int:
        sizes = told.group_by(names).len()["len"].to_numpy().astype(np.int64)
        return int((sizes * (sizes - 1) // 2).sum())

    right = pairs("entity", "cluster")
    return right / max(pairs("cluster"), 1), right / max(pairs("entity"), 1)


def test_planted_duplicates_are_found_and_others_are_not() -> None:
    frame = people(1500, seed=1)
    found = match_rows(frame, PEOPLE)
    precision, recall = scores(frame, found)
    assert precision >= 0.98
    assert recall >= 0.9
    assert found.told.notes == ()
    assert all(one.learnt for one in found.told.weights)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 400))
def test_the_order_of_rows_decides_nothing(seed: int, count: int) -> None:
    frame = people(count, seed)
    order = random.Random(seed).sample(range(frame.height), frame.height)
    one, other = match_rows(frame, PEOPLE), match_rows(frame[order], PEOPLE)
    members = _members(one.cluster.to_list())
    assert members == {frozenset(order[row] for row in rows) for rows in _members(other.cluster.to_list())}
    assert one.told == other.told


def _members(clusters: Sequence[int]) -> set[frozenset[int]]:
    by_cluster: dict[int, set[int]] = {}
    for row, number in enumerate(clusters):
        by_cluster.setdefault(number, set()).add(row)
    return {frozenset(rows) for rows in by_cluster.values()}


def test_matching_twice_gives_the_same_bytes() -> None:
    frame = people(500, seed=3)
    one, other = match_rows(frame, PEOPLE), match_rows(frame, PEOPLE)
    assert one.pairs.equals(other.pairs)
    assert one.cluster.equals(other.cluster)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 300))
def test_a_pair_explained_adds_up_to_its_weight(seed: int, count: int) -> None:
    found = match_rows(people(count, seed, doubled=0.6), PEOPLE)
    parts = [f"bits:{name}" for name, _ in PEOPLE.compare]
    total = found.pairs.select(pl.sum_horizontal(*parts, "related") + found.told.prior_bits).to_series()
    assert np.allclose(total.to_numpy(), found.pairs["bits"].to_numpy(), atol=1e-5)
    likely = 1 / (1 + np.exp2(-found.pairs["bits"].to_numpy()))
    assert np.allclose(likely, found.pairs["probability"].to_numpy(), atol=1e-6)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 500))
def test_no_pair_is_compared_twice(seed: int, count: int) -> None:
    records = records_of(people(count, seed), PEOPLE.compare)
    passes = choose_passes(records, ())
    seen = [(int(a), int(b)) for left, right in candidate_pairs(passes) for a, b in zip(left, right, strict=True)]
    assert len(seen) == len(set(seen))
    assert all(a < b for a, b in seen)
    brought = {
        (int(a), int(b)) for one in passes for left, right in one.pairs() for a, b in zip(left, right, strict=True)
    }
    assert set(seen) == brought


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000))
def test_equal_rows_are_always_one(seed: int) -> None:
    frame = people(30, seed).drop_nulls()
    twice = pl.concat([frame, frame])
    clusters = match_rows(twice, PEOPLE).cluster.to_list()
    assert clusters[: frame.height] == clusters[frame.height :]


def test_equal_rows_that_say_next_to_nothing_are_not_one() -> None:
    frame = pl.concat([people(300, seed=4, doubled=0), people(20, seed=5, doubled=0).with_columns(city=pl.lit("Bonn"))])
    bare = pl.DataFrame({"name": [None] * 3, "email": [None] * 3, "born": [None] * 3, "city": ["Bonn"] * 3})
    rows = pl.concat([frame.drop("entity"), bare.cast(frame.drop("entity").schema)])
    assert match_rows(rows, PEOPLE).cluster.to_list()[-3:] == [320, 321, 322]


def test_an_unrelated_row_changes_no_other_cluster() -> None:
    frame = people(800, seed=6).drop("entity")
    other = pl.DataFrame(
        {"name": ["Zoe Quux"], "email": ["zq@example.net"], "born": [dt.date(1911, 3, 4)], "city": ["Q"]}
    )
    before = match_rows(frame, PEOPLE).cluster.to_list()
    after = match_rows(pl.concat([frame, other]), PEOPLE).cluster.to_list()
    assert after == [*before, frame.height]


def test_a_hundred_thousand_equal_surnames_are_compared_with_few() -> None:
    rng = random.Random(7)
    names = [f"{rng.choice(_GIVEN)}{n} Smith" for n in range(100_000)]
    frame = pl.DataFrame({"surname": ["Smith"] * len(names), "name": names, "city": ["Bonn"] * len(names)})
    compare: tuple[tuple[str, MatchKind], ...] = (("surname", "name"), ("city", "exact"), ("name", "text"))
    records = records_of(frame, compare)
    passes = choose_passes(records, [("surname",)])
    assert passes[0].told.estimated == 100_000 * 99_999 // 2
    assert passes[0].told.pairs <= WINDOW * 100_000
    chosen = choose_passes(records, ())
    assert sum(one.told.pairs for one in chosen) <= max(PAIRS_PER_RECORD, 3 * WINDOW) * 100_000
    held = 0
    for left, _ in passes[0].pairs():
        held = max(held, len(left))
    assert held <= 1_200_000  # pairs in memory at a time, of ten million


def test_too_few_rows_fall_back_to_stated_weights_and_say_so() -> None:
    found = match_rows(people(20, seed=8), PEOPLE)
    assert "too few" in found.told.notes[0]
    assert not any(one.learnt for one in found.told.weights)


@pytest.mark.parametrize("rows", [0, 1, 2])
def test_tables_without_pairs_have_no_clusters(rows: int) -> None:
    frame = people(5, seed=9, doubled=0)[:rows]
    assert match_rows(frame, PEOPLE).cluster.to_list() == list(range(rows))


def test_columns_of_nothing_but_nulls_say_nothing() -> None:
    frame = people(50, seed=10).with_columns(name=pl.lit(None, pl.String), email=pl.lit(None, pl.String))
    found = match_rows(frame, PEOPLE)
    assert found.cluster.len() == frame.height
    assert set(found.pairs["level:name"]) <= {"missing"}


def test_what_people_said_overrules_the_weights() -> None:
    frame = people(400, seed=11)
    found = match_rows(frame, PEOPLE)
    pair = found.pairs.filter(pl.col("probability") > 0.99).row(0, named=True)
    one, other = pair["left"], pair["right"]
    apart = match_rows(frame, PEOPLE, Answers(different=[(one, other)])).cluster
    assert apart[one] != apart[other]
    strangers = (0, next(row for row in range(1, frame.height) if frame["name"][row] != frame["name"][0]))
    together = match_rows(frame, PEOPLE, Answers(same=[strangers])).cluster
    assert together[strangers[0]] == together[strangers[1]]


@pytest.mark.parametrize(
    ("kind", "one", "other", "level"),
    [
        ("name", "Dr. Müller, Anna", "anna mueller", "close"),
        ("name", "Smith, John", "john smith", "same words"),
        ("name", "Bill Gates", "William Gates", "same words"),
        ("name", "J. Smith", "John Smith", "same words"),
        ("name", "Mary Jones", "Mary Miller", "a word in common"),
        ("name", "ACME Holding GmbH", "Acme", "equal"),
        ("text", "12 Oak Street", "12 oak st.", "equal"),
        ("text", "Oak Street 12", "12 Oak Street", "same words"),
        ("email", "A.B+news@gmail.com", "ab@googlemail.com", "equal"),
        ("email", "ann@example.org", "ann@example.net", "same name"),
        ("phone", "+49 (0)30 123456", "030 123456", "equal"),
        ("phone", "030 123456", "030 123457", "close"),
        ("date", "1980-03-04", "1980-04-03", "one slip"),
        ("date", "1980-03-04", "1981-03-04", "one slip"),
        ("date", "1980-03-04", "1980-09-04", "one slip"),
        ("date", "1980-03-04", "1992-03-04", "two parts"),
        ("number", "100", "100.5", "within 1 %"),
        ("number", "100", "200", "different"),
        ("geo", "52.5200, 13.4050", "52.5201, 13.4051", "within 100 m"),
        ("geo", "52.52, 13.40", "48.85, 2.35", "different"),
        ("exact", "a", "A", "different"),
    ],
)
def test_how_alike_two_values_are(kind: MatchKind, one: str, other: str, level: str) -> None:
    values = pl.Series("v", [one, other])
    frame = pl.DataFrame({"v": values.cast(pl.Float64) if kind == "number" else values, "row": ["a", "b"]})
    records = records_of(frame, [("v", kind), ("row", "exact")])
    found = int(comparer_of(records.columns[0]).levels(np.array([0]), np.array([1]))[0])
    assert LEVELS[kind][found] == level


@given(st.lists(st.none() | st.text(max_size=20), min_size=1, max_size=20))
def test_a_normal_form_of_a_normal_form_is_itself(values: list[str | None]) -> None:
    for kind in ("text", "name", "email", "phone", "exact"):
        once = normal_form(pl.Series("v", values, dtype=pl.String), kind)
        assert normal_form(once, kind).equals(once)


@settings(deadline=None)
@given(st.data())
def test_levels_do_not_depend_on_which_row_is_named_first(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(list(LEVELS)))
    texts = data.draw(st.lists(st.sampled_from([*_GIVEN, "1 2", "1990-01-02", "a@b", "030 12345", ""]), min_size=2))
    records = records_of(
        pl.DataFrame({"v": texts, "n": [str(n) for n in range(len(texts))]}), [("v", kind), ("n", "exact")]
    )
    left, right = np.triu_indices(len(records), 1)
    comparer = comparer_of(records.columns[0])
    levels = comparer.levels(left, right)
    assert np.array_equal(levels, comparer.levels(right, left))
    assert all(level == NULL or level < len(LEVELS[kind]) for level in levels.tolist())


def test_a_chain_of_pairs_is_parted_where_the_rest_speaks_against_it() -> None:
    """0-1 and 2-3 are alike, 1-2 a little; all other pairs speak against."""
    strong = {(0, 1): 20.0, (2, 3): 20.0, (1, 2): 4.0}

    def weigh(left: NDArray[np.int64], right: NDArray[np.int64]) -> NDArray[np.float64]:
        return np.array([strong.get((int(a), int(b)), -15.0) for a, b in zip(left, right, strict=True)])

    left, right = np.array([0, 2, 1]), np.array([1, 3, 2])
    assert cluster(4, left, right, np.array([20.0, 20.0, 4.0]), weigh).tolist() == [0, 0, 2, 2]


@given(st.integers(1, 60), st.data())
def test_components_are_those_of_a_plain_search(count: int, data: st.DataObject) -> None:
    pairs = data.draw(st.lists(st.tuples(st.integers(0, count - 1), st.integers(0, count - 1)), max_size=80))
    groups = {n: {n} for n in range(count)}
    for one, other in pairs:
        joined = groups[one] | groups[other]
        for member in joined:
            groups[member] = joined
    left, right = (np.array([pair[side] for pair in pairs], dtype=np.int64) for side in (0, 1))
    assert components(count, left, right).tolist() == [min(groups[n]) for n in range(count)]


CUSTOMERS = """id,name,email,phone,age
1,Anna Weber,anna.weber@example.org,030 1234567,31
2,"Weber, Anna",anna.weber@example.org,+49 30 1234567,
3,Bill Gruber,,0711 778899,200
4,William Gruber,w.gruber@example.net,0711/778899,44
5,Clara Moser,clara.moser@example.org,089 4455667,1
6,Clara Moser,cm91@example.com,040 9988776,x
this is, no, row
8,Nagel GmbH,office@nagel.example,0221 334455,
9,NAGEL,office@nagel.example,0221 334455,9
"""
TYPES = {"id": Type.INTEGER, **dict.fromkeys(("name", "email", "phone"), Type.STRING), "age": Type.INTEGER}


def matched(bench: Bench, on_match: OnMatch, *answers: Answer, rows: str = CUSTOMERS) -> MatchedSource:
    bench.write("c.csv", rows)
    ages = ColumnRule(max=100, repair=(Repair(how="clip"),), on_fail="repair")
    compare: tuple[tuple[str, MatchKind], ...] = (("name", "name"), ("email", "email"), ("phone", "phone"))
    source = source_of("c.csv", columns={"age": ages}, match=Match(compare=compare, on_match=on_match))
    snapshot = bench.snapshot(source, TYPES)
    checked = check(snapshot, source, TYPES, {}, bench.stage.fresh())
    return match_source(source, checked, snapshot, answers, bench.stage.fresh())


def holds(report: QualityReport) -> bool:
    kept = report.accepted + report.repaired + report.replayed
    return report.read == kept + report.quarantined and sum(n for _, n in report.reasons) == report.quarantined


def test_further_rows_are_set_aside_and_the_ledger_adds_up(bench: Bench) -> None:
    found = matched(bench, "quarantine").checked
    assert bench.accepted(found)["id"] == [1, 4, 5, 9]
    aside = bench.reasons(found)
    assert {row for row, reasons in aside.items() if reasons == ["duplicate-fuzzy"]} == {2, 3, 8}
    assert holds(found.report)
    assert dict(found.report.reasons)["duplicate-fuzzy"] == 3
    assert found.report.repaired == 0  # the mended row 3 is set aside
    quarantine = bench.read(found.quarantine)
    assert quarantine["_row"].is_sorted()
    assert quarantine.filter(pl.col("_row") == 3)["age"].to_list() == ["200"]


def test_merging_fills_what_the_row_that_stays_lacks(bench: Bench) -> None:
    lacking = CUSTOMERS.replace("0711/778899,44", "0711/778899,").replace("3,Bill Gruber,,", "3,Bill,,")
    found = matched(bench, "merge", rows=lacking).checked
    assert bench.accepted(found)["age"] == [31, 100, 1, 9]
    assert found.report.repaired == 1
    assert ("match", 1) in found.report.repairs
    assert holds(found.report)


def test_warning_keeps_every_row_and_the_evidence(bench: Bench) -> None:
    found = matched(bench, "warn")
    assert bench.accepted(found.checked)["id"] == [1, 2, 3, 4, 5, 8, 9]
    assert holds(found.checked.report)
    rule = next(one for one in found.checked.report.rules if one.rule == "match")
    assert (rule.failed, rule.passed, rule.on_fail) == (3, False, "warn")
    clusters = bench.read(found.clusters)
    assert clusters.group_by("cluster", maintain_order=True).agg("row")["row"].to_list() == [[1, 2], [4, 3], [9, 8]]
    assert clusters.group_by("cluster").agg(pl.col("stays").sum())["stays"].to_list() == [1, 1, 1]


def test_an_answer_overrules_and_is_found_again_by_content(bench: Bench, tmp_path: Path) -> None:
    compared = pl.read_csv(CUSTOMERS.replace("this is, no, row\n", "").encode(), infer_schema_length=0)
    names = digests(compared.select("name", "email", "phone"))
    path = tmp_path / "headrace.matches"
    add_answer(path, Answer("s", names[0], names[1], same=True))
    add_answer(path, Answer("other", names[0], names[1], same=True))
    add_answer(path, Answer("s", names[0], names[1], same=False))
    add_answer(path, Answer("other", names[0], names[1], same=True))
    answers = read_answers(path, "s")
    assert answers == (Answer("s", names[0], names[1], same=False),)
    assert bench.accepted(matched(bench, "quarantine", *answers).checked)["id"] == [1, 2, 4, 5, 9]


def test_answers_about_rows_that_are_gone_change_nothing(bench: Bench) -> None:
    gone = "0" * 64
    answers = [Answer("s", gone, "f" * 64, same=True), Answer("s", gone, gone, same=False)]
    assert bench.accepted(matched(bench, "quarantine", *answers).checked)["id"] == [1, 4, 5, 9]


def test_a_line_that_is_no_answer_is_named(tmp_path: Path) -> None:
    path = tmp_path / "headrace.matches"
    add_answer(path, Answer("s", "0" * 64, "1" * 64, same=True))
    with path.open("a") as file:
        file.write("<<<<<<< HEAD\n")
    with pytest.raises(AnswersUnreadable, match=r"headrace\.matches, line 2") as caught:
        read_answers(path, "s")
    assert caught.value.exit_code == 2


def test_a_column_that_is_not_there_is_named_with_those_that_are(bench: Bench) -> None:
    bench.write("c.csv", CUSTOMERS)
    source = source_of("c.csv", match=Match(compare=(("nom", "name"), ("age", "text"))))
    snapshot = bench.snapshot(source, TYPES)
    checked = check(snapshot, source, TYPES, {}, bench.stage.fresh())
    with pytest.raises(ContractError, match=r"no column 'nom'(.|\n)*'age' is integer") as caught:
        match_source(source, checked, snapshot, (), bench.stage.fresh())
    assert "phone" in str(caught.value)
