"""The model card: readable by Hugging Face's rules, equal for equal choices, and deaf to what names contain."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from tests.scoring.made import decision, lineage, program

from headrace.definition.model import Costs, Definition, Objective, Project, Source, Task
from headrace.registry.card import model_card
from headrace.scoring.model import Amount, Decision
from headrace.training.model import Candidate, Choice, Evaluation, Importance, Interval, Money, Verdict

HOSTILE = [
    "a`b",
    "``",
    "|x|",
    "<script>alert(1)</script>",
    "![x](https://evil.example/p.png)",
    "[x](javascript:alert(1))",
    "https://evil.example",
    "<https://evil.example>",
    "line\nbreak\n# heading",
    "---\nlicense: stolen",
    '"quote": {x}',
    "back\\slash\\|",
    "\u2028sep\x85nel\x7f",
    "\ud83d\ude00".encode("utf-16", "surrogatepass").decode("utf-16"),
    " lead and trail ",
    "&amp; &#60;b&#62;",
    "*bold* _it_ ~~gone~~",
]


def definition(name: str = "delays", source: str = "flights", label: str = "arr_delay > 30") -> Definition:
    return Definition(
        format=1,
        project=Project(name=name, source=source, key=("carrier", "flight"), time="due", label=label),
        sources=(Source(name=source, read=("flights.csv",), format="csv"),),
        costs=Costs(false_positive=4.0, false_negative=60.0),
    )


def evaluation(task: Task = "binary", feature: str = "dep_hour") -> Evaluation:
    return Evaluation(
        task=task,
        rows=67_000,
        prevalence=0.16 if task == "binary" else None,
        metrics=(
            Interval(name="average_precision", value=0.41, low=0.4, high=0.42, higher_is_better=True),
            Interval(name="log_loss", value=1e-05, low=9e-06, high=2e-05, higher_is_better=False),
        ),
        error_cost=Interval(name="error_cost", value=3.1, low=3.0, high=3.2, higher_is_better=False),
        confusion=((50_000, 6_000), (4_000, 7_000)) if task == "binary" else (),
        importances=tuple(Importance(feature=f"{feature}{i}", drop=i / 100, low=0.0, high=0.5) for i in range(20)),
        agreement=3e-8,
        agreement_limit=1e-6,
    )


def choice(reason: str = "least expected cost") -> Choice:
    money = Money(errors=3.1e6, serving=5.0, training=0.1)
    candidates = (Candidate(trial=3, family="lightgbm", score=0.41, money=money, on_frontier=True),)
    return Choice(rule="least_cost", trial=3, candidates=candidates, reason=reason)


def card(**changes: Any) -> str:
    parts: dict[str, Any] = {
        "definition": definition(),
        "program": program(),
        "decision": decision(),
        "evaluation": evaluation(),
        "choice": choice(),
        "lineage": lineage(),
    }
    return model_card(**{**parts, **changes})


def front_matter(text: str) -> dict[str, Any]:
    start, metadata, _ = text.split("---\n", 2)
    assert start == ""
    loaded: dict[str, Any] = yaml.safe_load(metadata)
    return loaded


def structure(text: str) -> list[str]:
    """The kinds of Markdown tokens, in order: what the text is made of, whatever it says."""
    body = text.split("---\n", 2)[2]
    kinds = []
    for token in MarkdownIt("gfm-like", {"linkify": False}).parse(body):
        kinds.append(token.type)
        kinds += [child.type for child in token.children or () if child.type not in ("text", "text_special")]
    return kinds


def test_the_metadata_is_that_of_a_hugging_face_card() -> None:
    loaded = front_matter(card(license="apache-2.0"))
    assert loaded["license"] == "apache-2.0"
    assert loaded["pipeline_tag"] == "tabular-classification"
    assert "lightgbm" in loaded["tags"]
    (entry,) = loaded["model-index"]
    assert entry["name"] == "delays"
    (result,) = entry["results"]
    assert result["task"] == {"type": "tabular-classification"}
    assert result["dataset"] == {"type": "private", "name": "flights", "split": "holdout"}
    assert result["metrics"] == [
        {"type": "average_precision", "name": "average precision", "value": 0.41},
        {"type": "log_loss", "name": "log\\_loss".replace("\\_", " "), "value": 1e-05},
    ]


def test_the_card_says_what_a_reader_needs() -> None:
    text = card()
    for part in (
        "arr_delay > 30",
        "67,000 rows",
        "[0.4, 0.42]",
        "4 USD",
        "60 USD",
        "`carrier`",
        "50,000",
        "a" * 64,
        "0.0625",
    ):
        assert part in text, part
    tops = [line for line in text.splitlines() if line.startswith("| `dep_hour")]
    assert len(tops) == 15
    assert tops[0].startswith("| `dep_hour19`")


def test_the_card_says_whether_to_believe_it_and_nothing_that_a_clock_had_a_part_in() -> None:
    verdicts = (
        Verdict(topic="skill", level="good", says="Better than guessing, <b>0.8</b>."),
        Verdict(topic="optimism", level="look", says="The holdout is worse than was promised."),
        Verdict(topic="costs", level="look", says="Much depends on what errors cost."),
    )
    text = card(evaluation=msgspec.structs.replace(evaluation(), verdicts=verdicts))
    assert "| fine | skill | Better than guessing, \\<b\\>0.8\\</b\\>. |" in text
    assert "| asks for a look | optimism |" in text
    assert "Much depends" not in text
    assert "Can it be believed?" not in card()


@pytest.mark.parametrize("task", ["multiclass", "regression"])
def test_other_tasks_have_a_card_too(task: Task) -> None:
    text = card(
        evaluation=evaluation(task),
        decision=decision(task),
        definition=msgspec.structs.replace(definition(), costs=None),
    )
    assert front_matter(text)["pipeline_tag"].startswith("tabular-")
    assert "USD against" not in text


@pytest.mark.parametrize(
    ("objective", "says"),
    [
        (Objective(kind="poisson"), "Predicts the mean count of `days`"),
        (Objective(kind="quantile", quantile=0.975), "Predicts the 97.5 % quantile of `days`"),
    ],
)
def test_a_count_and_a_quantile_are_called_so(objective: Objective, says: str) -> None:
    asked = definition(label="days")
    asked = msgspec.structs.replace(
        asked, costs=None, training=msgspec.structs.replace(asked.training, objective=objective)
    )
    assert says in card(evaluation=evaluation("regression"), decision=decision("regression"), definition=asked)


def test_equal_choices_give_equal_bytes_and_no_instant_stands_in_them() -> None:
    assert card() == card()
    assert not [line for line in card().splitlines() if "20" in line and "26" in line]


@pytest.mark.parametrize("name", HOSTILE)
def test_names_say_nothing_to_markdown_or_yaml(name: str) -> None:
    plain = card()
    classes = ("no", name)
    hostile = card(
        definition=definition(name=name, source=name, label=name),
        decision=msgspec.structs.replace(decision(), classes=classes),
        evaluation=evaluation(feature=name),
        choice=choice(reason=name),
        lineage=msgspec.structs.replace(
            lineage(), snapshots={name: "a" * 64}, params={name: name, "x": 1}, libraries={name: name}
        ),
    )
    assert structure(hostile) == structure(plain)
    loaded = front_matter(hostile)
    assert loaded["model-index"][0]["name"] == name
    assert loaded["license"] == "unknown"


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=40), st.floats(allow_nan=False))
def test_any_text_and_number_survive_the_front_matter(text: str, value: float) -> None:
    metrics = (Interval(name=text, value=value, low=0.0, high=1.0, higher_is_better=True),)
    loaded = front_matter(
        card(definition=definition(name=text), evaluation=msgspec.structs.replace(evaluation(), metrics=metrics))
    )
    assert loaded["model-index"][0]["name"] == text
    metric = loaded["model-index"][0]["results"][0]["metrics"][0]
    assert metric["type"] == text
    assert metric["value"] == value if math.isfinite(value) else math.isnan(metric["value"])


def test_a_binary_model_without_a_threshold_claims_none() -> None:
    text = card(decision=Decision(task="binary", classes=("no", "yes")))
    assert "says yes from" not in text


def test_a_model_that_decides_by_what_acting_saves_claims_no_threshold() -> None:
    """Training puts one beside the matrix, by which nothing is decided."""
    priced = Decision(
        task="binary",
        classes=("no", "yes"),
        threshold=0.25,
        cost_matrix=((0.0, 1.0), (0.0, 0.0)),
        amounts=(Amount(truth=1, predicted=0, column="price", otherwise=3.0),),
        reject=0.5,
        least_benefit=2.5,
    )
    text = card(decision=priced)
    assert "probability of 0.25" not in text
    assert "save 2.5 USD or more, at the row's own `price`; a row of which either answer" in text
    assert "cost no more than letting pass." in card(
        decision=Decision(task="binary", threshold=0.25, cost_matrix=priced.cost_matrix)
    )
