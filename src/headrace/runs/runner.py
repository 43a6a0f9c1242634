"""The runner: one execution of the pipeline, stage by stage, each skipped when done and committed whole.

What a killed run leaves: whole blobs under their content's name, which nothing refers to yet, parts that a stage
recorded, and rows that say "running". The next run of the project marks those interrupted and goes on: outcomes are
found by their fingerprint, parts by the fingerprint of the stage that was in progress.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

import msgspec

from headrace.cost.prices import PriceBook, price_usage
from headrace.errors import HeadraceError
from headrace.runs.fingerprint import as_json, fingerprint_of
from headrace.runs.lease import TERM, FencedCatalog, Term, leased
from headrace.runs.memory import hold_polars_to, memory_of
from headrace.runs.meter import Consumption, Meter
from headrace.runs.model import Fingerprint, Memory, Progress, RunId, RunState, StageContext, StageState, Usage
from headrace.runs.place import discard, encode_owner, hold, is_disk_full, this_process
from headrace.runs.stage import WorkingStage, object_refs
from headrace.stores import durable
from headrace.stores.catalog import Catalog, Reader, Row, Writer
from headrace.stores.errors import StoreFull
from headrace.stores.objects import ObjectStore

T = TypeVar("T", bound=msgspec.Struct)


class Ticket(Protocol):
    """What asked for a run: told of its beginning and end in the very transactions that record them."""

    def begin(self, writer: Writer, run_id: RunId, now_us: int) -> None:
        """The run begins; what this raises refuses it."""
        ...

    def end(self, writer: Writer, run_id: RunId, now_us: int, error: BaseException | None) -> None:
        """The run ended, by `error` unless that is None."""
        ...


class Listener(Protocol):
    """Told of a run as it goes; it never raises, and never waits for long."""

    def run_started(self, run_id: RunId, at_us: int) -> None: ...
    def run_ended(self, run_id: RunId, at_us: int, error: BaseException | None) -> None: ...
    def stage_started(self, run_id: RunId, stage: str, at_us: int) -> None: ...
    def stage_ended(
        self, run_id: RunId, stage: str, at_us: int, outcome: object, usage: Usage | None, error: BaseException | None
    ) -> None: ...


INTERRUPTED = "interrupted"
SPILL = "spill"
"""Folder beside the working folder, for what does not fit into memory."""
DIED = "its process ended before the run did"


class Runner:
    """Runs of one project.

    Parameters
    ----------
    catalog, objects
        Where outcomes and their data are kept.
    project
        The definition's project name.
    clock
        Microseconds since 1970 UTC.
    new_id
        A new run id at each call.
    prices
        What the used seconds and bytes cost.
    progress
        Where to say how far it is.
    workdir
        `<project>/.headrace/work`: held by one process at a time.
    code_roots
        Where the source of the rooms is found, for fingerprints; the installed package when empty.
    term
        Of the project's lease.
    ticket
        What asked for the run and is settled with it, such as a time of a schedule.
    listener
        Who is told of runs and stages beside `progress`.
    memory
        What a run may hold; most of what the machine has free when left out.
    """

    def __init__(
        self,
        catalog: Catalog,
        objects: ObjectStore,
        project: str,
        *,
        clock: Callable[[], int],
        new_id: Callable[[], str],
        prices: PriceBook,
        progress: Progress,
        workdir: Path,
        code_roots: Sequence[Path] = (),
        term: Term = TERM,
        ticket: Ticket | None = None,
        listener: Listener | None = None,
        memory: Memory | None = None,
    ) -> None:
        self.catalog = FencedCatalog(catalog)
        self.objects = objects
        self.project = project
        self.clock = clock
        self.new_id = new_id
        self.prices = prices
        self.progress = progress
        self.workdir = workdir
        self.code_roots = tuple(code_roots)
        self.term = term
        self.ticket = ticket
        self.listener = listener
        self.memory = memory or memory_of(None, {})

    @contextmanager
    def run(self, definition_sha256: str) -> Iterator[Run]:
        """One run. Leaving the block ends it: done, or failed or interrupted by the exception that left it.

        Raises
        ------
        RunInProgress : another process runs this project, from this folder or on another machine.
        """
        with (
            hold(self.workdir, self.project, self.new_id()) as place,
            leased(self.catalog, self.project, this_process(place), clock=self.clock, term=self.term),
        ):
            hold_polars_to(self.memory, self.workdir.parent / SPILL)
            run = Run(self, RunId(self.new_id()))
            with self.catalog.write() as writer:
                if self.ticket is not None:
                    self.ticket.begin(writer, run.id, self.clock())
                self._mark_dead(writer)
                row: Row = {"project": self.project, "id": run.id, "state": "running", "started_us": self.clock()}
                row |= {"definition_sha256": definition_sha256, "result": encode_owner(this_process(place))}
                writer.insert("runs", row)
            if self.listener is not None:
                self.listener.run_started(run.id, self.clock())
            try:
                yield run
                if not run.is_finished:
                    run.finish({})
            except BaseException as error:
                run.fail(error)
                self._tell_end(run.id, error)
                raise
            else:
                self._tell_end(run.id, None)
            finally:
                discard(self.workdir / run.id)

    def _tell_end(self, run_id: RunId, error: BaseException | None) -> None:
        if self.listener is not None:
            self.listener.run_ended(run_id, self.clock(), error)

    def _mark_dead(self, writer: Writer) -> None:
        """Mark runs that still say running as interrupted: who holds the lease is the only one that can commit."""
        running: Row = {"project": self.project, "state": "running"}
        for row in writer.select("runs", running):
            stages: Row = {"project": self.project, "run_id": row["id"], "state": "running"}
            writer.update("stages", stages, {"state": "failed", "error": INTERRUPTED})
        writer.update("runs", running, {"state": "interrupted", "result": None, "error": DIED})


class _Stage(NamedTuple):
    """A stage's place in its run."""

    position: int
    name: str
    fingerprint: Fingerprint


