"""The definition's features → a program: typed, ordered, and free of everything that would not be known in time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from headrace.data.model import Field
from headrace.definition.model import Definition, Lookup, Source, Window
from headrace.features.encodings.checks import check_encodings
from headrace.features.encodings.plan import cyclic_expressions
from headrace.features.errors import FeatureError, FeatureErrors
from headrace.features.known import Instants, SourceColumns
from headrace.features.label import Label as Label
from headrace.features.label import expression_error
from headrace.features.label import label_of as label_of
from headrace.features.model import ExpressionStep, LookupStep, Program, Step, WindowStep
from headrace.features.naming import TEXT, can_take, fields_of, hop_of
from headrace.features.request import derived_steps, is_raw_input, near, request_columns
from headrace.language.errors import ExpressionError
from headrace.language.parse import parse, references
from headrace.language.tree import Node
from headrace.language.types import Type

_RESERVED = ("_row", "_label", "_label_known", "_holdout", "_group")


def build_program(definition: Definition, tables: Mapping[str, Mapping[str, Type]]) -> Program:
    """The program of a definition.

    Parameters
    ----------
    definition
        Read and checked.
    tables
        Source → column → type, of the accepted tables.

    Raises
    ------
    FeatureErrors : every mistake at once: unknown columns, wrong types, circles, and whatever would use a value before
        it is known.
    """
    return _Builder(definition, tables).build()


@dataclass
class _Feature:
    """One lookup, window or expression that waits for what it needs."""

    place: str
    needs: frozenset[str]
    what: Lookup | Window | tuple[str, str]


@dataclass
class _Builder:
    definition: Definition
    tables: Mapping[str, Mapping[str, Type]]
    errors: list[FeatureError] = field(default_factory=list)
    have: dict[str, Type] = field(default_factory=dict)
    """Columns of the row so far."""
    broken: set[str] = field(default_factory=set)
    """Names whose definition failed: what needs them is not reported again."""
    steps: list[Step] = field(default_factory=list)

    def build(self) -> Program:
        definition = self.definition
        project = definition.project
        columns = self._columns(project.source)
        self._check_names(columns)
        request = request_columns(definition, columns, self.errors)
        self.broken |= set(project.request) - {column.name for column in request}
        self.have = {column.name: column.type for column in request}
        features = self._features()
        self._resolve(features, columns)
        outputs = self._outputs(request, features)
        if self.errors:
            raise FeatureErrors(list({str(error): error for error in self.errors}.values()))
        derive, raw = derived_steps(request, columns)
        return Program(
            model=project.name,
            source=project.source,
            time=project.time,
            key=project.key,
            request=request,
            derive=derive,
            raw=raw,
            steps=tuple(self.steps),
            outputs=outputs,
        )

    def _columns(self, source: str) -> SourceColumns:
        return SourceColumns(self.definition.source(source), self.tables[source])

    def _fail(self, place: str, message: str, fix: str | None = None) -> None:
        self.errors.append(FeatureError(place, message, fix=fix))

    def _check_names(self, columns: SourceColumns) -> None:
        project, split = self.definition.project, self.definition.split
        named = [("project.key", name) for name in project.key]
        named += [(f"split.{key}", name) for key, name in (("group", split.group), ("time", split.time)) if name]
        for place, name in named:
            if name not in columns.types:
                self._fail(
                    place,
                    f"source {project.source!r} has no column {name!r}{near(name, list(columns.types))}",
                    f"take one of: {', '.join(columns.types)}",
                )
        if project.time is not None:
            self._check_instant("project.time", columns, project.time)

    def _check_instant(self, place: str, columns: SourceColumns, name: str) -> None:
        source = columns.source.name
        if name not in columns.types:
            self._fail(
                place,
                f"source {source!r} has no column {name!r}{near(name, list(columns.types))}",
                f"take one of: {', '.join(columns.types)}",
            )
        elif columns.types[name] is not Type.TIMESTAMP:
            self._fail(
                place,
                f"{name!r} of source {source!r} is a {columns.types[name]}, expected a timestamp",
                f'set {name} = {{ type = "timestamp" }} in [sources.{source}.columns], or derive a timestamp from it',
            )

    def _features(self) -> list[_Feature]:
        """Everything that waits, in the order of the definition."""
        features = self.definition.features
        found: list[_Feature] = []
        for kind, items in (("lookups", features.lookups), ("windows", features.windows)):
            found += [
                _Feature(f"features.{kind}.{item.name}", frozenset(ours for ours, _ in item.key), item)
                for item in items
            ]
        for name, text in features.expressions:
            place = f"features.expressions.{name}"
            try:
                found.append(_Feature(place, references(text), (name, text)))
            except ExpressionError as error:
                self.errors.append(expression_error(place, error))
                self.broken.add(name)
        found += self._circles()
        return self._without_clashes(found)

    def _circles(self) -> list[_Feature]:
        """The features that place instants on circles: expressions that an encoding asks for."""
        found = []
        for encoding in self.definition.features.encodings:
            type_ = self.have.get(encoding.name)
            if "cyclic" in encoding.kinds and type_ in (Type.TIMESTAMP, Type.DATE):
                place = f"features.encodings.{encoding.name}"
                made = cyclic_expressions(encoding, type_)
                found += [_Feature(place, frozenset({encoding.name}), each) for each in made]
        return found

    def _without_clashes(self, features: list[_Feature]) -> list[_Feature]:
        project = self.definition.project
        owner = dict.fromkeys(_RESERVED, "the frame")
        owner |= dict.fromkeys([*project.key, *([project.time] if project.time else [])], "the key and the time")
        owner |= dict.fromkeys(self.have, "project.request")
        kept = []
        for feature in features:
            clash = next((name for name in _gives(feature.what) if name in owner), None)
            if clash is None:
                owner |= dict.fromkeys(_gives(feature.what), feature.place)
                kept.append(feature)
            else:
                self._fail(feature.place, f"the name {clash!r} is taken by {owner[clash]}", "choose another name")
        return kept

    def _resolve(self, features: list[_Feature], columns: SourceColumns) -> None:
        """Put the steps in an order in which they can be computed: lookups and windows as soon as their keys are there,
        so that the expressions after them stand together."""
        known_names = {name for feature in features for name in _gives(feature.what)} | self.have.keys() | self.broken
        waiting = []
        for feature in features:
            strange = feature.needs - known_names
            if strange:
                self._break(feature)
                for name in sorted(strange):
                    self._explain(feature.place, name, columns, sorted(known_names))
            else:
                waiting.append(feature)
        while waiting:
            waiting = [feature for feature in waiting if not self._is_broken(feature)]
            ready = [feature for feature in waiting if feature.needs <= self.have.keys()]
            joins = [feature for feature in ready if not isinstance(feature.what, tuple)]
            if waiting and not ready:
                self._fail_circle(waiting)
                return
            for feature in joins or ready:
                waiting.remove(feature)
                self._add(feature)

    def _is_broken(self, feature: _Feature) -> bool:
        if feature.needs & self.broken:
            self._break(feature)
        return bool(feature.needs & self.broken)

    def _break(self, feature: _Feature) -> None:
        self.broken.update(_gives(feature.what))

    def _fail_circle(self, waiting: list[_Feature]) -> None:
        gives = {name: feature for feature in waiting for name in _gives(feature.what)}
        path = [waiting[0]]
        while True:
            following = gives[min(path[-1].needs & gives.keys())]
            if following in path:
                circle = [feature.place for feature in path[path.index(following) :]]
                self._fail(circle[0], f"needs itself: {' → '.join([*circle, circle[0]])}", "break the circle")
                return
            path.append(following)

    def _explain(self, place: str, name: str, columns: SourceColumns, names: list[str]) -> None:
        """Say why a name cannot be used, and what to do instead."""
        source, time = columns.source.name, self.definition.project.time
        if name not in columns.types:
            self._fail(
                place, f"there is no column or feature {name!r}{near(name, names)}", f"use one of: {', '.join(names)}"
            )
            return
        known = columns.own_known([name])
        if known:
            after = " and ".join(repr(column) for column, _ in known)
            asked = f"at {time!r}" if time else "before that"
            self._fail(
                place,
                f"{name!r} is known only after {after}, but a prediction is asked for {asked}: "
                "it would carry the future into the features",
                f'use what was known before, for example a window with source = "{source}" and value = "{name}"',
            )
        else:
            self._fail(
                place,
                f"{name!r} is a column of source {source!r}, but no request carries it",
                f"add {name!r} to [project] request if it is known when a prediction is asked for; if it becomes known "
                f'later, say so with {name} = {{ known = "…" }} and use it through a window or lookup',
            )

    def _add(self, feature: _Feature) -> None:
        before = len(self.errors)
        what = feature.what
        if isinstance(what, Lookup):
            step: Step | None = self._lookup(feature.place, what)
        elif isinstance(what, Window):
            step = self._window(feature.place, what)
        else:
            step = self._expression(feature.place, *what)
        if step is None or len(self.errors) > before:
            self._break(feature)
            return
        self.steps.append(step)
        self.have |= {column.name: column.type for column in fields_of(step)}

    def _expression(self, place: str, name: str, text: str) -> Step | None:
        try:
            node = parse(text, self.have)
        except ExpressionError as error:
            self.errors.append(expression_error(place, error))
            return None
        return ExpressionStep(name=name, type=node.type, node=node)

    def _lookup(self, place: str, lookup: Lookup) -> Step | None:
        columns = self._columns(lookup.source)
        source = columns.source
        if not self._check_columns(place, columns, lookup.key, lookup.take):
            return None
        used = [*lookup.take, *(theirs for _, theirs in lookup.key)]
        if source.event_time is None:
            self._check_static(place, lookup, columns, columns.known(used))
            known: Instants = ()
        else:
            self._check_instant(f"sources.{source.name}.event_time", columns, source.event_time)
            known = self._known(place, columns, [*used, source.event_time])
        return LookupStep(
            name=lookup.name,
            source=lookup.source,
            key=lookup.key,
            take=tuple((column, columns.types[column]) for column in lookup.take),
            event_time=source.event_time,
            known_after=known,
            max_age_us=lookup.max_age_us,
        )

    def _check_static(self, place: str, lookup: Lookup, columns: SourceColumns, known: Instants) -> None:
        name = columns.source.name
        if known:
            self._fail(
                place,
                f"source {name!r} says when it is known but has no event_time, so there is no newest row",
                f"set event_time in [sources.{name}]",
            )
        if lookup.max_age_us is not None:
            self._fail(place, f"max_age needs an event_time, and source {name!r} is a static table", "take max_age out")

    def _window(self, place: str, window: Window) -> Step | None:
        columns = self._columns(window.source)
        values = [] if window.value is None else [window.value]
        if not self._check_columns(place, columns, window.key, values):
            return None
        used = [*values, *(theirs for _, theirs in window.key)]
        where = None
        if window.where is not None:
            where = self._where(f"{place}.where", window.where, columns)
            if where is None:
                return None
            used += sorted(references(window.where))
        event_time = columns.source.event_time if {"first", "last"} & set(window.take) else None
        if event_time is not None:
            self._check_instant(f"sources.{window.source}.event_time", columns, event_time)
            used.append(event_time)
        value_type = Type.INTEGER if window.value is None else columns.types[window.value]
        for aggregate in window.take:
            if not can_take(aggregate, value_type):
                self._fail(
                    place,
                    f"{aggregate} of {window.value!r}: no {aggregate} of a {value_type}",
                    'take = ["count"] works on every type',
                )
        return WindowStep(
            name=window.name,
            source=window.source,
            key=window.key,
            value=window.value,
            value_type=value_type,
            where=where,
            event_time=event_time,
            known_after=self._known(place, columns, used),
            over=_with_hops(window.over_text, window.over_us),
            half_lives=_with_hops(window.half_life_text, window.half_life_us),
            take=window.take,
        )

    def _where(self, place: str, text: str, columns: SourceColumns) -> Node | None:
        """The condition of a window over the columns of its source."""
        try:
            node = parse(text, columns.types)
        except ExpressionError as error:
            self.errors.append(expression_error(place, error))
            return None
        if node.type is not Type.BOOLEAN:
            self._fail(place, f"{text!r} is a {node.type}, expected a condition", f'compare it: where = "{text} > 0"')
            return None
        return node

    def _known(self, place: str, columns: SourceColumns, used: list[str]) -> Instants:
        """When the rows are known; refused when nothing says it, or when the row has no prediction time."""
        source: Source = columns.source
        known = columns.known(used)
        if self.definition.project.time is None:
            self._fail(
                place,
                f"source {source.name!r} changes with time, but the project has no prediction time",
                "set [project] time to the column that says when a prediction is asked for",
            )
        if not known:
            after = source.event_time or "COLUMN"
            self._fail(
                place,
                f"nothing says when rows of source {source.name!r} become known",
                f'set known = {{ after = "{after}", delay = "…" }} in [sources.{source.name}], or `known` on the '
                "columns that are taken",
            )
        for name, _ in known:
            self._check_instant(f"sources.{source.name}.known", columns, name)
        return known

    def _check_columns(
        self, place: str, columns: SourceColumns, key: tuple[tuple[str, str], ...], taken: tuple[str, ...] | list[str]
    ) -> bool:
        before = len(self.errors)
        for name in dict.fromkeys([*(theirs for _, theirs in key), *taken]):
            if name not in columns.types:
                self._fail(
                    place,
                    f"source {columns.source.name!r} has no column {name!r}{near(name, list(columns.types))}",
                    f"take one of: {', '.join(columns.types)}",
                )
        for ours, theirs in key:
            if theirs in columns.types:
                self._check_key(place, ours, self.have[ours], theirs, columns)
        return len(self.errors) == before

    def _check_key(self, place: str, ours: str, our_type: Type, theirs: str, columns: SourceColumns) -> None:
        their_type = columns.types[theirs]
        both_text = our_type in TEXT and their_type in TEXT
        if our_type is not their_type and not both_text:
            self._fail(
                place,
                f"the key compares {ours!r}, a {our_type}, with {theirs!r} of source {columns.source.name!r}, "
                f"a {their_type}",
                f'give both one type in their [sources.….columns]: {theirs} = {{ type = "{our_type}" }}',
            )
        elif our_type is Type.FLOAT:
            self._fail(
                place,
                f"the key {ours!r} is a float, and floats are no keys",
                "make it an integer or a text on both sides",
            )

    def _outputs(self, request: tuple[Field, ...], features: list[_Feature]) -> tuple[Field, ...]:
        """Request columns in order, then lookups, windows and expressions as they were written."""
        names = [column.name for column in request] + [name for feature in features for name in _gives(feature.what)]
        for dropped in self.definition.features.drop:
            if dropped not in names and dropped not in self.broken:
                self._fail(
                    "features.drop",
                    f"there is no request column or feature {dropped!r}{near(dropped, names)}",
                    f"take one of: {', '.join(names)}",
                )
        unwanted = {*self.definition.features.drop, self.definition.project.time}
        outputs = tuple(
            column
            for name in names
            if name in self.have and name not in unwanted
            for column in [Field(name=name, type=self.have[name])]
            if is_raw_input(column)
        )
        if self.definition.features.encodings:
            carried = frozenset(column.name for column in request)
            check_encodings(self.definition.features, self.have, self.broken, outputs, carried, self._fail)
        if not outputs and not self.errors:
            self._fail("features", "the model has no inputs", "name columns in [project] request, or define features")
        return outputs


def _with_hops(texts: Sequence[str], widths_us: Sequence[int]) -> tuple[tuple[str, int, int], ...]:
    return tuple((text, width, hop_of(width)) for text, width in zip(texts, widths_us, strict=True))


def _gives(what: Lookup | Window | tuple[str, str]) -> tuple[str, ...]:
    """The names of the features, without their types."""
    match what:
        case Lookup():
            return tuple(f"{what.name}_{column}" for column in what.take)
        case Window():
            return what.names
        case (name, _):
            return (name,)
