"""`headrace.toml` → `Definition`, or every mistake in it at once."""

from __future__ import annotations

from pathlib import Path

from headrace.definition import build
from headrace.definition.build_schedule import build_lineage, build_schedule
from headrace.definition.build_training import asked_for, build_training
from headrace.definition.check_features import check_features
from headrace.definition.check_sources import check_sources
from headrace.definition.combines import check_combines
from headrace.definition.conversions import attach_rates, build_rates
from headrace.definition.document import Document, load
from headrace.definition.errors import DefinitionErrors
from headrace.definition.grammar import DEFINITION, ONLINE, PROJECT, SERVING, STORES, TRUST
from headrace.definition.kinds import Fields, Section
from headrace.definition.model import Definition, Features, Project, Stores


def read_definition(path: Path) -> Definition:
    """Read and check a definition.

    Nothing but the file is looked at: what depends on the data (whether a column exists, the types of an expression) is
    checked when a run meets it.

    Raises
    ------
    DefinitionErrors : all mistakes, each with line, key, expected, found and fix.
    """
    document = load(path)
    definition = _checked(document, path)
    if document.mistakes:
        raise DefinitionErrors(document.mistakes)
    return definition


def read_stores(path: Path) -> tuple[str, Stores]:
    """The project's name and its stores, for commands that only look at what is recorded: expressions stay unread.

    Raises
    ------
    DefinitionErrors : the file is no TOML, or one of these two is wrong.
    """
    document = load(path)
    project, stores = document.table.get("project", {}), document.table.get("stores", {})
    project_fields = PROJECT.read(project, document.at("project")) or Fields(document.at("project"), {})
    stores_fields = STORES.read(stores, document.at("stores")) or Fields(document.at("stores"), {})
    name = build.project_name(project_fields, _folder(path))
    read = build.build_stores(stores_fields)
    if document.is_broken("project", "name") or document.is_broken("stores"):
        raise DefinitionErrors(document.mistakes)
    return name, read


def read_serving(path: Path) -> Definition:
    """What a prediction server goes by: the project's name, its stores, `[online]`, `[serving]` and `[trust]`.

    Nothing else of the file is looked at. A packed server's has no sources, and then its project's source is "".

    Raises
    ------
    DefinitionErrors : every mistake in these sections.
    """
    document = load(path)

    def section(name: str, grammar: Section) -> Fields:
        at = document.at(name)
        return grammar.read(document.table.get(name, {}), at) or Fields(at, {})

    project = section("project", PROJECT)
    declared = document.table.get("sources")
    source = next(iter(declared), "") if isinstance(declared, dict) else ""
    known = Project(name=build.project_name(project, _folder(path)), source=source, **project.only("key", "request"))
    definition = Definition(
        format=1,
        project=known,
        sources=(),
        stores=build.build_stores(section("stores", STORES)),
        online=build.build_online(section("online", ONLINE)),
        serving=build.build_serving(section("serving", SERVING), known),
        trust=build.build_trust(section("trust", TRUST)),
    )
    if document.mistakes:
        raise DefinitionErrors(document.mistakes)
    return definition


def _folder(path: Path) -> str:
    return path.absolute().parent.name


def _checked(document: Document, path: Path) -> Definition:
    fields = DEFINITION.read(dict(document.table), document.at()) or Fields(document.at(), {})

    def section(name: str) -> Fields:
        return fields.get(name) or Fields(document.at(name), {})

    declared = document.table.get("sources")
    names = list(declared) if isinstance(declared, dict) else []
    if declared == {}:
        document.at("sources").wrong(
            "there is no source",
            expected="at least one",
            found="none",
            fix='write [sources.rows] with read = "data/rows.csv"',
            code="missing-key",
        )
    sources = tuple(build.build_source(name, inner) for name, inner in fields.get("sources", ()))
    check_combines(sources, names, document)
    project = build.build_project(section("project"), _folder(path), names)
    rates = build_rates(fields.get("currencies")) if "currencies" in fields.values else None
    has_costs = document.has("costs")
    costs = build.build_costs(fields.get("costs"), project) if "costs" in fields.values else None
    training = build_training(section("training"), project, costs)
    project = asked_for(project, training)
    definition = Definition(
        format=1,
        project=project,
        sources=check_sources(attach_rates(sources, rates, names, document), names, document),
        features=build.build_features(section("features")) if "features" in fields.values else Features(auto=True),
        split=build.build_split(section("split"), project),
        training=training,
        costs=costs,
        selection=build.build_selection(section("selection"), has_costs),
        evaluation=build.build_evaluation(section("evaluation"), project),
        stores=build.build_stores(section("stores")),
        online=build.build_online(section("online")),
        serving=build.build_serving(section("serving"), project),
        trust=build.build_trust(section("trust")),
        schedule=build_schedule(fields.get("schedule")) if "schedule" in fields.values else None,
        lineage=build_lineage(fields.get("lineage")) if "lineage" in fields.values else None,
    )
    return check_features(definition, names, document)
