"""The known-before guard on names, and what features and the project say of one another.

At prediction time t a feature may use what the request carries, and what lookups and windows bring from before t.
Everything else of the predicted source belongs to the future or to the label, and is refused here with the reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from headrace.definition.check_encodings import check_encodings
from headrace.definition.check_sources import check_column, check_source_name, made_columns
from headrace.definition.document import At, Document, listed, shown, suggestion
from headrace.definition.expressions import columns_at, place_of
from headrace.definition.known import column_waits_for, derived_from, waits_for
from headrace.definition.model import Definition, Known, Lookup, Project, Source, Window
from headrace.definition.order import ordered

_INPUTS = "a column of project.request, a feature, or the output of a lookup or window"


def check_features(definition: Definition, names: Sequence[str], document: Document) -> Definition:
    """The definition with its expressions in an order in which they can be computed; mistakes go into `document`."""
    project = definition.project
    at = document.at("project")
    sources = {source.name: source for source in definition.sources}
    if not at.key("source").is_broken and names:
        check_source_name(project.source, names, at.key("source"))
    source = sources.get(project.source)
    guard = _Guard(definition, source, document)
    guard.check_project(names)
    for lookup in definition.features.lookups:
        _check_lookup(lookup, guard, sources, names)
    for window in definition.features.windows:
        _check_window(window, guard, sources, names)
    expressions = guard.check_expressions()
    guard.check_drop()
    check_encodings(definition.features, None if guard.is_open else [*project.request, *guard.outputs], document)
    for key, column in (("group", definition.split.group), ("time", definition.split.time)):
        if source is not None and column is not None:
            check_column(source, column, document.at("split", key))
    return msgspec.structs.replace(
        definition, features=msgspec.structs.replace(definition.features, expressions=expressions)
    )


@dataclass(slots=True)
class _Guard:
    """What may be used at prediction time, and the refusal of everything else."""

    definition: Definition
    source: Source | None
    document: Document
    outputs: dict[str, str] = field(init=False)
    """Feature → the node of the graph that makes it."""
    needs: dict[str, set[str]] = field(default_factory=dict)
    """Node (an expression, lookup or window by its key path) → the features it uses."""
    label_columns: frozenset[str] = field(default=frozenset())

    def __post_init__(self) -> None:
        self.outputs = {}
        features = self.definition.features
        for name, _ in features.expressions:
            self._claim([name], ("expressions", name))
        for lookup in features.lookups:
            self._claim([f"{lookup.name}_{column}" for column in lookup.take], ("lookups", lookup.name))
        for window in features.windows:
            self._claim(window.names, ("windows", window.name))

    @property
    def project(self) -> Project:
        return self.definition.project

    @property
    def is_open(self) -> bool:
        """Whether the request is left to the data: every column but label and key."""
        return not self.project.request

    def _claim(self, made: Sequence[str], path: tuple[str, str]) -> None:
        at = self.document.at("features", *path)
        carried = {*self.project.request, *self.project.key}
        for name in made:
            if name in carried or name in self.outputs:
                other = "a column of the request" if name in carried else f"a feature of features.{self.outputs[name]}"
                fix = "give one of them another name"
                at.wrong(
                    f"`{name}` is {other} as well",
                    expected="a name of its own",
                    found=f"`{name}`",
                    fix=fix,
                    code="duplicate",
                )
            else:
                self.outputs[name] = ".".join(path)

    def check_project(self, names: Sequence[str]) -> None:
        """[project]: time, request, key and label against one another."""
        project, at = self.project, self.document.at("project")
        request = at.key("request")
        if not project.request and not request.is_broken:
            if project.time is not None or len(names) > 1:
                why = "project.time" if project.time is not None else "more than one source"
                at.missing(
                    "request",
                    expected=f"the columns that a request carries (with {why} they cannot be guessed)",
                    fix='write request = ["column", …]: what is known when a prediction is asked for',
                )
        elif project.time is not None and project.time not in project.request and not request.is_broken:
            request.wrong(
                "the request does not carry the prediction time",
                expected=f"`{project.time}` among its columns",
                found=listed(project.request),
                fix=f'add "{project.time}"',
            )
        for key, columns in (("key", project.key), ("request", project.request)):
            self._check_own_columns(columns, at.key(key))
        if project.label is not None:
            self._check_label(project.label, at.key("label"))
        for i, column in enumerate(project.request):
            self._check_request_column(column, request.key(i))

    def _check_own_columns(self, columns: Sequence[str], at: At) -> None:
        for i, column in enumerate(columns):
            if column.startswith("_"):
                fix = f'rename it in its source: rename = {{ {column} = "{column.lstrip("_") or "id"}" }}'
                at.item(i).wrong(
                    "names that begin with _ are ours", expected="another name", found=f"`{column}`", fix=fix
                )
            elif self.source is not None:
                check_column(self.source, column, at.item(i))

    def _check_label(self, label: str, at: At) -> None:
        uses = columns_at(label, at)
        if uses is None:
            return
        self.label_columns = uses
        if not uses:
            fix = 'for example label = "arr_delay > 30"'
            at.wrong("the label uses no column", expected="an expression over columns", found=shown(label), fix=fix)
        if self.source is None:
            return
        for column in sorted(uses):
            check_column(self.source, column, at, place_of(column, label))
        carried = set(self.project.request) - uses
        if uses and not uses & set(self.project.request) and uses <= _computable(self.source, carried):
            at.wrong(
                "the label can be computed from the columns of the request: there is nothing to predict",
                expected="a label that is not known when a prediction is asked for",
                found=shown(label),
                fix="take out of project.request what is only known later",
                code="leak",
            )

    def _check_request_column(self, column: str, at: At) -> None:
        if column in self.label_columns:
            at.wrong(
                f"`{column}` makes the label: a request cannot carry it",
                expected="columns that are known when a prediction is asked for",
                found=f"`{column}`",
                fix="take it out; if it is known by then and the label only compares with it, derive the comparison "
                "as a column of the source and use that in the label",
                code="leak",
            )
            return
        if self.source is None:
            return
        behind = derived_from(self.source, column)
        leaks = [name for name in behind[1:] if name in self.label_columns and name not in self.project.request]
        late = [known for known in column_waits_for(self.source, column) if not self._is_on_time(known)]
        if leaks:
            message = f"`{column}` is derived from `{leaks[0]}`, which makes the label"
            at.wrong(message, expected="columns known by then", found=f"`{column}`", fix="take it out", code="leak")
        elif late:
            at.wrong(
                f"`{column}` {self._known_when(late[0])}: a request cannot carry it",
                expected="columns that are known when a prediction is asked for",
                found=f"`{column}`",
                fix="take it out and use it in [features.windows.…], or correct its `known`",
                code="not-known-in-time",
            )

    def _is_on_time(self, known: Known) -> bool:
        return known.after == self.project.time and known.delay_us == 0

    def _known_when(self, known: Known) -> str:
        delay = f" plus {_duration(known.delay_us)}" if known.delay_us else ""
        time = self.project.time
        after = f"which is after the prediction time `{time}`" if time else "after the prediction"
        return f"is known at `{known.after}`{delay}, {after}"

    def use(self, name: str, node: str, at: At, text: str | None = None) -> None:
        """Note that a node uses a name, or why it may not."""
        if name in self.outputs:
            self.needs.setdefault(node, set()).add(name)
            return
        if name in self.project.request or self.document.is_broken("project", "request") or self.source is None:
            return
        character = None if text is None else place_of(name, text)
        late = column_waits_for(self.source, name)
        if late:
            self._refuse(
                f"`{name}` {self._known_when(late[0])}",
                name,
                at,
                fix="use it in [features.windows.…] (values known before t), or take it out",
                character=character,
            )
        elif self.label_columns & set(derived_from(self.source, name)):
            message = (
                f"`{name}` makes the label"
                if name in self.label_columns
                else f"`{name}` is derived from the label's columns"
            )
            self._refuse(message, name, at, fix="take it out", code="leak", character=character)
        elif check_column(self.source, name, at, character) and (not self.is_open or name in self.project.key):
            self._refuse_unknown(name, at, character)

    def _refuse_unknown(self, name: str, at: At, character: int | None) -> None:
        assert self.source is not None
        known = {*self.project.request, *self.outputs}
        declared = {*made_columns(self.source), *dict(self.source.columns), *dict(self.source.rename).values()}
        declared |= {*self.source.unique, *self.project.key, self.source.event_time or ""}
        guess = None if name in declared else suggestion(name, known)
        if guess is not None:
            self._refuse("there is no such input", name, at, f"did you mean `{guess}`?", "unknown-name", character)
        else:
            self._refuse(
                f"`{name}` is neither in project.request nor has `known`: it is never an input",
                name,
                at,
                fix="add it to project.request if a request carries it, or take it out",
                character=character,
            )

    def _refuse(
        self, message: str, name: str, at: At, fix: str, code: str = "not-known-in-time", character: int | None = None
    ) -> None:
        at.wrong(message, expected=_INPUTS, found=f"`{name}`", fix=fix, code=code, character=character)

    def check_expressions(self) -> tuple[tuple[str, str], ...]:
        """The expressions in an order in which they can be computed."""
        texts = dict(self.definition.features.expressions)
        for name, text in texts.items():
            at = self.document.at("features", "expressions", name)
            for column in sorted(columns_at(text, at) or ()):
                self.use(column, f"expressions.{name}", at, text)
        nodes = list(dict.fromkeys(self.outputs.values()))
        needs = {node: {self.outputs[name] for name in used} for node, used in self.needs.items()}
        order, circles = ordered(nodes, needs)
        for circle in circles:
            self.document.at("features", *circle[0].split(".", 1)).wrong(
                "the feature is made from itself",
                expected="features that end at the request, a lookup or a window",
                found=" → ".join([*circle, circle[0]]),
                fix="break the circle",
                code="circle",
            )
        names = [node.split(".", 1)[1] for node in order if node.startswith("expressions.")]
        return tuple((name, texts[name]) for name in names)

    def check_drop(self) -> None:
        """`drop` names inputs, and leaves some."""
        drop = self.definition.features.drop
        at = self.document.at("features", "drop")
        inputs = [*self.project.request, *self.outputs]
        for i, name in enumerate(drop):
            if name not in inputs and not self.is_open:
                guess = suggestion(name, inputs)
                fix = f"did you mean `{guess}`?" if guess else "take it out: only inputs can be dropped"
                at.key(i).wrong(
                    "there is no such input", expected=_INPUTS, found=f"`{name}`", fix=fix, code="unknown-name"
                )
        if not self.is_open and inputs and set(inputs) <= set(drop):
            at.wrong("no input of the model is left", expected="at least one", found="all dropped", fix="keep one")


def _computable(source: Source, carried: set[str]) -> set[str]:
    """The columns that can be computed, through `derive`, from those that a request carries."""
    found = set(carried)
    for name, _ in source.derive:  # in order of need
        if set(derived_from(source, name)[1:]) <= found:
            found.add(name)
    return found


def _duration(microseconds: int) -> str:
    units = (("d", 86_400_000_000), ("h", 3_600_000_000), ("m", 60_000_000), ("s", 1_000_000), ("ms", 1_000))
    return next(
        (f"{microseconds // size}{unit}" for unit, size in units if microseconds % size == 0), f"{microseconds}us"
    )


def _check_key(key: Sequence[tuple[str, str]], node: str, other: Source | None, guard: _Guard, at: At) -> None:
    for here, there in key:
        guard.use(here, node, at)
        if other is not None:
            check_column(other, there, at)


def _check_lookup(lookup: Lookup, guard: _Guard, sources: dict[str, Source], names: Sequence[str]) -> None:
    document, project = guard.document, guard.project
    at = document.at("features", "lookups", lookup.name)
    found = at.key("source").is_broken or check_source_name(lookup.source, names, at.key("source"))
    source = sources.get(lookup.source) if found else None
    _check_key(lookup.key, f"lookups.{lookup.name}", source, guard, at.key("key"))
    if source is None:
        return
    for i, column in enumerate(lookup.take):
        check_column(source, column, at.key("take").item(i))
    place = document.at("sources", source.name)
    if source.event_time is None:
        for i, column in enumerate(lookup.take):
            if column_waits_for(source, column):
                at.key("take").item(i).wrong(
                    f"`{column}` has `known`, but source {source.name} is static: it has no newest row",
                    expected="event_time on the source, or no `known`",
                    found=f"`known` on `{column}` alone",
                    fix=f'write [sources.{source.name}] event_time = "…", or take the `known` out',
                    code="not-known-in-time",
                )
        if lookup.max_age_us is not None and not place.key("event_time").is_broken:
            fix = "take `max_age` out, or name the source's event_time"
            at.key("max_age").wrong(
                "a static table has no age", expected="a source with event_time", found="none", fix=fix
            )
        return
    if project.time is None and not document.is_broken("project", "time"):
        _no_time(at.key("source"), "a lookup of a source with event_time")
    for i, column in enumerate(lookup.take):
        if (
            not waits_for(source, column)
            and not place.key("known").is_broken
            and not place.key("columns", column).is_broken
        ):
            _not_known(column, source, at.key("take").item(i))


def _check_window(window: Window, guard: _Guard, sources: dict[str, Source], names: Sequence[str]) -> None:
    document = guard.document
    at = document.at("features", "windows", window.name)
    found = at.key("source").is_broken or check_source_name(window.source, names, at.key("source"))
    source = sources.get(window.source) if found else None
    _check_key(window.key, f"windows.{window.name}", source, guard, at.key("key"))
    if guard.project.time is None and not document.is_broken("project", "time"):
        _no_time(at, "a window")
    uses = columns_at(window.where, at.key("where")) if window.where is not None else frozenset[str]()
    if source is None or uses is None:
        return
    if window.where is not None and not uses:
        fix = "name a column of the source in it, or take it out"
        at.key("where").wrong(
            "the condition uses no column", expected="an expression over columns", found=shown(window.where), fix=fix
        )
    held = [check_column(source, one, at.key("where"), place_of(one, window.where or "")) for one in sorted(uses)]
    if window.value is not None:
        held.append(check_column(source, window.value, at.key("value")))
    if not all(held) or at.key("value").is_broken:
        return
    looked_at = [window.value] if window.value is not None else [*sorted(uses), *(there for _, there in window.key)]
    place = document.at("sources", source.name)
    if place.key("known").is_broken or any(place.key("columns", column).is_broken for column in looked_at):
        return
    if window.value is not None:
        if not waits_for(source, window.value):
            _not_known(window.value, source, at.key("value"))
    elif not any(waits_for(source, column) for column in looked_at):
        at.wrong(
            f"nothing says when rows of source {source.name} become known: their past cannot be told from their future",
            expected=f"`known` on source {source.name}",
            found="none",
            fix=f'write known = "…" in [sources.{source.name}]: the column that says when a row became known',
            code="not-known-in-time",
        )


def _no_time(at: At, what: str) -> None:
    at.wrong(
        f"{what} needs a prediction time: what came before it is what it sees",
        expected="project.time",
        found="none",
        fix='write [project] time = "…": the column that says when a prediction is asked for',
    )


def _not_known(column: str, source: Source, at: At) -> None:
    at.wrong(
        f"nothing says when `{column}` of source {source.name} becomes known: its past cannot be told from its future",
        expected=f"`known` on the column or on source {source.name}",
        found="neither",
        fix=f'write {column} = {{ known = "…" }} in [sources.{source.name}.columns], or known = "…" for every row',
        code="not-known-in-time",
    )
