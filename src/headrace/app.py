"""The composition root: opens the stores that a definition names and hands them to the stations as arguments.

This is the only place where URLs become adapters and where the clock, the environment and fresh identities enter.
"""

from __future__ import annotations

import hashlib
import os
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from headrace.definition.find import find_project
from headrace.definition.lock import Lock
from headrace.definition.lockfile import read_lock
from headrace.definition.model import Definition, Lineage, Online, Serving, Stores, Trust

if TYPE_CHECKING:
    from datetime import date

    import polars as pl

    from headrace.data.combine.explain import Explanation
    from headrace.data.correction_log import Correction
    from headrace.data.first import Proposal
    from headrace.data.matching.model import MatchedSource
    from headrace.data.model import CheckedSource, Table
    from headrace.features.certificate import Certificate
    from headrace.features.explain import Explained, Listed
    from headrace.features.materialize import Materialized
    from headrace.features.model import Frame, Program
    from headrace.features.online import OnlineHistory
    from headrace.governance.signing import SigningKey
    from headrace.language.types import Type
    from headrace.operations.times import Times
    from headrace.registry.versions import Registry
    from headrace.runs.model import ObjectRef, Progress
    from headrace.runs.runner import Listener, Runner, Ticket
    from headrace.scoring.batch import Scored
    from headrace.scoring.scorer import Scorer
    from headrace.service import Service
    from headrace.serving.log.outcomes import Joined
    from headrace.stages.model import Checked, Outcome, Workspace
    from headrace.stores.catalog import Catalog, Reader
    from headrace.stores.objects import ObjectStore
    from headrace.stores.online import OnlineStore
    from headrace.stores.tables import TableStore

Features: TypeAlias = Literal["history", "online"]
WORKDIR = ".headrace/work"
REPORTS = ".headrace/reports"
SPOOL = ".headrace/lineage"
PREDICTION_LOG = ".headrace/serving/log"


def now_us() -> int:
    """Microseconds since 1970, by the system's clock."""
    return time.time_ns() // 1000


def new_run_id() -> str:
    """A run's name: sorts by time, twelve characters of it random."""
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
    return f"{stamp}-{uuid.uuid4().hex[:6]}"


