"""`headrace deploy` and `keys create` as scripts see them: what they end with, by what the servers tell."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.cli.conftest import Call

from headrace.app import Project, now_us
from headrace.operations import deploying
from headrace.registry.model import Version
from headrace.serving import pulling
from headrace.serving.keys import KEPT_US, Keys
from headrace.serving.model import Served
from headrace.serving.pulling import ServerState, changes_key
from headrace.serving.revisions import Change, begin


def told(
    root: Path,
    *,
    server: str = "s1",
    failed: dict[str, str] | None = None,
    keys: int = 0,
    ago_s: int = 0,
    pod: str = "",
    workers: int = 2,
    **revisions: int,
) -> None:
    """A server tells of itself."""
    with Project.open(root) as project:
        state = ServerState(
            id=server,
            at_us=now_us() - ago_s * 1_000_000,
            host=pod,
            address="0.0.0.0:8000" if pod else f"host-{server}:8000",
            workers=workers,
            revisions=revisions,
            keys=keys,
            failed=failed or {},
        )
        project.objects.put(f"serving/{project.name}/servers/{server}.json", msgspec.json.encode(state))


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deploying, "WAIT_S", 0.3)
    monkeypatch.setattr(pulling, "KEYS_WAIT_S", 0.3)


def test_a_change_ends_with_0_once_every_server_answers_by_it(call: Call, delays: Path) -> None:
    said = call("deploy", "one")
    assert said.code == 0
    assert "no server runs" in said.out
    told(delays, one=2, two=1)
    assert "1 server answers by it" in call("deploy", "one", "--constant", "0.5").out
    told(delays, two=1)
    told(delays, server="s2", two=1, failed={"other 1": "no"})
    said = call("deploy", "two")
    assert said.code == 0
    assert "2 servers answer by it" in said.out


def test_a_change_that_a_server_cannot_serve_ends_with_1_and_says_why(call: Call, delays: Path) -> None:
    told(delays, one=1)
    told(delays, server="s2", failed={"one 1": "flight-delays@1: it crashed", "two 1": "another matter"})
    said = call("deploy", "one")
    assert said.code == 1
    assert "NOT served by host-s2:8000: flight-delays@1: it crashed" in said.out
    assert "another matter" not in said.out
    told(delays, server="s2", failed={"three 1": "it crashed"})
    said = call("deploy", "three", "--json")
    assert said.code == 1
    assert said.document["servers"]["failed"] == {"host-s2:8000": "it crashed"}


def test_a_change_that_some_server_has_not_taken_up_ends_with_3(call: Call, delays: Path) -> None:
    told(delays, one=1)
    told(delays, server="s2", failed={"other 1": "not of this one"})
    said = call("deploy", "one")
    assert said.code == 3
    assert "by host-s2:8000" in said.out
    assert "not of this one" not in said.out
    assert "cannot serve other 1: not of this one" in call("deployments").out


def test_pods_that_listen_alike_are_told_apart(call: Call, delays: Path) -> None:
    told(delays, server="3f9c2e81aa00", pod="delays-7d9f-abcde", one=1)
    told(delays, server="81aa003f9c2e", pod="delays-7d9f-fghij", failed={"one 1": "it crashed"})
    told(delays, server="c2e3f9aa0081", pod="delays-7d9f-klmno", failed={"one 1": "it crashed"})
    said = call("deploy", "one")
    assert said.code == 1
    assert "taken up by 1 of 3 servers" in said.out
    for pod in ("fghij", "klmno"):
        assert f"NOT served by delays-7d9f-{pod}:8000: it crashed" in said.out
    assert "server delays-7d9f-abcde:8000, which listens on 0.0.0.0:8000: 2 workers" in call("deployments").out
    told(delays, pod="delays-7d9f-abcde", workers=1, one=1)
    assert "0.0.0.0:8000: 1 worker, last" in call("deployments").out


def test_servers_of_one_name_are_told_apart_by_their_lives(call: Call, delays: Path) -> None:
    """As one that was killed and the one that took its place, or hosts of two networks."""
    for server in ("3f9c2e81aa00", "81aa003f9c2e"):
        told(delays, server=server, pod="localhost", keys=0)
    key = call("keys", "create", "--json").document
    assert sorted(key["behind"]) == ["localhost:8000 (3f9c2e)", "localhost:8000 (81aa00)"]
    told(delays, server="3f9c2e81aa00", pod="localhost", keys=1, ago_s=60)
    told(delays, server="81aa003f9c2e", pod="localhost", keys=2)
    said = call("keys", "revoke", key["id"])
    assert said.code == 3
    assert "not known to localhost:8000 (3f9c2e), not heard of since" in said.out


def test_who_has_gone_on_already_is_not_behind_and_who_is_dead_is_not_waited_for(call: Call, delays: Path) -> None:
    told(delays, one=7)  # a canary may have climbed meanwhile
    told(delays, server="s2", ago_s=60)
    said = call("deploy", "one")
    assert said.code == 0
    assert "1 server answers by it" in said.out
    assert call("keys", "create", "--json").document["servers"] == 1


def test_every_change_lets_servers_read_anew(call: Call, delays: Path) -> None:
    def changes() -> bytes:
        with Project.open(delays) as project:
            return project.objects.get(changes_key(project.name))

    key = call("keys", "create", "--json").document["id"]
    seen = {changes()}
    for words in (("keys", "create"), ("keys", "revoke", key), ("deploy", "one"), ("deploy", "one", "--constant", "1")):
        assert call(*words).code == 0
        seen.add(changes())
    assert len(seen) == 5


@pytest.mark.parametrize(
    ("summary", "price"),
    [
        ({"currency": "USD", "costs": {"serving": 4.0}}, 4e-6),
        ({"currency": "EUR", "costs": {"serving": 4.0}}, None),
        ({"currency": "USD", "costs": None}, None),
        ({}, None),
    ],
)
def test_a_server_is_told_what_an_answer_costs_in_dollars(summary: dict[str, Any], price: float | None) -> None:
    made = Version(model="m", number=1, package="0" * 64, signer="", run="r", created_us=1, summary=summary)
    assert deploying.served(made).price_usd == price


def test_columns_that_the_definition_has_changed_come_with_the_next_deploy(call: Call, delays: Path) -> None:
    assert call("deploy", "one").code == 0
    with (delays / "headrace.toml").open("a") as definition:
        definition.write('\n[serving]\nsticky = ["tailnum"]\n')
    assert call("deploy", "one").code == 0
    with Project.open(delays) as project:
        assert [each.sticky for each in project.service.deploying().stored.history("one")] == [(), ("tailnum",)]
    said = call("deploy", "one")
    assert said.code == 2
    assert "version-answers-already" in said.err


@pytest.mark.parametrize("verb", ["metrics", "admin", "predictt"])
def test_a_key_for_what_no_server_does_is_wrong_use(call: Call, delays: Path, verb: str) -> None:
    said = call("keys", "create", "--verb", verb)
    assert said.code == 2
    assert "verb-unknown" in said.err
    assert "predict or outcomes" in said.err
    assert call("keys", "create", "--verb", "predict", "outcomes").code == 0


def test_who_changes_a_key_waits_until_every_server_knows(call: Call, delays: Path) -> None:
    first = call("keys", "create", "--json")
    assert (first.code, first.document["servers"], first.document["behind"]) == (0, 0, [])
    told(delays, keys=2)
    told(delays, server="s2", keys=1)
    said = call("keys", "create", "--rate", "5", "--concurrency", "2")
    assert said.code == 0
    assert "at most 5 / s, 2 at a time" in said.out
    assert "not yet known to host-s2:8000" in said.out
    assert "5 / s, 2 at a time" in call("keys", "list").out
    told(delays, server="s2", keys=2)
    ended = call("keys", "revoke", first.document["id"])
    assert ended.code == 3
    assert "not yet known to host-s1:8000, host-s2:8000" in ended.out
    for server in ("s1", "s2"):
        told(delays, server=server, keys=3)
    assert call("keys", "revoke", first.document["id"], "--json").document["behind"] == []
    assert "api-key-limit-invalid" in call("keys", "create", "--rate", "0").err


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("--lifetime", "0s"), "lifetime-invalid"),
        (("--lifetime", "soon"), "lifetime-invalid"),
        (("--deployment", "Flight Delays"), "deployment-name-invalid"),
        (("--deployment", "one,two"), "deployment-name-invalid"),
    ],
)
def test_a_key_that_could_never_be_used_is_not_made(
    call: Call, delays: Path, words: tuple[str, ...], code: str
) -> None:
    said = call("keys", "create", *words)
    assert (said.code, code in said.err) == (2, True), said.err
    assert call("keys", "list", "--json").document["keys"] == []


@pytest.mark.parametrize("ago_s", [60, -60, 3_500])
def test_a_server_that_is_not_heard_of_may_still_take_a_revoked_key(call: Call, delays: Path, ago_s: int) -> None:
    key = call("keys", "create", "--json").document["id"]
    told(delays, server="cut-off", keys=1, ago_s=ago_s)
    told(delays, server="knew-it", keys=2, ago_s=ago_s)
    told(delays, server="too-old", keys=1, ago_s=3_700)  # what it knows is older than [serving] max_stale: it refuses
    ended = call("keys", "revoke", key)
    assert ended.code == 3
    assert "not known to host-cut-off:8000, not heard of since" in ended.out
    said = call("keys", "revoke", key, "--json")
    assert (said.code, said.document["servers"], said.document["behind"]) == (3, 0, [])
    assert said.document["silent"] == ["host-cut-off:8000"]


def test_keys_that_ended_long_ago_are_listed_when_asked_for(call: Call, delays: Path) -> None:
    day = 86_400_000_000
    with Project.open(delays) as project:
        past = Keys(project.objects, project.name, clock=lambda: now_us() - KEPT_US - 2 * day)
        _, old = past.create(verbs=("predict",), lifetime_us=day, by="ann", note="old")
    told(delays, keys=1)
    assert call("keys", "list", "--json").document["keys"][0]["id"] == old.id
    said = call("keys", "create", "--json").document  # with this it leaves the list
    assert (said["servers"], len(said["behind"])) == (1, 1), "the server knows of one change, and this was the second"
    told(delays, keys=2)
    assert call("keys", "revoke", said["id"]).code == 3, "it does not know of the third"
    told(delays, keys=3)
    assert call("keys", "revoke", said["id"]).code == 0
    assert [each["id"] for each in call("keys", "list", "--json").document["keys"]] == [said["id"]]
    assert [each["id"] for each in call("keys", "list", "--all", "--json").document["keys"]] == [old.id, said["id"]]
    assert re.search(rf"{old.id} .* expired +old", call("keys", "list", "--all").out)
    again = call("keys", "revoke", old.id)
    assert (again.code, f"key {old.id} no longer holds, since " in again.out) == (0, True)


def test_a_canarys_guards_and_pace_are_said_with_it(call: Call, delays: Path) -> None:
    with Project.open(delays) as project:
        other = Served(model="flight-delays", version=9, package="f" * 64)
        change = Change(at_us=1, by="ann", salt="s")
        project.service.deploying().stored.write(begin(other, change, project=project.name, name="one"))
    said = call(
        *("deploy", "one", "1", "--canary", "5%", "--guard", "scores=0.5", "--guard", "latency=off"),
        *("--hold", "90s", "--least-rows", "7"),
    )
    assert said.code == 0, said.err
    with Project.open(delays) as project:
        ramp = project.service.deploying().stored.get("one").ramp
    assert ramp is not None
    assert {each.kind: each.limit for each in ramp.guards} == {"errors": 0.01, "scores": 0.5, "cost": 0.0}
    assert (ramp.hold_s, ramp.least_rows) == (90.0, 7)


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        (("--guard", "speed=2"), "guard-invalid"),
        (("--guard", "scores"), "guard-invalid"),
        (("--guard", "scores=nan"), "guard-invalid"),
        (("--guard", "cost=-1"), "guard-invalid"),
        (("--hold", "soon"), "canary-invalid"),
        (("--shadow",), "deploy-unclear"),
    ],
)
def test_a_canary_that_is_said_wrongly_is_wrong_use(
    call: Call, delays: Path, wrong: tuple[str, ...], code: str
) -> None:
    said = call("deploy", "one", "2", "--canary", "5%", *wrong)
    assert said.code == 2
    assert code in said.err


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("--guard", "scores=0.5"), "deploy-option-alone"),
        (("--hold", "1h"), "deploy-option-alone"),
        (("--least-rows", "7"), "deploy-option-alone"),
        (("--bandit",), "deploy-option-alone"),
        (("--shadow", "--guard", "scores=0.5"), "deploy-option-alone"),
        (("3", "--split", "1=50,2=50"), "version-beside-split"),
        (("--split", "1=50,2=50,2=50"), "share-invalid"),
    ],
)
def test_what_would_change_nothing_is_wrong_use(call: Call, delays: Path, words: tuple[str, ...], code: str) -> None:
    said = call("deploy", "one", *words)
    assert (said.code, code in said.err) == (2, True), said.err


def test_who_answers_where_the_version_cannot_is_set_by_itself(call: Call, delays: Path) -> None:
    assert call("deploy", "one").code == 0
    assert call("deploy", "one", "--fallback", "1", "--constant", "0.25").code == 0
    assert call("deploy", "one", "--constant", "0.5").code == 0
    assert call("deploy", "one", "--fallback", "none").code == 0
    assert call("deploy", "one", "--constant", "none").code == 0
    assert call("deploy", "one", "--fallback", "1", "--constant", "0.25").code == 0
    assert re.search(r"v1 100 % +v1, 0\.25 ", call("deployments").out)
    with Project.open(delays) as project:
        history = project.service.deploying().stored.history("one")[:5]
    told = [([each.version for each in one.fallbacks], one.constant) for one in history]
    assert told == [([], None), ([1], 0.25), ([1], 0.5), ([], 0.5), ([], None)]
    assert history[1].reason == "falls back to flight-delays@1, then the score 0.25"
    for wrong, code in (
        (("one", "1", "--fallback", "1"), "deploy-unclear"),
        (("one", "--constant", "much"), "constant-invalid"),
        (("one", "--constant", "inf"), "constant-invalid"),
        (("one", "--fallback", "99"), "version-unknown"),
        (("none", "--fallback", "1"), "deployment-unknown"),
    ):
        said = call("deploy", *wrong)
        assert (said.code, code in said.err) == (2, True), said.err


def test_an_address_that_others_can_reach_is_wrong_use(call: Call, delays: Path) -> None:
    said = call("serve", "--host", "0.0.0.0", "--port", "0")
    assert said.code == 2
    assert "address-not-local" in said.err
    assert "nothing is deployed" in call("deployments").out
    with (delays / "headrace.toml").open("a") as definition:
        definition.write('\n[serving]\nhost = "0.0.0.0"\n')
    assert "address-not-local" in call("serve", "--port", "0").err
