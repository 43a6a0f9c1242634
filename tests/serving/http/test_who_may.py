"""Who may ask for what, over all addresses that there are; and that none of them administers anything."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.scoring.made import ROW
from tests.serving.http.inside import PATH, Inside, answers, deployment, key, request, turns, version, within
from tests.serving.http.test_inference import INFER, infer

from headrace.serving.http.routes import ROUTES
from headrace.serving.keys import VERBS, ApiKey, KeyRing

OPEN = {"/healthz", "/readyz", "/metrics", "/v2", "/v2/health/live", "/v2/health/ready"}
"""As the page on serving lists them."""
OUTCOMES = "/v1/deployments/delays/outcomes"
TRUTHS = {"outcomes": [{"request_id": "q", "value": True}]}
READ = [each.path.replace("{name}", "delays").replace("{version}", "1") for each in ROUTES]
MIGHT = [
    "/",
    "/v1",
    "/v1/keys",
    "/v1/keys/abc",
    "/v1/deployments/other",
    "/admin",
    "/keys",
    "/console",
    "/v2/repository",
]
WRITES = [(PATH, ROW), (OUTCOMES, TRUTHS), (INFER, infer([ROW]))]
NOBODY = KeyRing(())
EVERYTHING = key(verbs=VERBS)


async def asked(inside: Inside, method: str, path: str, body: object = b"") -> int:
    """The status; a page that is not JSON may come."""
    connection, transport = inside.connect()
    connection.data_received(request(body, method=method, path=path))
    await turns()
    assert transport.sent.startswith(b"HTTP/1.1 ")
    return int(transport.sent[9:12])


@pytest.mark.parametrize("held", [None, EVERYTHING], ids=["no key", "a key for everything"])
def test_a_new_project_answers_nobody_and_no_address_changes_anything(tmp_path: Path, held: ApiKey | None) -> None:
    async def run() -> None:
        one = version(1)
        inside = Inside(tmp_path, deployment({"v1": one}), [one], held=held)
        if held is None:
            inside.desk.gate.install(NOBODY)
        may = {
            *(("GET", path) for path in READ if held is not None or path in OPEN),
            *(("POST", path) for path, _ in WRITES if held is not None),
        }
        bodies = dict(WRITES)
        for path in (*READ, *MIGHT, *bodies):
            for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
                body: object = bodies.get(path, b"") if method == "POST" else b""
                status = await asked(inside, method, path, body)
                assert (200 <= status < 300) == ((method, path) in may), (method, path, status)
                if held is None and (method, path) not in may:
                    assert status == (405 if path in OPEN else 401), (method, path)
        assert inside.faults == []

    within(run())


def test_what_is_open_to_all_is_what_the_page_lists() -> None:
    page = (Path(__file__).parents[3] / "docs/how-to/serve.md").read_text(encoding="utf-8")
    assert {each.path for each in ROUTES if each.permission == "open"} == OPEN
    assert [path for path in OPEN if f"`{path}`" not in page] == []
    assert {each.permission for each in ROUTES} == {"open", "predict"}  # administering is no server's to allow


def test_a_key_that_lost_its_list_is_nobodys(tmp_path: Path) -> None:
    async def run() -> None:
        one = version(1)
        inside = Inside(tmp_path, deployment({"v1": one}), [one])
        connection, transport = inside.connect()
        connection.data_received(request())
        await turns()
        inside.desk.install({"delays": inside.desk.endpoints[0]}, NOBODY)
        connection.data_received(request())  # a head that is known
        await turns()
        assert [status for status, _, _ in answers(transport.sent)] == [200, 401]

    within(run())