@dataclass(frozen=True)
class Project:
    """A project that has been opened: its definition, read and checked, and its stores, opened when first used.

    Examples
    --------
    >>> project = Project.open("examples/flights")  # doctest: +SKIP
    >>> outcome = project.run()  # doctest: +SKIP
    >>> project.load("flight-delays@champion").predict([{"carrier": "UA", ...}])  # doctest: +SKIP
    """

    path: Path
    """Of `headrace.toml`."""
    definition: Definition
    environment: Mapping[str, str]

    @classmethod
    def open(
        cls,
        path: str | Path | None = None,
        *,
        environment: Mapping[str, str] | None = None,
        to_serve: bool = False,
    ) -> Project:
        """Find a definition (`path`, then HEADRACE_PROJECT, then the nearest parent folder), read and check it.

        Parameters
        ----------
        to_serve
            Read what a prediction server goes by, and nothing else.

        Raises
        ------
        ProjectNotFound, DefinitionErrors
        """
        env = os.environ if environment is None else environment
        found = find_project(None if path is None else str(path), env, Path.cwd())
        from headrace.definition.reader import read_definition, read_serving

        read = read_serving if to_serve else read_definition
        return cls(path=found, definition=read(found), environment=dict(env))

    @property
    def name(self) -> str:
        """The project's name, which every stored row carries."""
        return self.definition.project.name

    @property
    def root(self) -> Path:
        """The folder that relative paths are relative to."""
        return self.path.parent

    @property
    def lock_path(self) -> Path:
        """Where the inferred types are frozen."""
        return self.root / "headrace.lock"

    @property
    def definition_sha256(self) -> str:
        """Digest of what the definition says; not comments, stores, [online], [serving], signers, schedule, lineage."""
        import msgspec

        plain = msgspec.structs.replace(
            self.definition,
            stores=Stores(),
            online=Online(),
            serving=Serving(),
            trust=Trust(),
            schedule=None,
            lineage=None,
        )
        return hashlib.sha256(msgspec.json.encode(plain)).hexdigest()

    def read_lock(self) -> Lock:
        """The frozen types; empty before the first run."""
        return read_lock(self.lock_path) if self.lock_path.exists() else Lock()

    @cached_property
    def catalog(self) -> Catalog:
        """The catalog, migrated to this release's schema."""
        from headrace.stores.catalog.open import open_catalog

        return open_catalog(self.resolved(self.definition.stores.catalog), self.root)

    @cached_property
    def objects(self) -> ObjectStore:
        """The object store."""
        from headrace.stores.objects.open import open_objects

        return open_objects(self.resolved(self.definition.stores.objects), self.root, self.environment)

    @property
    def prediction_log(self) -> Path:
        """Where the workers of this host's prediction server log what they answer."""
        return self.root / PREDICTION_LOG

    @cached_property
    def growing(self) -> TableStore:
        """The tables that grow: shipped predictions and their outcomes."""
        from headrace.stores.tables.delta import DeltaTableStore

        return DeltaTableStore(self.objects)

    def predictions(self, *, since: date | None = None, until: date | None = None) -> Joined | None:
        """The shipped predictions of days (UTC, both ends in) with what is known of them by now; None before there are
        any. See `headrace.serving.log.outcomes.joined`."""
        from headrace.serving.log.outcomes import joined

        return joined(self.growing, self.name, since=since, until=until)

    def request_types(self) -> dict[str, Type]:
        """The columns that a request for the champion carries, with their types."""
        from headrace.features.model import Program
        from headrace.scoring.package import decode_json

        registry = self.registry()
        champion = registry.get(self.name, model=self.name)
        program = decode_json(registry.package(champion.package), "program.json", Program)
        return {field.name: field.type for field in program.request}

    @property
    def signers(self) -> tuple[str, ...]:
        """Whose packages are trusted: those that the definition names, else this user's own."""
        return self.definition.trust.signers or self._signers_with(self._own_key())

    def _own_key(self) -> SigningKey | None:
        from headrace.governance.signing import config_dir, load_key

        return load_key(config_dir(self.environment))

    def _signers_with(self, own: SigningKey | None) -> tuple[str, ...]:
        return self.definition.trust.signers or (() if own is None else (own.public,))

    @cached_property
    def service(self) -> Service:
        """Its prediction servers: what is deployed, who may ask, and how versions are packed for elsewhere."""
        from headrace.service import Service

        return Service(self, clock=now_us)

    def registry(self, key: SigningKey | None = None, *, catalog: Catalog | None = None) -> Registry:
        """The versions of this project; signing needs the user's key. A run brings its fenced `catalog`."""
        from headrace.registry.versions import Registry

        own = key or self._own_key()
        signers = self._signers_with(own)
        return Registry(catalog or self.catalog, self.objects, self.name, clock=now_us, signers=signers, key=own)

    def runner(self, progress: Progress, *, ticket: Ticket | None = None, memory: str | None = None) -> Runner:
        """What wraps stages: fingerprints, resume, usage. It holds at most `memory` (`4GB`), else HEADRACE_MEMORY."""
        from headrace.cost.prices import load_prices
        from headrace.runs.memory import memory_of
        from headrace.runs.runner import Runner

        return Runner(
            self.catalog,
            self.objects,
            self.name,
            clock=now_us,
            new_id=new_run_id,
            prices=load_prices(),
            progress=progress,
            workdir=self.root / WORKDIR,
            ticket=ticket,
            listener=None if self.definition.lineage is None else self._listener(self.definition.lineage, progress),
            memory=memory_of(memory, self.environment),
        )

    def _listener(self, lineage: Lineage, progress: Progress) -> Listener:
        """Who tells of runs in the OpenLineage format."""
        from headrace.operations.events import Events, FileEvents, HttpEvents
        from headrace.operations.lineage import LineageEvents
        from headrace.stores.locations import LOCAL, local_path, scheme_of

        address = self.resolved(lineage.openlineage)
        if scheme_of(address) == LOCAL:
            events: Events = FileEvents(local_path(address, self.root), say=progress.say)
        else:
            headers = {name: self.resolved(value) for name, value in lineage.headers}
            events = HttpEvents(address, headers, self.root / SPOOL, say=progress.say)
        return LineageEvents(self.definition, self.root, lineage.namespace, events=events)

    def workspace(self, progress: Progress, *, ticket: Ticket | None = None, memory: str | None = None) -> Workspace:
        """Everything that a run works with; makes the user's signing key if there is none."""
        from headrace.cost.prices import load_prices
        from headrace.registry.versions import Registry
        from headrace.stages.model import Workspace

        runner = self.runner(progress, ticket=ticket, memory=memory)

        def signing() -> Registry:
            from headrace.governance.signing import config_dir, load_or_create_key

            return self.registry(load_or_create_key(config_dir(self.environment)), catalog=runner.catalog)

        return Workspace(
            definition=self.definition,
            definition_sha256=self.definition_sha256,
            root=self.root,
            environment=self.environment,
            lock_path=self.lock_path,
            reports=self.root / REPORTS,
            runner=runner,
            versions=Registry(runner.catalog, self.objects, self.name, clock=now_us, signers=(), key=None),
            signing=signing,
            prices=load_prices(),
            clock=now_us,
        )

    def run(
        self,
        *,
        progress: Progress | None = None,
        refresh: bool = False,
        memory: str | None = None,
        ticket: Ticket | None = None,
    ) -> Outcome:
        """Sources in, a chosen, priced, signed version out; what was done before is not done again.

        Parameters
        ----------
        memory
            The most that the process may hold, such as `4GB`; left out, most of what the machine has free.

        Raises
        ------
        HeadraceError : a contract is broken, a store is gone, the definition does not fit the data; run again to go on.
        """
        from headrace.pipeline import run_pipeline
        from headrace.runs.progress import SilentProgress

        work = self.workspace(progress or SilentProgress(), ticket=ticket, memory=memory)
        return run_pipeline(work, refresh=refresh)

    def check(
        self,
        *,
        progress: Progress | None = None,
        refresh: bool = False,
        sources: Sequence[str] = (),
        memory: str | None = None,
        ticket: Ticket | None = None,
    ) -> Checked:
        """Read the sources and hold them against their contracts; broken contracts are in the reports, not raised.

        Parameters
        ----------
        sources
            Only these, and those that they need; all when empty.
        memory
            As for `run`.
        """
        for source in sources:
            self._known_source(source)
        from headrace.pipeline import check_only
        from headrace.runs.progress import SilentProgress

        work = self.workspace(progress or SilentProgress(), ticket=ticket, memory=memory)
        return check_only(work, refresh=refresh, only=sources)

    def build_features(
        self, *, progress: Progress | None = None, refresh: bool = False, memory: str | None = None
    ) -> Frame:
        """The training table and nothing after it: a later `run` finds it done.

        Parameters
        ----------
        memory
            As for `run`.

        Raises
        ------
        HeadraceError : as for `run`.
        """
        from headrace.pipeline import frame_only
        from headrace.runs.progress import SilentProgress

        _, frame = frame_only(self.workspace(progress or SilentProgress(), memory=memory), refresh=refresh)
        return frame

    def features(self) -> list[Listed]:
        """The request's columns and the features, in the order in which they are made.

        Raises
        ------
        NoOutcome : types are not known before the first check.
        FeatureErrors
        """
        from headrace.features.explain import list_features

        return list_features(self.program())

    def explain_feature(self, name: str) -> Explained:
        """Everything about one feature; see `headrace.features.explain`.

        Raises
        ------
        FeatureUnknown : and as `features`.
        """
        from headrace.features.errors import FeatureUnknown
        from headrace.features.explain import explain_feature, list_features

        program = self.program()
        names = [one.name for one in list_features(program)]
        if name not in names:
            raise FeatureUnknown(name, names)
        return explain_feature(program, name, self.tables())

    def program(self) -> Program:
        """The program as of the newest check; scales of sums are not fixed in it."""
        from headrace.features.build import build_program

        tables = self._tables()
        return build_program(
            self.definition, {name: {field.name: field.type for field in t.fields} for name, t in tables.items()}
        )

    def certify(
        self,
        *,
        rows: int | None = None,
        seed: int | None = None,
        progress: Progress | None = None,
        refresh: bool = False,
        memory: str | None = None,
    ) -> Certificate:
        """Replay rows of the training table one by one, with the online values as they were; a later `run` finds the
        default certificate done.

        Raises
        ------
        FeaturesDiffer : a value is not the training table's.
        HeadraceError : as for `run`.
        """
        from headrace.pipeline import certify_only
        from headrace.runs.progress import SilentProgress

        work = self.workspace(progress or SilentProgress(), memory=memory)
        return certify_only(work, rows=rows, seed=seed, refresh=refresh)[1]

    @cached_property
    def online(self) -> OnlineStore:
        """The store of online values."""
        from headrace.stores.online.open import open_online

        return open_online(self.resolved(self.definition.stores.online), self.root)

    def materialize(
        self,
        reference: str | None = None,
        *,
        until_us: int | None = None,
        anew: bool = False,
        progress: Callable[[int, str], None] | None = None,
    ) -> Materialized:
        """Fill the online store with what a version's lookups and windows need; see `headrace.features.materialize`.

        Parameters
        ----------
        reference
            The version; the champion when left out.
        until_us
            The watermark, microseconds since 1970; the end of history when left out.
        """
        from headrace.features.materialize import materialize
        from headrace.features.model import Program
        from headrace.scoring.package import decode_json

        registry = self.registry()
        package = registry.read(registry.get(reference or self.name, model=self.name))
        return materialize(
            decode_json(package, "program.json", Program),
            self.tables(),
            self.online,
            self.name,
            now_us=now_us(),
            until_us=until_us,
            anew=anew,
            progress=progress,
        )

    def online_history(self, program: Program) -> OnlineHistory:
        from headrace.features.online import OnlineHistory

        rule = self.definition.online
        return OnlineHistory(
            program, self.online, self.name, max_staleness_us=rule.max_staleness_us, on_stale=rule.on_stale
        )

    def tables(self) -> dict[str, pl.LazyFrame]:
        """The accepted tables of the newest finished checks: the history that lookups and windows are computed from.

        Raises
        ------
        NoOutcome : a source was never checked.
        """
        return {name: self._scan(table.ref) for name, table in self._tables().items()}

    def _tables(self) -> dict[str, Table]:
        from headrace.data.matching.model import MatchedSource
        from headrace.data.model import CheckedSource
        from headrace.runs.outcomes import newest_outcomes

        names = {f"check {source.name}": source.name for source in self.definition.sources if source.match is None}
        matched = {f"match {source.name}": source.name for source in self.definition.sources if source.match}
        with self.catalog.read() as reader:
            checked = dict(newest_outcomes(reader, self.name, list(names), CheckedSource))
            found = newest_outcomes(reader, self.name, list(matched), MatchedSource)
        checked |= {stage: one.checked for stage, one in found.items()}
        names |= matched
        return {names[stage]: one.table for stage, one in checked.items()}

    def newest_check(self, source: str) -> CheckedSource:
        """The outcome of a source's newest finished check.

        Raises
        ------
        SourceUnknown : the definition has no source of that name.
        NoOutcome : it was never checked.
        """
        from headrace.data.model import CheckedSource
        from headrace.runs.outcomes import newest_outcomes

        self._known_source(source)
        if self.definition.source(source).match is not None:
            return self._matched(source).checked
        with self.catalog.read() as reader:
            return newest_outcomes(reader, self.name, [f"check {source}"], CheckedSource)[f"check {source}"]

    def _matched(self, source: str) -> MatchedSource:
        from headrace.data.matching.look import NoMatching
        from headrace.data.matching.model import MatchedSource
        from headrace.runs.outcomes import newest_outcomes

        self._known_source(source)
        if self.definition.source(source).match is None:
            raise NoMatching(source)
        with self.catalog.read() as reader:
            return newest_outcomes(reader, self.name, [f"match {source}"], MatchedSource)[f"match {source}"]

    def _before_matching(self, source: str) -> CheckedSource:
        from headrace.data.model import CheckedSource
        from headrace.runs.outcomes import newest_outcomes

        with self.catalog.read() as reader:
            return newest_outcomes(reader, self.name, [f"check {source}"], CheckedSource)[f"check {source}"]

    def _scan(self, ref: ObjectRef) -> pl.LazyFrame:
        import polars as pl

        target = self.objects.scan_target(ref.key)
        return pl.scan_parquet(target.url, storage_options=target.options or None)

    def matches(self, source: str, *, review: bool = False, limit: int | None = None) -> dict[str, Any]:
        """The fuzzy duplicates of a source's newest check, or the pairs to review; see `headrace.data.matching.look`.

        Raises
        ------
        SourceUnknown, NoMatching, NoOutcome
        """
        import msgspec

        from headrace.data.matching.look import clusters, pairs_to_review

        matched, definition = self._matched(source), self.definition.source(source)
        look = (definition, matched, self._before_matching(source), self._scan, limit)
        return {
            "source": source,
            "told": msgspec.to_builtins(matched.told),
            "clusters": [] if review else clusters(*look),
            "review": pairs_to_review(*look) if review else [],
        }

    def answer_match(self, source: str, rows: tuple[int, int], *, same: bool) -> None:
        """Keep whether two rows of a source's newest check are one: it holds from the next check on.

        Raises
        ------
        SourceUnknown, NoMatching, NoOutcome, RowNotMatched
        """
        from headrace.data.matching.answers import FILE
        from headrace.data.matching.look import answer

        self._matched(source)
        before, definition = self._before_matching(source), self.definition.source(source)
        answer(definition, before, self._scan, self.root / FILE, rows, same=same)

    def contract(self, source: str) -> dict[str, Any]:
        """The contract of a source as an Open Data Contract Standard document; see `headrace.data.odcs`."""
        import tomllib

        from headrace.data.odcs import to_odcs

        self._known_source(source)
        written = tomllib.loads(self.path.read_text(encoding="utf-8"))["sources"][source]
        return to_odcs(self.name, source, written, self.read_lock().types(source))

    def _known_source(self, name: str) -> None:
        from headrace.data.errors import SourceUnknown

        names = [source.name for source in self.definition.sources]
        if name not in names:
            raise SourceUnknown(name, names)

    def replay(self, source: str, path: Path, *, reason: str = "") -> Correction:
        """Keep corrected rows for the next check of a source; see `headrace.data.workplace.replay`."""
        from headrace.data.workplace import replay

        checked = self.newest_check(source)
        definition = self.definition.source(source)
        as_read = {new: old for old, new in definition.rename}
        return replay(
            path,
            checked,
            [as_read.get(name, name) for name in definition.unique],
            project=self.name,
            catalog=self.catalog,
            objects=self.objects,
            clock=now_us,
            reason=reason,
        )

    def explain(self, source: str, key: Sequence[str]) -> Explanation:
        """Why an entity of the newest check is what it is; see `headrace.data.combine.explain`.

        Raises
        ------
        NoOutcome, KeyParts, EntityUnknown
        """
        import polars as pl

        from headrace.data.combine.explain import explain
        from headrace.data.model import Combined
        from headrace.runs.outcomes import newest_outcomes

        def scan(ref: ObjectRef) -> pl.LazyFrame:
            target = self.objects.scan_target(ref.key)
            return pl.scan_parquet(target.url, storage_options=target.options or None)

        with self.catalog.read() as reader:
            combined = newest_outcomes(reader, self.name, [f"combine {source}"], Combined)[f"combine {source}"]
        return explain(source, combined, self.newest_check(source), key, scan)

    def types_as_read(self) -> dict[str, Mapping[str, Type]]:
        """Types of each source's columns before its contract."""
        from headrace.data.align import table_types
        from headrace.stages.combine import types_as_read
        from headrace.stages.sources import in_join_order

        lock = self.read_lock()
        read: dict[str, Mapping[str, Type]] = {}
        tables: dict[str, Mapping[str, Type]] = {}
        for source in in_join_order(self.definition.sources, self.definition.sources):
            read[source.name] = types_as_read(source, lock, tables)
            if any(one.combine is not None for one in self.definition.sources):
                tables[source.name] = table_types(
                    source, read[source.name], {name: tables[name] for name in source.needs}
                )
        return read

    def load(self, reference: str, *, features: Features = "history") -> Scorer:
        """A version, verified, ready to answer row by row.

        Parameters
        ----------
        features
            Where lookups and windows come from: this project's `history` as of its last check, or the values that
            `materialize` has written to the `online` store.

        Raises
        ------
        ReferenceInvalid, ModelUnknown, AliasUnknown, VersionUnknown, PackageRefused
        NotMaterialized : the online store has no values for this version.
        """
        from headrace.features.history import History
        from headrace.features.model import Program
        from headrace.scoring.package import decode_json
        from headrace.scoring.scorer import Scorer

        registry = self.registry()
        version = registry.get(reference, model=self.name)
        package = registry.read(version)
        program = decode_json(package, "program.json", Program)
        history = self.online_history(program) if features == "online" else History(program, self.tables())
        return Scorer(package, version.number, history)

    def predict(
        self,
        reference: str,
        path: Path,
        out: Path,
        *,
        reasons: int = 0,
        features: Features = "history",
        ignore_unknown: bool = False,
        progress: Callable[[int], None] = lambda _: None,
    ) -> Scored:
        """Score every row of a file with a version; see `headrace.scoring.batch.predict_file`.

        Parameters
        ----------
        features
            As for `load`.
        """
        from headrace.scoring.batch import Contract, predict_file
        from headrace.scoring.scorer import Scorer

        registry = self.registry()
        version = registry.get(reference, model=self.name)
        scorer = Scorer(registry.read(version), version.number)
        source = self.definition.source(scorer.program.source)
        contract = Contract(source, self.types_as_read()[source.name])
        return predict_file(
            scorer,
            contract,
            self.tables(),
            path,
            out,
            reasons=reasons,
            online=self.online_history(scorer.program) if features == "online" else None,
            ignore_unknown=ignore_unknown,
            progress=progress,
        )

    def schedule_times(self) -> Times:
        """What was decided about the times of `[schedule]`, which the definition must have."""
        from headrace.operations.times import Times

        schedule = self.definition.schedule
        if schedule is None:
            raise ValueError("the definition has no [schedule]")
        return Times(self.catalog, self.name, schedule, clock=now_us)

    def close(self) -> None:
        """Close the stores' connections. A project is also a context manager that does so."""
        if "catalog" in self.__dict__:
            self.catalog.close()
        if "online" in self.__dict__:
            self.online.close()

    def __enter__(self) -> Project:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def resolved(self, url: str) -> str:
        from headrace.definition.secrets import resolve

        return resolve(url, self.environment, self.root)


