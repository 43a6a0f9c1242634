"""A canary is judged by what all servers have seen under the weights of now, and by nothing from before."""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec
import pytest

from headrace.serving.model import Counts, Deployment, Served
from headrace.serving.ramping import LONGEST_LOOK_S, LOOK_S, SETTLE_S, Ramping
from headrace.serving.revisions import Change, begin, deploy_canary
from headrace.serving.rollout import decide, watched
from headrace.serving.tallies import Tallies, together
from headrace.testing.memory_objects import MemoryObjectStore

S = 1_000_000
START = 1_790_000_000 * S
THREE, FOUR = (Served(model="delays", version=n, package=f"{n:064x}") for n in (3, 4))


def canary(at_us: int = START) -> Deployment:
    change = Change(at_us=at_us, by="ada", salt="salt")
    return deploy_canary(
        begin(THREE, change, project="p", name="delays"), FOUR, 25, change, hold_s=60.0, least_rows=500
    )


@dataclass
class Server:
    """What a supervisor does with its counts."""

    name: str
    tallies: Tallies
    ramping: Ramping = field(default_factory=Ramping)

    def see(self, *, failed: int = 0, times: int = 1) -> None:
        for _ in range(times):
            self.ramping.add("delays", "v4", Counts(rows=100 - failed, failed=failed))
            self.ramping.add("delays", "v3", Counts(rows=300))

    def turn(self, deployment: Deployment, seconds: float) -> Deployment | None:
        for new in self.ramping.begin([deployment], seconds):
            self.tallies.sweep(new)
        for due in self.ramping.due(seconds):
            self.tallies.tell(self.name, due, self.ramping.counts(due.name))
            told = list(self.tallies.read(due).values())
            return self.ramping.judge(due, told, START + round(seconds * S), seconds)
        return None

    def settle(self, deployment: Deployment, seconds: float = 0.0) -> None:
        assert self.turn(deployment, seconds) is None
        assert self.turn(deployment, seconds + SETTLE_S) is None


@pytest.fixture
def objects() -> MemoryObjectStore:
    return MemoryObjectStore()


@pytest.fixture
def server(objects: MemoryObjectStore) -> Server:
    return Server("one", Tallies(objects, "p"))


@pytest.fixture
def other(objects: MemoryObjectStore) -> Server:
    return Server("two", Tallies(objects, "p"))


def test_a_canary_climbs_to_the_end_and_each_weight_counts_anew(server: Server) -> None:
    deployment, now, weights = canary(), 0.0, []
    while deployment.ramp is not None:
        server.settle(deployment, now)
        server.see(times=4)
        assert server.turn(deployment, now + 70.0) is None, "400 answers are too few"
        server.see(times=2)
        made = server.turn(deployment, now + 71.0)
        assert made is not None
        deployment = made
        weights.append(deployment.arms[0].weight)
        now += 71.0
    assert weights == [0.5, 1.0]
    assert deployment.verb == "promote"


def test_a_canary_that_fails_is_taken_back_at_the_next_look(server: Server) -> None:
    deployment = canary()
    server.settle(deployment)
    server.see(failed=50, times=3)
    back = server.turn(deployment, SETTLE_S + LOOK_S)
    assert back is not None
    assert [(arm.name, arm.weight) for arm in back.arms] == [("v3", 1.0)]


@pytest.mark.parametrize("looks", [(SETTLE_S - 1.0, SETTLE_S), (SETTLE_S + 30.0,)])
def test_what_comes_just_after_a_change_is_of_the_revision_before(server: Server, looks: tuple[float, ...]) -> None:
    """Also where nobody looked meanwhile, as the store was slow."""
    deployment = canary()
    server.see(failed=100, times=5)
    assert server.turn(deployment, 0.0) is None
    server.see(failed=100, times=5)
    for look in looks:
        assert server.turn(deployment, look) is None
    assert server.ramping.counts("delays") == {}
    server.see()
    assert server.ramping.counts("delays")["v4"].rows == 100


def test_a_deployment_that_is_gone_is_forgotten(server: Server) -> None:
    server.settle(canary())
    server.see()
    assert server.ramping.begin([], 20.0) == []
    assert server.ramping.counts("delays") == {}
    server.see()
    assert server.ramping.counts("delays") == {}


def test_answers_of_all_servers_make_a_canary_climb(server: Server, other: Server) -> None:
    deployment = canary()
    for each in (server, other):
        each.settle(deployment)
        each.see(times=3)
    assert server.turn(deployment, 70.0) is None, "the other has not told yet"
    made = other.turn(deployment, 71.0)
    assert made is not None
    assert (made.verb, made.facts["rows"]) == ("ramp", 600)
    assert made.reason.startswith("600 answers of v4 at 25 %")
    again = server.turn(deployment, 76.0)  # it has not heard of that yet
    assert again is not None
    assert again.revision == made.revision, "the first that is stored is the next revision"


