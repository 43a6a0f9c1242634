"""A run as OpenLineage events: the run and each of its stages, the data they read and made, and what its quality was.

A listener of the runner; stages know nothing of it. Facets follow the OpenLineage specification 2-0-2; run ids are
UUIDs made of our own ids, so that the events of one run are found by its name. No cell value is told: assertions are
counts.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import msgspec

from headrace.data.model import CheckedSource, QualityReport, Snapshot
from headrace.definition.model import Definition, Source
from headrace.definition.secrets import redact
from headrace.errors import HeadraceError
from headrace.operations.events import Events
from headrace.runs.model import RunId, Usage

PRODUCER = "https://pypi.org/project/headrace/"
_SPEC = "https://openlineage.io/spec"
_EVENT = f"{_SPEC}/2-0-2/OpenLineage.json#/$defs/RunEvent"
_FACETS = {
    "parent": "1-2-0/ParentRunFacet",
    "errorMessage": "1-0-1/ErrorMessageRunFacet",
    "processing_engine": "1-1-1/ProcessingEngineRunFacet",
    "jobType": "2-0-4/JobTypeJobFacet",
    "schema": "1-2-0/SchemaDatasetFacet",
    "dataSource": "1-0-1/DatasourceDatasetFacet",
    "version": "1-0-1/DatasetVersionDatasetFacet",
    "dataQualityMetrics": "1-0-3/DataQualityMetricsInputDatasetFacet",
    "dataQualityAssertions": "1-1-0/DataQualityAssertionsDatasetFacet",
    "outputStatistics": "1-0-2/OutputStatisticsOutputDatasetFacet",
}

EventType = Literal["START", "COMPLETE", "FAIL", "ABORT"]
Facets = dict[str, dict[str, Any]]


class _Struct(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The specification's names on the wire."""


class EventRun(_Struct, frozen=True, kw_only=True):
    """Which execution."""

    run_id: str
    facets: Facets = {}


class EventJob(_Struct, frozen=True, kw_only=True):
    """Of what: the project, or one of its stages."""

    namespace: str
    name: str
    facets: Facets = {}


class Input(_Struct, frozen=True, kw_only=True):
    """Data that was read."""

    namespace: str
    name: str
    facets: Facets = {}
    input_facets: Facets = {}


class Output(_Struct, frozen=True, kw_only=True):
    """Data that was made."""

    namespace: str
    name: str
    facets: Facets = {}
    output_facets: Facets = {}


class RunEvent(_Struct, frozen=True, kw_only=True):
    """One event."""

    event_type: EventType
    event_time: str
    run: EventRun
    job: EventJob
    inputs: tuple[Input, ...] = ()
    outputs: tuple[Output, ...] = ()
    producer: str = PRODUCER
    schema_url: str = msgspec.field(default=_EVENT, name="schemaURL")


