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
from functools import cached_property, partial
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
    from headrace.operations.deploying import Deploying
    from headrace.operations.times import Times
    from headrace.packaging.packing import Packing
    from headrace.registry.model import Version
    from headrace.registry.versions import Registry
    from headrace.runs.model import ObjectRef, Progress
    from headrace.runs.runner import Listener, Runner, Ticket
    from headrace.scoring.batch import Scored
    from headrace.scoring.scorer import Scorer
    from headrace.serving.keys import Keys
    from headrace.serving.loadtest.rows import Rows as RowsToAsk
    from headrace.serving.log.outcomes import Joined
    from headrace.serving.model import Deployment
    from headrace.serving.supervisor import Supervisor
    from headrace.serving.tls import Tls
    from headrace.serving.workforce import Tells
    from headrace.stages.model import Checked, Outcome, Workspace
    from headrace.stores.catalog import Catalog, Reader
    from headrace.stores.objects import ObjectStore
    from headrace.stores.online import OnlineStore
    from headrace.stores.tables import TableStore

Features: TypeAlias = Literal["history", "online"]
WORKDIR = ".headrace/work"
REPORTS = ".headrace/reports"
SPOOL = ".headrace/lineage"
SERVING = ".headrace/serving"
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

        return open_catalog(self._resolved(self.definition.stores.catalog), self.root)

    @cached_property
    def objects(self) -> ObjectStore:
        """The object store."""
        from headrace.stores.objects.open import open_objects

        return open_objects(self._resolved(self.definition.stores.objects), self.root, self.environment)

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

    def deployment_revision(self, name: str, number: int) -> Deployment | None:
        """One revision of a deployment; None where it is not kept here."""
        import msgspec

        from headrace.serving.model import Deployment
        from headrace.stores.errors import ObjectNotFound

        try:
            found = self.objects.get(f"serving/{self.name}/deployments/{name}/{number:09d}.json")
        except ObjectNotFound:
            return None
        return msgspec.json.decode(found, type=Deployment)

    def request_types(self) -> dict[str, Type]:
        """The columns that a request for the champion carries, with their types."""
        from headrace.features.model import Program
        from headrace.scoring.package import decode_json

        registry = self.registry()
        champion = registry.get(self.name, model=self.name)
        program = decode_json(registry.package(champion.package), "program.json", Program)
        return {field.name: field.type for field in program.request}

    def registry(self, key: SigningKey | None = None, *, catalog: Catalog | None = None) -> Registry:
        """The versions of this project; signing needs the user's key. A run brings its fenced `catalog`."""
        from headrace.governance.signing import config_dir, load_key
        from headrace.registry.versions import Registry

        own = key or load_key(config_dir(self.environment))
        signers = self.definition.trust.signers or (() if own is None else (own.public,))
        return Registry(catalog or self.catalog, self.objects, self.name, clock=now_us, signers=signers, key=own)

    def packing(self) -> Packing:
        """What packs a version to be served elsewhere."""
        from headrace.governance.signing import config_dir, load_key
        from headrace.packaging.packing import Packing

        own = load_key(config_dir(self.environment))
        signers = self.definition.trust.signers or (() if own is None else (own.public,))
        keys = self.api_keys().list
        return Packing(self.definition, self.registry(), signers=signers, keys=keys, clock=now_us)

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

        address = self._resolved(lineage.openlineage)
        if scheme_of(address) == LOCAL:
            events: Events = FileEvents(local_path(address, self.root), say=progress.say)
        else:
            headers = {name: self._resolved(value) for name, value in lineage.headers}
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

        return open_online(self._resolved(self.definition.stores.online), self.root)

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

    def _online_history(self, program: Program) -> OnlineHistory:
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

    def _types_as_read(self) -> dict[str, Mapping[str, Type]]:
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
        history = self._online_history(program) if features == "online" else History(program, self.tables())
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
        contract = Contract(source, self._types_as_read()[source.name])
        return predict_file(
            scorer,
            contract,
            self.tables(),
            path,
            out,
            reasons=reasons,
            online=self._online_history(scorer.program) if features == "online" else None,
            ignore_unknown=ignore_unknown,
            progress=progress,
        )

    def deploying(self) -> Deploying:
        """The project's deployments, and what changes them."""
        import getpass

        from headrace.operations.deploying import Deploying

        return Deploying(
            self.objects,
            self.registry(),
            self.name,
            prepare=self._make_online,
            clock=now_us,
            by=getpass.getuser(),
            sticky=self.definition.serving.sticky,
        )

    def _make_online(self, version: Version) -> None:
        """Fill the online store with what the version's lookups and windows read, if it has any."""
        from headrace.features.model import ExpressionStep, Program
        from headrace.scoring.package import decode_json

        program = decode_json(self.registry().read(version), "program.json", Program)
        if not all(isinstance(step, ExpressionStep) for step in program.steps):
            self.materialize(f"{version.model}@{version.number}")

    def api_keys(self) -> Keys:
        """The keys of those who ask this project's prediction servers."""
        from headrace.serving.keys import Keys

        return Keys(self.objects, self.name, clock=now_us)

    def wait_for_keys(self) -> tuple[int, list[str]]:
        """Until every prediction server that lives goes by the keys of now, for some seconds at most; how many there
        are, and addresses of those that do not."""
        from headrace.serving.pulling import wait_for_keys

        return wait_for_keys(self.objects, self.name, self.api_keys().list(), clock=now_us)

    def tell_servers(self) -> None:
        """Let every prediction server read deployments and keys anew."""
        from headrace.serving.pulling import tell_changes

        tell_changes(self.objects, self.name)

    def _signers(self) -> tuple[str, ...]:
        """Whose packages are trusted: those that the definition names, else this user's own."""
        from headrace.governance.signing import config_dir, load_key

        own = load_key(config_dir(self.environment))
        return self.definition.trust.signers or (() if own is None else (own.public,))

    @property
    def has_own_objects(self) -> bool:
        """Whether the object store is a folder of this machine: then file permissions say who may make keys."""
        from headrace.stores.locations import LOCAL, scheme_of

        return scheme_of(self._resolved(self.definition.stores.objects)) == LOCAL

    def rows_to_ask(self, deployment: Deployment, path: Path | None = None, *, seed: int = 0) -> RowsToAsk:
        """Rows that a load test asks a deployment with.

        Parameters
        ----------
        path
            A file of raw rows, as for `predict`; else the newest accepted rows, or, where nothing was checked on this
            machine, rows made by the package's profile.

        Raises
        ------
        PackageRefused, RowsUnreadable, FileColumnMissing, FileColumnUnknown
        """
        import msgspec

        from headrace.errors import MissingDependency
        from headrace.features.model import ExpressionStep, Program
        from headrace.runs.outcomes import NoOutcome
        from headrace.scoring.batch import Contract, request_rows
        from headrace.scoring.package import decode_json, read_package
        from headrace.serving.loadtest.rows import MOST, from_frame, made_rows, newest_rows

        content = deployment.arms[0].serves.package
        package = read_package(
            lambda name: self.objects.get(f"packages/{content}/{name}"), package=content, signers=self._signers()
        )
        program = decode_json(package, "program.json", Program)
        has_history = not all(isinstance(step, ExpressionStep) for step in program.steps)
        after_us = self._online_history(program).watermark_us if has_history else None
        ask = partial(from_frame, program=program, sticky=deployment.sticky, after_us=after_us, most=MOST, seed=seed)
        if path is not None:
            source = self.definition.source(program.source)
            contract = Contract(source, self._types_as_read()[source.name])
            tables = self.tables() if source.needs else {}
            return ask(request_rows(program, contract, tables, path, most=MOST), said=f"of {path.name}")
        try:
            table = self.tables().get(program.source)
        except (NoOutcome, MissingDependency):  # a host that only serves
            table = None
        if table is not None:
            return newest_rows(table, program, sticky=deployment.sticky, after_us=after_us, most=MOST, seed=seed)
        profile = msgspec.json.decode(package.files["profile.json"])
        return made_rows(program, profile, after_us=after_us or now_us(), most=MOST, seed=seed)

    def has_deployments(self) -> bool:
        """Whether anything is deployed."""
        from headrace.serving.deployments import Deployments

        return bool(Deployments(self.objects, self.name).names())

    def serving_address(self, host: str | None = None, port: int | None = None) -> tuple[str, int]:
        """Where a server listens, by its definition where nothing else is said; raises `AddressNotLocal`."""
        from headrace.serving.listening import check_reach

        serving = self.definition.serving
        found = host or serving.host
        check_reach(found, to_all=serving.tls == "front" or serving.certificate is not None)
        return found, serving.port if port is None else port

    def supervisor(
        self, *, host: str | None = None, port: int | None = None, workers: int | None = None, say: Tells
    ) -> Supervisor:
        """A prediction server of this project, not yet running; raises `PortTaken`."""
        from headrace.serving.limits import Limits
        from headrace.serving.messages import Settings
        from headrace.serving.pulling import Puller
        from headrace.serving.supervisor import Supervisor

        rule, folder = self.definition.online, self.root / SERVING
        serving = self.definition.serving
        settings = Settings(
            project=self.name,
            root=str(self.root),
            packages=str(folder / "packages"),
            signers=self._signers(),
            hosts=("localhost", "127.0.0.1", "[::1]", host or serving.host, *serving.hosts),
            tls=self._tls(),
            grpc=None if serving.grpc_port is None else (host or serving.host, serving.grpc_port),
            limits=Limits(),
            online=str(self._resolved(self.definition.stores.online)),  # plain: it goes to workers over a pipe
            max_staleness_us=rule.max_staleness_us,
            on_stale=rule.on_stale,
            log=str(self.prediction_log),
            durability=serving.log,
            on_full=serving.on_full,
        )
        return Supervisor(
            settings,
            Puller(self.objects, self.name, folder, clock=now_us),
            address=self.serving_address(host, port),
            behind_front=serving.tls == "front",
            workers=workers or serving.workers,
            most_workers=None if workers else serving.most_workers,
            p99_us=serving.p99_us,
            max_stale_s=serving.max_stale_us / 1e6,
            drain_s=serving.drain_us / 1e6,
            say=say,
            clock=now_us,
        )

    def _tls(self) -> Tls | None:
        from headrace.serving.tls import Tls

        serving = self.definition.serving
        if serving.certificate is None or serving.certificate_key is None:
            return None
        clients = None if serving.clients is None else str(self.root / serving.clients)
        return Tls(
            certificate=str(self.root / serving.certificate),
            key=str(self.root / serving.certificate_key),
            clients=clients,
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

    def _resolved(self, url: str) -> str:
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
