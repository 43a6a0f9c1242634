"""The model card: `README.md` of a package, with the card metadata that Hugging Face reads.

The same choice gives the same bytes: no instant, no path, no version number stands in it. Names come from the user's
data, so each is written as a quoted YAML text, a Markdown code span or escaped prose, and can say nothing to either.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from headrace.definition.model import Costs, Definition, Task
from headrace.features.encodings.plan import count_inputs
from headrace.features.model import ExpressionStep, LookupStep, Program, WindowStep
from headrace.scoring.model import Decision, Lineage
from headrace.training.model import Choice, Evaluation, Importance, Interval, Verdict

_PIPELINE: Final[Mapping[Task, str]] = {
    "binary": "tabular-classification",
    "multiclass": "tabular-classification",
    "regression": "tabular-regression",
}
_MOST_IMPORTANCES: Final = 15
_TIMED: Final = ("costs", "more rows", "search")
"""Topics of verdicts that measured times have a part in: the same choice could say them otherwise another time."""


def model_card(
    definition: Definition,
    program: Program,
    decision: Decision,
    evaluation: Evaluation,
    choice: Choice,
    lineage: Lineage,
    *,
    inputs: int | None = None,
    license: str = "unknown",  # noqa: A002 - the metadata's own word
) -> str:
    """The card of the chosen model.

    Parameters
    ----------
    inputs
        Of the model, encoded; None: as many as the definition says, none of which was left out.
    license
        The model's, an identifier of https://huggingface.co/docs/hub/repositories-licenses; it is its owner's to state.

    Returns
    -------
    Markdown with YAML front matter.
    """
    sections = [
        _front_matter(definition, evaluation, lineage, license),
        f"# {_text(definition.project.name)}\n",
        _summary(definition, decision, choice, lineage),
        _use(definition, decision),
        _inputs(program, definition, decision, inputs),
        _evaluation(evaluation, choice, decision),
        _verdicts(evaluation.verdicts),
        _importances(evaluation.importances),
        _lineage(lineage),
        _loading(definition.project.name),
    ]
    return "\n".join(section for section in sections if section)


def _front_matter(definition: Definition, evaluation: Evaluation, lineage: Lineage, license_id: str) -> str:
    pipeline = _PIPELINE[evaluation.task]
    metrics = [
        {"type": metric.name, "name": _title(metric.name), "value": metric.value} for metric in evaluation.metrics
    ]
    result = {
        "task": {"type": pipeline},
        "dataset": {"type": "private", "name": definition.project.source, "split": "holdout"},
        "metrics": metrics,
    }
    metadata = {
        "license": license_id,
        "library_name": "headrace",
        "pipeline_tag": pipeline,
        "tags": ["headrace", "onnx", "tabular", evaluation.task, lineage.family],
        "model-index": [{"name": definition.project.name, "results": [result]}],
    }
    return "---\n" + "".join(_yaml(metadata)) + "---\n"


def _summary(definition: Definition, decision: Decision, choice: Choice, lineage: Lineage) -> str:
    project = definition.project
    what = {
        "binary": "the probability that",
        "multiclass": "the probability of each class of",
        "regression": "the value of",
    }[decision.task]
    aim = definition.training.objective
    if decision.task == "regression" and aim.kind != "mean":
        what = "the mean count of" if aim.quantile is None else f"the {100 * aim.quantile:.4g} % quantile of"
    label = _code(project.label or "the label")
    lines = [f"Predicts {what} {label} for rows of {_code(project.source)}."]
    if decision.task != "regression" and decision.classes:
        lines.append(f"Classes: {', '.join(map(_code, decision.classes))}.")
    if acts := _acts(decision, definition.costs):
        lines.append(acts)
    lines.append(f"A model of the family {_code(lineage.family)}, compiled to ONNX. {_text(choice.reason)}")
    settings = ", ".join(f"{_code(name)} {_code(str(value))}" for name, value in sorted(lineage.params.items()))
    return "\n".join(lines) + "\n" + (f"\nHyperparameters: {settings}.\n" if settings else "")


def _acts(decision: Decision, costs: Costs | None) -> str:
    """From what on a binary model says yes; empty where nothing is decided."""
    if decision.task != "binary" or (decision.threshold is None and not decision.cost_matrix):
        return ""
    if not decision.cost_matrix:
        return f"It says yes from a calibrated probability of {decision.threshold:.6g} on."
    currency = "" if costs is None else f" {_text(costs.currency)}"
    least = decision.least_benefit or 0.0
    says = "It says yes where acting is expected to "
    says += f"save {least:.6g}{currency} or more" if least else "cost no more than letting pass"
    if decision.amounts:
        columns = dict.fromkeys(amount.column for amount in decision.amounts)
        says += f", at the row's own {' and '.join(map(_code, columns))}"
    if decision.reject is not None:
        says += f"; a row of which either answer is expected to cost more than {decision.reject:.6g}{currency} is left "
        says += "to people"
    return f"{says}."


def _use(definition: Definition, decision: Decision) -> str:
    project = definition.project
    about = f"one row of {_code(project.source)}"
    if project.key:
        about += f", named by {', '.join(map(_code, project.key))}"
    when = f" at the instant in {_code(project.time)}, from what was known before it" if project.time else ""
    lines = ["## Intended use\n", f"Each prediction is about {about}, and is made{when or ' when it is asked for'}."]
    costs = definition.costs
    if costs is not None and decision.task == "binary" and None not in (costs.false_positive, costs.false_negative):
        lines.append(
            f"Its threshold weighs a needless action at {costs.false_positive:g} {_text(costs.currency)} against a "
            f"missed case at {costs.false_negative or 0:g} {_text(costs.currency)}: where the costs are others, "
            "so is the best threshold."
        )
    lines.append(
        "It was fitted to the sources listed below and measured on rows of the same kind; about rows of another origin "
        "or of a much later time the figures here say nothing. A level of a category that training did not see counts "
        "as rare, a missing value as missing."
    )
    return "\n".join(lines) + "\n"


def _inputs(program: Program, definition: Definition, decision: Decision, inputs: int | None) -> str:
    windows = sum(isinstance(step, WindowStep) for step in program.steps)
    lookups = sum(isinstance(step, LookupStep) for step in program.steps)
    expressions = sum(isinstance(step, ExpressionStep) for step in program.steps)
    rows = [(_code(field.name), field.type.value) for field in program.request]
    if inputs is None:
        inputs = count_inputs(program.outputs, definition.features.encodings, decision.classes)
    return (
        "## Inputs\n\nA request carries:\n\n"
        + _table(("column", "type"), rows)
        + f"\nFrom these the feature program computes {len(program.outputs)} features, with {expressions} expressions, "
        f"{lookups} lookups and {windows} windows; encoded, they are {inputs} inputs of the model.\n"
        + _encodings(definition)
    )


def _encodings(definition: Definition) -> str:
    """Which inputs are encoded in another way than by a code or as a number."""
    lines = []
    for encoding in definition.features.encodings:
        said = ", ".join(encoding.kinds) or "as it is"
        if encoding.group is not None:
            said += "; its " + ", ".join(encoding.take) + f" within {_code(encoding.group)}"
        lines.append(f"- {_code(encoding.name)}: {said}\n")
    return "\nEncodings, learnt from training rows only:\n\n" + "".join(lines) if lines else ""


def _evaluation(evaluation: Evaluation, choice: Choice, decision: Decision) -> str:
    prevalence = "" if evaluation.prevalence is None else f", {evaluation.prevalence:.2%} of them positive"
    prevalence += "" if evaluation.positive is None else f" ({_code(evaluation.positive)})"
    intervals = [*evaluation.metrics, *([] if evaluation.error_cost is None else [evaluation.error_cost])]
    text = (
        f"## Evaluation\n\nOn {evaluation.rows:,} rows held out of all training{prevalence}, scored with this package "
        "itself; in brackets the 95 % bootstrap interval.\n\n"
    )
    text += _table(("metric", "value", "95 % interval", "better"), [_metric_row(each, choice) for each in intervals])
    if evaluation.confusion:
        names = decision.classes or tuple(str(code) for code in range(len(evaluation.confusion)))
        rows = [
            (_code(name), *(f"{count:,}" for count in counts))
            for name, counts in zip(names, evaluation.confusion, strict=True)
        ]
        text += "\nTruth by row, decision by column:\n\n" + _table(("truth", *map(_code, names)), rows)
    return (
        f"{text}\nLargest difference from the library that trained it: {evaluation.agreement:.2e} "
        f"(at most {evaluation.agreement_limit:.0e} is allowed).\n"
    )


def _metric_row(metric: Interval, choice: Choice) -> tuple[str, ...]:
    name = _title(metric.name)
    if metric.name == "error_cost":
        name += f" ({_text(choice.currency)} per prediction)"
    return (
        name,
        f"{metric.value:.6g}",
        f"[{metric.low:.6g}, {metric.high:.6g}]",
        "higher" if metric.higher_is_better else "lower",
    )


def _verdicts(verdicts: Sequence[Verdict]) -> str:
    """Whether to believe it, as the run's page says it."""
    words = {"good": "fine", "look": "asks for a look", "bad": "bad"}
    rows = [(words[each.level], _text(each.topic), _text(each.says)) for each in verdicts if each.topic not in _TIMED]
    return "## Can it be believed?\n\n" + _table(("", "topic", "verdict"), rows) if rows else ""