class LineageEvents:
    """Tells a run as it goes: `headrace.runs.runner.Listener`.

    Parameters
    ----------
    events
        Takes the encoded events; never raises, never waits for long.
    """

    def __init__(self, definition: Definition, root: Path, namespace: str, *, events: Events) -> None:
        self._definition = definition
        self._root = root
        self._namespace = namespace
        self._project = definition.project.name
        self._events = events
        self._tables: list[Input] = []

    def run_started(self, run_id: RunId, at_us: int) -> None:
        """The run begins."""
        self._tables = []
        self._emit("START", at_us, run_id)

    def run_ended(self, run_id: RunId, at_us: int, error: BaseException | None) -> None:
        """The run ended."""
        self._emit(_ending(error), at_us, run_id, error=error)
        self._events.close()

    def stage_started(self, run_id: RunId, stage: str, at_us: int) -> None:
        """A stage begins."""
        self._emit("START", at_us, run_id, stage)

    def stage_ended(
        self, run_id: RunId, stage: str, at_us: int, outcome: object, usage: Usage | None, error: BaseException | None
    ) -> None:
        """A stage ended, with an outcome or by an error."""
        inputs, outputs = self._datasets(stage, outcome, usage)
        self._emit(_ending(error), at_us, run_id, stage, error=error, inputs=inputs, outputs=outputs)

    def _emit(
        self,
        kind: EventType,
        at_us: int,
        run_id: RunId,
        stage: str | None = None,
        *,
        error: BaseException | None = None,
        inputs: Sequence[Input] = (),
        outputs: Sequence[Output] = (),
    ) -> None:
        facets = {"processing_engine": _facet("processing_engine", name="headrace", version=version("headrace"))}
        if stage is not None:
            parent = {
                "run": {"runId": self._uuid(run_id)},
                "job": {"namespace": self._namespace, "name": self._project},
            }
            facets["parent"] = _facet("parent", **parent)
        if error is not None:
            text = error.message if isinstance(error, HeadraceError) else type(error).__name__
            facets["errorMessage"] = _facet("errorMessage", message=text, programmingLanguage="PYTHON")
        job_type = "STAGE" if stage is not None else "RUN"
        job_facet = _facet("jobType", processingType="BATCH", integration="HEADRACE", jobType=job_type)
        name = self._project if stage is None else f"{self._project}.{stage}"
        event = RunEvent(
            event_type=kind,
            event_time=dt.datetime.fromtimestamp(at_us / 1e6, dt.UTC).isoformat(),
            run=EventRun(run_id=self._uuid(run_id, stage), facets=facets),
            job=EventJob(namespace=self._namespace, name=name, facets={"jobType": job_facet}),
            inputs=tuple(inputs),
            outputs=tuple(outputs),
        )
        self._events.send(msgspec.json.encode(event))

    def _uuid(self, run_id: RunId, stage: str | None = None) -> str:
        return str(uuid.uuid5(uuid.NAMESPACE_URL, "/".join(("headrace", self._project, run_id, stage or ""))))

    def _datasets(self, stage: str, outcome: object, usage: Usage | None) -> tuple[Sequence[Input], Sequence[Output]]:
        match outcome:
            case Snapshot():
                source = self._definition.source(outcome.source)
                facets: Facets = {
                    "schema": _facet("schema", fields=[{"name": name} for name in outcome.columns]),
                    "version": _facet("version", datasetVersion=outcome.ref.sha256),
                }
                return [self._source(source)], [
                    self._output("snapshots", outcome.source, facets, outcome.rows, outcome.ref.size)
                ]
            case CheckedSource():
                table = outcome.table
                fields = [{"name": field.name, "type": str(field.type)} for field in table.fields]
                facets = {
                    "schema": _facet("schema", fields=fields),
                    "version": _facet("version", datasetVersion=table.ref.sha256),
                }
                made = self._output("tables", table.source, facets, table.rows, table.ref.size)
                self._tables.append(Input(namespace=made.namespace, name=made.name, facets=facets))
                read = Input(
                    namespace=self._namespace,
                    name=f"{self._project}.snapshots.{table.source}",
                    input_facets=_quality(outcome.report),
                )
                return [read], [made]
        if stage == "assemble":
            rows = None if usage is None else usage.rows_out
            return self._tables, [self._output("frames", "training", {}, rows, None)] if outcome is not None else []
        if stage in ("search", "compile", "evaluate"):
            frame = Input(namespace=self._namespace, name=f"{self._project}.frames.training")
            return [frame], [
                self._output("packages", "model", {}, None, None)
            ] if stage == "compile" and outcome else []
        return [], []

    def _output(self, kind: str, name: str, facets: Facets, rows: int | None, size: int | None) -> Output:
        counts = {"rowCount": rows, "size": size}
        statistics = _facet("outputStatistics", **{key: value for key, value in counts.items() if value is not None})
        return Output(
            namespace=self._namespace,
            name=f"{self._project}.{kind}.{name}",
            facets=facets,
            output_facets={"outputStatistics": statistics},
        )

    def _source(self, source: Source) -> Input:
        """A source by the names that OpenLineage gives to places: no credential is among them."""
        address = redact(source.read[0]) if source.read else source.name
        parts = urlsplit(address)
        if not parts.scheme or parts.scheme == "file":
            namespace, name = "file", str(self._root.absolute() / address.removeprefix("file://"))
        else:
            namespace, name = (
                f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}",
                parts.path.lstrip("/") or source.name,
            )
        return Input(
            namespace=namespace,
            name=name,
            facets={"dataSource": _facet("dataSource", name=source.name, uri=f"{namespace}:{name}")},
        )


def _quality(report: QualityReport) -> Facets:
    assertions = [
        {
            "assertion": rule.kind,
            "success": rule.passed,
            "severity": "error" if rule.on_fail == "fail" else "warn",
            "name": rule.rule,
            "actual": str(rule.failed),
            **({} if rule.column is None else {"column": rule.column}),
        }
        for rule in report.rules
    ]
    return {
        "dataQualityMetrics": _facet("dataQualityMetrics", rowCount=report.read, columnMetrics={}),
        "dataQualityAssertions": _facet("dataQualityAssertions", assertions=assertions),
    }


def _facet(kind: str, /, **values: Any) -> dict[str, Any]:
    path = _FACETS[kind]
    url = f"{_SPEC}/facets/{path}.json#/$defs/{path.partition('/')[2]}"
    return {"_producer": PRODUCER, "_schemaURL": url, **values}


def _ending(error: BaseException | None) -> EventType:
    if error is None:
        return "COMPLETE"
    return "FAIL" if isinstance(error, Exception) else "ABORT"
