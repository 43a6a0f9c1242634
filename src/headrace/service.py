"""The prediction servers of a project that has been opened: what is deployed, who may ask, what packs and runs them."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from headrace.app import Project
    from headrace.operations.deploying import Deploying
    from headrace.packaging.packing import Packing
    from headrace.registry.model import Version
    from headrace.serving.deployments import Deployments
    from headrace.serving.keys import Keys
    from headrace.serving.loadtest.rows import Rows as RowsToAsk
    from headrace.serving.model import Deployment
    from headrace.serving.pulling import Spread
    from headrace.serving.supervisor import Supervisor
    from headrace.serving.tls import Tls
    from headrace.serving.workforce import Tells

SERVING: Final = ".headrace/serving"
MEMORY_SHARE: Final = 0.8
"""Of what the machine has free when a server begins: the most that one of its workers may take."""


class Service:
    """Of one project.

    Parameters
    ----------
    clock : microseconds since 1970 UTC
    """

    def __init__(self, project: Project, *, clock: Callable[[], int]) -> None:
        self._project, self._clock = project, clock

    def deployments(self) -> Deployments:
        """What is deployed, every revision of it."""
        from headrace.serving.deployments import Deployments

        return Deployments(self._project.objects, self._project.name)

    def deploying(self) -> Deploying:
        """The project's deployments, and what changes them."""
        from headrace.governance.users import user_name
        from headrace.operations.deploying import Deploying

        return Deploying(
            self._project.objects,
            self._project.registry(),
            self._project.name,
            prepare=self._make_online,
            clock=self._clock,
            by=user_name(),
            sticky=self._project.definition.serving.sticky,
        )

    def _make_online(self, version: Version) -> None:
        """Fill the online store with what the version's lookups and windows read, if it has any."""
        from headrace.features.model import ExpressionStep, Program
        from headrace.scoring.package import decode_json

        program = decode_json(self._project.registry().read(version), "program.json", Program)
        if not all(isinstance(step, ExpressionStep) for step in program.steps):
            self._project.materialize(f"{version.model}@{version.number}")

    def deployment_revision(self, name: str, number: int) -> Deployment | None:
        """One revision of a deployment; None where it is not kept here."""
        from headrace.stores.errors import ObjectNotFound

        try:
            return self.deployments().revision(name, number)
        except ObjectNotFound:
            return None

    def api_keys(self) -> Keys:
        """The keys of those who ask this project's prediction servers."""
        from headrace.serving.keys import Keys

        return Keys(self._project.objects, self._project.name, clock=self._clock)

    def tell_servers(self) -> None:
        """Let every prediction server read deployments and keys anew."""
        from headrace.serving.pulling import tell_changes

        tell_changes(self._project.objects, self._project.name)

    def wait_for_keys(self) -> Spread:
        """Until every prediction server that lives goes by the keys of now, for some seconds at most."""
        from headrace.serving.pulling import wait_for_keys

        return wait_for_keys(
            self._project.objects,
            self._project.name,
            self.api_keys().listed(),
            max_stale_us=self._project.definition.serving.max_stale_us,
            clock=self._clock,
        )

    @property
    def has_own_objects(self) -> bool:
        """Whether the object store is a folder of this machine: then file permissions say who may make keys."""
        from headrace.stores.locations import LOCAL, scheme_of

        return scheme_of(self._project.resolved(self._project.definition.stores.objects)) == LOCAL

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
        objects, signers = self._project.objects, self._project.signers
        package = read_package(lambda name: objects.get(f"packages/{content}/{name}"), package=content, signers=signers)
        program = decode_json(package, "program.json", Program)
        has_history = not all(isinstance(step, ExpressionStep) for step in program.steps)
        after_us = self._project.online_history(program).watermark_us if has_history else None
        ask = partial(from_frame, program=program, sticky=deployment.sticky, after_us=after_us, most=MOST, seed=seed)
        if path is not None:
            source = self._project.definition.source(program.source)
            contract = Contract(source, self._project.types_as_read()[source.name])
            tables = self._project.tables() if source.needs else {}
            return ask(request_rows(program, contract, tables, path, most=MOST), said=f"of {path.name}")
        try:
            table = self._project.tables().get(program.source)
        except (NoOutcome, MissingDependency):  # a host that only serves
            table = None
        if table is not None:
            return newest_rows(table, program, sticky=deployment.sticky, after_us=after_us, most=MOST, seed=seed)
        profile = msgspec.json.decode(package.files["profile.json"])
        return made_rows(program, profile, after_us=after_us or self._clock(), most=MOST, seed=seed)

    def packing(self) -> Packing:
        """What packs a version to be served elsewhere."""
        from headrace.packaging.packing import Packing

        project = self._project
        keys = self.api_keys().list
        return Packing(project.definition, project.registry(), signers=project.signers, keys=keys, clock=self._clock)

    def address(self, host: str | None = None, port: int | None = None) -> tuple[str, int]:
        """Where a server listens, by its definition where nothing else is said; raises `AddressNotLocal`."""
        from headrace.serving.listening import check_reach

        serving = self._project.definition.serving
        found = host or serving.host
        check_reach(found, to_all=serving.tls == "front" or serving.certificate is not None)
        return found, serving.port if port is None else port

    def supervisor(
        self, *, host: str | None = None, port: int | None = None, workers: int | None = None, say: Tells
    ) -> Supervisor:
        """A prediction server of this project, not yet running; raises `PortTaken`."""
        from headrace.runs.memory import machine_bytes
        from headrace.serving.limits import Limits
        from headrace.serving.listening import as_header, own_host
        from headrace.serving.messages import Settings
        from headrace.serving.pulling import Puller
        from headrace.serving.supervisor import Supervisor

        project = self._project
        rule, folder = project.definition.online, project.root / SERVING
        serving = project.definition.serving
        settings = Settings(
            project=project.name,
            root=str(project.root),
            packages=str(folder / "packages"),
            signers=project.signers,
            hosts=("localhost", "127.0.0.1", "[::1]", as_header(host or serving.host), *serving.hosts),
            tls=self._tls(),
            grpc=None if serving.grpc_port is None else (host or serving.host, serving.grpc_port),
            batch=serving.batch,
            limits=Limits(),
            online=str(project.resolved(project.definition.stores.online)),  # plain: it goes to workers over a pipe
            max_staleness_us=rule.max_staleness_us,
            on_stale=rule.on_stale,
            log=str(project.prediction_log),
            durability=serving.log,
            on_full=serving.on_full,
            memory_bytes=int(MEMORY_SHARE * machine_bytes()),
        )
        return Supervisor(
            settings,
            Puller(project.objects, project.name, folder, clock=self._clock),
            address=self.address(host, port),
            host=own_host(),
            behind_front=serving.tls == "front",
            workers=workers or serving.workers,
            most_workers=None if workers else serving.most_workers,
            p99_us=serving.p99_us,
            max_stale_s=serving.max_stale_us / 1e6,
            drain_s=serving.drain_us / 1e6,
            say=say,
            clock=self._clock,
        )

    def _tls(self) -> Tls | None:
        from headrace.serving.tls import Tls

        serving = self._project.definition.serving
        if serving.certificate is None or serving.certificate_key is None:
            return None
        clients = None if serving.clients is None else str(self._project.root / serving.clients)
        return Tls(
            certificate=str(self._project.root / serving.certificate),
            key=str(self._project.root / serving.certificate_key),
            clients=clients,
        )