def _importances(importances: Sequence[Importance]) -> str:
    if not importances:
        return ""
    top = sorted(importances, key=lambda each: (-each.drop, each.feature))[:_MOST_IMPORTANCES]
    rows = [(_code(each.feature), f"{each.drop:.4g}", f"[{each.low:.4g}, {each.high:.4g}]") for each in top]
    return (
        "## What it relies on\n\nHow much the metric falls when one feature is shuffled on the holdout.\n\n"
        + _table(("feature", "fall", "95 % interval"), rows)
    )


def _lineage(lineage: Lineage) -> str:
    sources = [(_code(name), f"`{sha256}`") for name, sha256 in sorted(lineage.snapshots.items())]
    libraries = [(_code(name), _code(version)) for name, version in sorted(lineage.libraries.items())]
    text = "## Training data and lineage\n\nWhat it was made from, by the SHA-256 of the content:\n\n"
    text += _table(("source", "snapshot"), sources)
    text += (
        f"\nDefinition `{lineage.definition_sha256}`, training table `{lineage.frame}`, trial {lineage.trial}, "
        f"headrace {_code(lineage.headrace)}.\n"
    )
    if lineage.refitted:
        text += (
            "\nIt learnt from every labelled row, those of the holdout included; the figures above are those of the "
            "same candidate before it had seen the holdout.\n"
        )
    return text + ("\n" + _table(("library", "version"), libraries) if libraries else "")