def test_what_no_server_could_be_certain_of_all_together_are(objects: MemoryObjectStore) -> None:
    deployment, made = canary(), None
    servers = [Server(f"s{n}", Tallies(objects, "p")) for n in range(10)]
    for each in servers:
        each.settle(deployment)
        each.see(failed=4)
    for n, each in enumerate(servers):
        alone = watched(deployment, each.ramping.counts("delays"), {})
        assert "broken" not in {seen.state for seen in alone}
        made = made or each.turn(deployment, 20.0 + n)
    assert made is not None
    assert made.verb == "rollback"
    assert "errors of v4: 4 % against 0 % of v3" in made.reason


def test_no_server_lets_a_canary_climb_that_fails_on_another(server: Server, other: Server) -> None:
    deployment = canary()
    for each in (server, other):
        each.settle(deployment)
    server.see(times=6)
    other.see(failed=17)
    assert server.turn(deployment, 30.0) is None, "it has not lasted"
    assert other.turn(deployment, 31.0) is None, "too few for certain"
    alone = decide(deployment, server.ramping.counts("delays"), {}, START + 70 * S)
    assert alone is not None
    assert alone.verb == "ramp"
    assert server.turn(deployment, 70.0) is None, "a guard is near its limit"


def test_a_server_that_begins_again_counts_on_and_the_life_before_counts_once(
    server: Server, objects: MemoryObjectStore
) -> None:
    deployment = canary()
    server.settle(deployment)
    server.see(times=3)
    assert server.turn(deployment, 70.0) is None
    again = Server("one-again", Tallies(objects, "p"))
    again.settle(deployment, 75.0)
    assert together(again.tallies.read(deployment).values())["v4"].rows == 300
    again.see(times=3)
    made = again.turn(deployment, 90.0)
    assert made is not None
    assert made.facts["rows"] == 600


def test_with_the_next_revision_what_was_told_of_the_one_before_is_taken_away(
    server: Server, other: Server, objects: MemoryObjectStore
) -> None:
    deployment = canary()
    for each in (server, other):
        each.settle(deployment)
    assert len(list(objects.list("serving/p/counts/delays/"))) == 2
    objects.put("serving/p/counts/delays2/000000001/one.json", b"{}")
    server.turn(msgspec.structs.replace(deployment, revision=3), 10.0)
    assert [info.key for info in objects.list("serving/p/counts/")] == ["serving/p/counts/delays2/000000001/one.json"]


def test_what_is_not_of_this_revision_or_of_no_form_counts_as_nothing(
    server: Server, objects: MemoryObjectStore
) -> None:
    deployment = canary()
    server.settle(deployment)
    before = Server("before", Tallies(objects, "p"))
    before.settle(canary(START - S))  # another deployment of that name, which was taken away
    for name, data in (("a", b"{"), ("b", b"\xff"), ("c", b"{}"), ("d", b"")):
        objects.put(f"serving/p/counts/delays/000000002/{name}.json", data)
    assert list(server.tallies.read(deployment)) == ["one"]


def test_what_has_not_changed_is_not_written_again(server: Server, objects: MemoryObjectStore) -> None:
    deployment = canary()
    server.settle(deployment)
    [info] = objects.list("serving/p/counts/")
    objects.delete(info.key)
    server.turn(deployment, 20.0)
    assert list(objects.list("serving/p/counts/")) == []
    server.see()
    server.turn(deployment, 30.0)
    assert [each.key for each in objects.list("serving/p/counts/")] == [info.key]


@pytest.mark.parametrize(("servers", "pause_s"), [(1, LOOK_S), (3, 3 * LOOK_S), (50, LONGEST_LOOK_S)])
def test_the_more_servers_there_are_the_rarer_each_of_them_looks(servers: int, pause_s: float) -> None:
    ramping, deployment = Ramping(), canary()
    ramping.begin([deployment], 0.0)
    ramping.begin([deployment], SETTLE_S)
    assert ramping.due(10.0) == [deployment]
    assert ramping.due(10.0 + LONGEST_LOOK_S - 0.1) == [], "nothing has come of it yet"
    assert ramping.judge(deployment, [{}] * servers, START, 20.0) is None
    assert ramping.due(20.0 + pause_s - 0.1) == []
    assert ramping.due(20.0 + pause_s) == [deployment]
