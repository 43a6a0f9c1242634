"""Two servers of one store: what becomes of a canary is decided by what both have seen, once."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from tests.scoring.made import ROW
from tests.serving.http.running import PROJECT, Client, Place, Running, change, now_us

from headrace.serving.assignment import arm_chooser
from headrace.serving.model import Counts, Deployment, Guard, Served
from headrace.serving.pulling import names_of, servers
from headrace.serving.revisions import deploy_canary
from headrace.serving.rollout import watched
from headrace.serving.tallies import Tallies, together

pytestmark = pytest.mark.xdist_group("hosts")

QUICK = {"SETTLE_S": 0.5, "LOOK_S": 0.2}
"""Of `headrace.serving.ramping`: all that workers of a test say of the revision before they have said by then."""
SLOW = {"SETTLE_S": 0.5, "LOOK_S": 3600.0, "LONGEST_LOOK_S": 3600.0}
"""It tells that it counts, and then nothing before it ends."""


@dataclass
class Hosts:
    """Two, each with a disk of its own."""

    places: tuple[Place, Place]
    running: list[Running]

    @property
    def place(self) -> Place:
        return self.places[0]

    def begin(self, number: int, ramping: dict[str, float]) -> None:
        self.running[number] = start(self.places[number], number, ramping)

    def told(self, deployment: Deployment) -> dict[str, dict[str, Counts]]:
        return Tallies(self.place.objects, PROJECT).read(deployment)

    def wait_until(self, reached: Callable[[], bool], what: str) -> None:
        self.running[1].wait_until(reached, what)

    def canary(self, name: str, served: Served, guard: Guard, **how: float) -> Deployment:
        """Half of the entities, once both servers count for it."""
        now = self.place.deploy(self.place.version(1), name, sticky=("seats",))
        made = deploy_canary(now, served, 50.0, change(), steps=(1.0,), guards=(guard,), **how)  # type: ignore[arg-type]
        self.place.write(made)
        self.wait_until(lambda: len(self.told(made)) == 2, "counted for")
        return made

    def ask(self, number: int, deployment: Deployment, rows: int) -> None:
        """So many rows of each arm."""
        choose = arm_chooser(deployment.arms, deployment.salt)
        for place, arm in enumerate(deployment.arms):
            seats = [n for n in range(1, 20 * rows) if choose((n,)) == place][:rows]
            body = [ROW | {"seats": n, "distance": 31.0 * n % 2000} for n in seats]
            status, _, answer = Client(self.running[number]).predict(body, deployment.name)
            assert status == 200
            assert [each["arm"] for each in answer["predictions"]] == [arm.name] * rows

    def times(self, event: str, name: str) -> int:
        """How often that has been done, by whomever."""
        events = [each for running in self.running for each in running.events()]
        return sum((each["event"], each.get("deployment")) == (event, name) for each in events)

    def has_taken_up(self, name: str, revision: int) -> bool:
        """Whether all that run answer by it."""
        states = servers(self.place.objects, PROJECT, now_us())
        run = sum(running.process.poll() is None for running in self.running)
        return sum(each.revisions.get(name) == revision for each in states) == run


def start(place: Place, number: int, ramping: dict[str, float]) -> Running:
    running = Running(place, ramping=ramping, host=f"pod-{number}")
    running.wait_for("ready")
    return running


@pytest.fixture(scope="module")
def module_hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosts]:
    roots = [tmp_path_factory.mktemp(f"host-{number}") for number in range(2)]
    store = roots[0] / "objects"
    places = Place(roots[0], store=store), Place(roots[1], store=store)
    places[0].deploy(places[0].version(1))
    found = Hosts(places, [start(place, number, QUICK) for number, place in enumerate(places)])
    yield found
    for running in found.running:
        running.end()


@pytest.fixture
def hosts(module_hosts: Hosts) -> Hosts:
    """Both run."""
    for number, running in enumerate(module_hosts.running):
        if running.process.poll() is not None:
            module_hosts.begin(number, QUICK)
    return module_hosts


def test_a_canary_climbs_by_the_answers_of_all_servers_whatever_becomes_of_them(hosts: Hosts) -> None:
    """One is killed, the next there is told to end: what they told before, and at the end, counts once."""
    same = hosts.place.version(2, seed=1, replaced={"README.md": b"# the same forest\n"})
    made = hosts.canary("climbs", same, Guard(kind="errors", limit=0.01), hold_s=0.0, least_rows=135)

    def rows() -> list[int]:
        return sorted(told["v2"].rows for told in hosts.told(made).values() if "v2" in told)

    hosts.ask(0, made, 60)
    hosts.wait_until(lambda: rows() == [60], "told")
    hosts.running[0].end(signal.SIGKILL)
    hosts.begin(0, SLOW)
    hosts.wait_until(lambda: len(hosts.told(made)) == 3, "counted for anew")
    names = names_of(servers(hosts.place.objects, PROJECT, now_us())).values()
    assert {name.partition(":")[0] for name in names} == {"pod-0", "pod-1"}
    hosts.ask(1, made, 60)
    hosts.wait_until(lambda: rows() == [60, 60], "told")
    hosts.ask(0, made, 15)
    assert hosts.running[0].end() == 0
    hosts.wait_until(lambda: hosts.has_taken_up("climbs", 3), "promoted")
    history = hosts.place.deployments.history("climbs")
    assert [each.verb for each in history] == ["deploy", "deploy", "promote"]
    assert history[-1].facts["rows"] == 135, "each answer counts once"
    assert hosts.times("promote", "climbs") == 1
    hosts.wait_until(lambda: not list(hosts.place.objects.list(f"serving/{PROJECT}/counts/climbs/")), "swept")


def test_a_canary_is_taken_back_for_what_no_server_is_certain_of_alone(hosts: Hosts) -> None:
    made = hosts.canary("drifts", hosts.place.version(3), Guard(kind="scores", limit=0.25), hold_s=3600.0)
    hosts.ask(0, made, 16)

    def told() -> dict[str, Counts]:
        return together(hosts.told(made).values())

    hosts.wait_until(lambda: {arm: counts.rows for arm, counts in told().items()} == {"v1": 16, "v3": 16}, "told")
    [alone] = watched(made, told(), {})
    assert alone.state == "near"
    hosts.ask(1, made, 16)
    hosts.wait_until(lambda: hosts.has_taken_up("drifts", 3), "taken back")
    back = hosts.place.deployments.get("drifts")
    assert (back.verb, [arm.name for arm in back.arms]) == ("rollback", ["v1"])
    assert back.facts["guards"][0]["rows"] > 16
    assert hosts.times("rollback", "drifts") == 1