def _loading(name: str) -> str:
    return (
        "## How to use it\n\n```python\nimport headrace\n\n"
        f'model = headrace.load("{re.sub(r"[^A-Za-z0-9._-]", "", name)}@champion")\nmodel.predict(rows)\n```\n'
    )


def _title(metric: str) -> str:
    return _text(metric.replace("_", " "))


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    escaped = ([cell.replace("|", "\\|") for cell in line] for line in lines)
    return "".join(f"| {' | '.join(line)} |\n" for line in escaped)


def _code(text: str) -> str:
    """A code span: nothing in it is read as Markdown.

    Examples
    --------
    >>> _code("dep_delay"), _code("a`b")
    ('`dep_delay`', '`` a`b ``')
    """
    text = _printable(text)
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    if not longest and text.strip() == text and text:
        return f"`{text}`"
    fence = "`" * (longest + 1)
    return f"{fence} {text} {fence}"


def _text(text: str) -> str:
    """Plain prose: every character that Markdown or HTML could read is escaped."""
    return re.sub(r"([\\`*_{}\[\]()<>#+!~$&@:])", r"\\\1", _printable(text))


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else " " for character in text)


def _yaml(value: Any, indent: str = "") -> Iterator[str]:
    """Block YAML of mappings and lists of mappings, lists of texts, texts and numbers."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            if isinstance(item, Mapping | list):
                yield f"{indent}{key}:\n"
                yield from _yaml(item, indent + "  ")
            else:
                yield f"{indent}{key}: {_scalar(item)}\n"
    else:
        for item in value:
            if isinstance(item, Mapping):
                lines = list(_yaml(item, indent + "  "))
                yield f"{indent}- {lines[0][len(indent) + 2 :]}"
                yield from lines[1:]
            else:
                yield f"{indent}- {_scalar(item)}\n"


def _scalar(value: object) -> str:
    """A double-quoted text in which everything that is not plainly printable is escaped, or a number."""
    if isinstance(value, float):
        text = repr(value)  # YAML reads 1e-05 as a text: it wants a point
        return re.sub(r"^(-?\d+)e", r"\1.0e", text) if value - value == 0.0 else ".nan"
    if isinstance(value, int):
        return str(value)
    escaped = []
    for character in str(value):
        if character in '"\\':
            escaped.append("\\" + character)
        elif character.isprintable() and not 0xD800 <= ord(character) <= 0xDFFF:
            escaped.append(character)
        else:
            escaped.append(f"\\U{ord(character):08x}")
    return f'"{"".join(escaped)}"'