class _Done(NamedTuple):
    """An outcome found in the catalog."""

    value: Any
    """None when it cannot be used."""
    usage: str
    made_us: int
    flaw: str | None
    """Why the stage must be computed again all the same."""


class _Executed(NamedTuple):
    """What one execution of a stage made."""

    outcome: msgspec.Struct
    usage: Usage
    kept: set[str]


class Run:
    """One run in progress; `Runner.run` makes it."""

    def __init__(self, runner: Runner, run_id: RunId) -> None:
        self.id = run_id
        self.is_finished = False
        self.stages_done = 0
        """Stages that this run computed rather than found."""
        self.cost_usd = 0.0
        """What they cost."""
        self._runner = runner
        self._position = 0
        self._verified: set[str] = set()

    def stage(
        self,
        name: str,
        *,
        depends: Mapping[str, Any],
        rooms: Sequence[str],
        compute: Callable[[StageContext], T],
        kind: type[T],
    ) -> T:
        """The outcome of a stage: from the catalog when its fingerprint is done and its objects exist, else computed.

        Parameters
        ----------
        name
            What the stage does, for people.
        depends
            What the outcome depends on: the definition part, content ids of the inputs.
        rooms
            Our packages whose code makes the outcome, such as `data`.
        compute
            The work. What it returns is the outcome; data goes to `StageContext.keep`.
        kind
            The struct that `compute` returns. It comes back decoded from what was stored, so that a computed outcome
            and one from the catalog are the same.
        """
        runner = self._runner
        stage = _Stage(self._position, name, fingerprint_of(name, depends, rooms, roots=runner.code_roots))
        self._position += 1
        with runner.catalog.read() as reader:
            done = self._find(reader, stage.fingerprint, kind)
        if done is not None and done.flaw is None:
            used = msgspec.json.decode(done.usage, type=Usage)
            self._begin(stage, "cached", done.usage)
            self._tell_start(stage)
            self._tell_end(stage, done.value, used)
            runner.progress.stage_ended(name, "cached", used)
            return done.value  # type: ignore[no-any-return]  # decoded as `kind`
        if done is not None:
            runner.progress.say(f"{name} is computed again: {done.flaw}")
        self._begin(stage, "running")
        self._tell_start(stage)
        runner.progress.stage_started(name)
        try:
            executed = self._execute(stage, compute)
            value = self._commit(stage, executed, kind, done)
        except BaseException as error:
            runner.progress.stage_ended(name, "failed", None)
            self._tell_end(stage, None, None, error)
            raise
        self.stages_done += 1
        self.cost_usd += executed.usage.cost_usd
        runner.progress.stage_ended(name, "done", executed.usage)
        self._tell_end(stage, value, executed.usage)
        return value

    def finish(self, result: Mapping[str, Any]) -> None:
        """End the run as done, with what `run --json` prints of it."""
        self._end("done", result=as_json(result, "the result of the run"))
        self.is_finished = True

    def fail(self, error: BaseException) -> None:
        """End the run by an exception. Where it cannot be written down any more, the next run marks this one."""
        if self.is_finished:
            return
        is_failure = isinstance(error, Exception)
        text = f"{error.code}: {error.message}" if isinstance(error, HeadraceError) else type(error).__name__
        with suppress(HeadraceError):  # `error` is the one to report
            state: RunState = "failed" if is_failure else "interrupted"
            self._end(state, error=text if is_failure else INTERRUPTED, cause=error)

    def _tell_start(self, stage: _Stage) -> None:
        if (listener := self._runner.listener) is not None:
            listener.stage_started(self.id, stage.name, self._runner.clock())

    def _tell_end(
        self, stage: _Stage, outcome: object, usage: Usage | None, error: BaseException | None = None
    ) -> None:
        if (listener := self._runner.listener) is not None:
            listener.stage_ended(self.id, stage.name, self._runner.clock(), outcome, usage, error)

    def _end(
        self,
        state: RunState,
        *,
        result: str | None = None,
        error: str | None = None,
        cause: BaseException | None = None,
    ) -> None:
        now_us = self._runner.clock()
        run: Row = {"project": self._runner.project, "id": self.id}
        stages: Row = {"project": self._runner.project, "run_id": self.id, "state": "running"}
        with self._runner.catalog.write() as writer:
            writer.update("stages", stages, {"state": "failed", "ended_us": now_us, "error": error})
            writer.update("runs", run, {"state": state, "ended_us": now_us, "result": result, "error": error})
            if self._runner.ticket is not None:
                self._runner.ticket.end(writer, self.id, now_us, cause)

    def _find(self, reader: Reader, fingerprint: Fingerprint, kind: type[Any]) -> _Done | None:
        """The outcome under this fingerprint, and whether it can be used."""
        owner: Row = {"project": self._runner.project, "fingerprint": fingerprint}
        row = reader.get("outcomes", owner)
        if row is None:
            return None
        value, flaw = None, None
        try:
            value = msgspec.json.decode(str(row["outcome"]), type=kind)
        except msgspec.DecodeError:
            flaw = "its recorded outcome is of another form"
        for entry in reader.select("outcome_objects", owner, order_by=("key",)):
            key = str(entry["key"])
            if flaw is None and not self._runner.objects.exists(key):
                flaw = f"object {key} is no longer in the store"
        return _Done(value, str(row["usage"]), int(row["made_us"] or 0), flaw)

    def _begin(self, stage: _Stage, state: StageState, usage: str | None = None) -> None:
        """Write the stage's row."""
        now_us = self._runner.clock()
        row: Row = {"project": self._runner.project, "run_id": self.id, **stage._asdict()}
        row |= {"state": state, "usage": usage, "started_us": now_us, "ended_us": None if usage is None else now_us}
        with self._runner.catalog.write() as writer:
            writer.insert("stages", row)

    def _execute(self, stage: _Stage, compute: Callable[[StageContext], msgspec.Struct]) -> _Executed:
        """Do the work in a folder of its own, metered."""
        runner = self._runner
        workdir = runner.workdir / self.id / str(stage.position)
        with durable.translated(str(workdir)):
            workdir.mkdir(parents=True)
        context = WorkingStage(
            catalog=runner.catalog,
            objects=runner.objects,
            project=runner.project,
            name=stage.name,
            fingerprint=stage.fingerprint,
            workdir=workdir,
            clock=runner.clock,
            progress=runner.progress,
            verified=self._verified,
            memory=runner.memory,
        )
        meter = Meter()
        try:
            outcome = compute(context)
        except Exception as error:
            if is_disk_full(error, workdir) and not isinstance(error, HeadraceError):
                raise StoreFull(str(workdir)) from error
            raise
        finally:
            used = meter.stop()
            discard(workdir)
        return _Executed(outcome, self._usage(used, context), context.kept)

    def _usage(self, used: Consumption, context: WorkingStage) -> Usage:
        """What the stage used, with its price: memory counts as if its peak had been held all the time."""
        cost_usd, price_id = price_usage(
            self._runner.prices,
            cpu_s=used.cpu_s,
            memory_byte_s=used.peak_memory_bytes * used.wall_s,
            at_us=self._runner.clock(),
        )
        return Usage(
            wall_s=used.wall_s,
            cpu_s=used.cpu_s,
            peak_memory_bytes=used.peak_memory_bytes,
            bytes_in=context.bytes_in,
            bytes_out=context.bytes_out,
            rows_in=context.rows_in,
            rows_out=context.rows_out,
            cost_usd=cost_usd,
            price_id=price_id,
        )

    def _commit(self, stage: _Stage, executed: _Executed, kind: type[T], before: _Done | None) -> T:
        """Write outcome, its objects and the stage's end, and drop its parts, in one transaction.

        When another process has committed the same stage meanwhile, its outcome is taken: all go on from one. `before`
        is an unusable outcome that this one replaces.
        """
        text = as_json(executed.outcome, f"the outcome of stage {stage.name!r}")
        usage = as_json(executed.usage)
        now_us = self._runner.clock()
        owner: Row = {"project": self._runner.project, "fingerprint": stage.fingerprint}
        row: Row = {**owner, "name": stage.name, "outcome": text, "usage": usage, "made_us": now_us}
        with self._runner.catalog.write() as writer:
            if before is not None:
                writer.delete("outcomes", {**owner, "made_us": before.made_us})
            if writer.insert_if_absent("outcomes", row):
                writer.delete("outcome_objects", owner)
                for key in sorted(executed.kept | {ref.key for ref in object_refs(executed.outcome)}):
                    writer.insert("outcome_objects", {**owner, "key": key})
            else:
                text = str((writer.get("outcomes", owner) or row)["outcome"])
            writer.delete("parts", owner)
            at: Row = {"project": self._runner.project, "run_id": self.id, "position": stage.position}
            writer.update("stages", at, {"state": "done", "ended_us": now_us, "usage": usage})
        return msgspec.json.decode(text, type=kind)