@contextmanager
def look(path: str | Path | None = None) -> Iterator[tuple[str, Reader | None]]:
    """A project's name and its catalog for looking only; None before the first run.

    The quickest way: of the definition only the stores are read, and SQLite by the standard library."""
    from headrace.definition.reader import read_stores
    from headrace.definition.secrets import resolve
    from headrace.stores.locations import LOCAL, local_path, scheme_of

    found = find_project(None if path is None else str(path), os.environ, Path.cwd())
    name, stores = read_stores(found)
    url = resolve(stores.catalog, os.environ, found.parent)
    if scheme_of(url) != LOCAL:
        with Project.open(found) as project, project.catalog.read() as reader:
            yield name, reader
        return
    catalog = local_path(url, found.parent)
    if not catalog.exists():
        yield name, None
        return
    from headrace.stores.catalog.sqlite_reader import quick_reader

    with quick_reader(catalog) as reader:
        yield name, reader


def load(reference: str, *, project: str | Path | None = None, features: Features = "history") -> Scorer:
    """`Project.open(project).load(reference)`: a registered version, ready to predict."""
    opened = Project.open(project)
    try:
        return opened.load(reference, features=features)
    finally:
        opened.catalog.close()


def init_project(
    folder: Path, data: Sequence[Path], *, label: str | None, environment: Mapping[str, str]
) -> tuple[Proposal, str]:
    """Write a first definition and its lock from data files, and make the user's signing key; what was proposed, and
    the public key."""
    from headrace.data.first import propose
    from headrace.definition.lockfile import write_lock
    from headrace.governance.signing import config_dir, load_or_create_key
    from headrace.stores.durable import write_file

    proposal = propose(folder, data, label, environment)
    folder.mkdir(parents=True, exist_ok=True)
    public = load_or_create_key(config_dir(environment)).public
    write_lock(folder / "headrace.lock", proposal.lock)
    write_file(folder / "headrace.toml", proposal.text.encode())
    return proposal, public
