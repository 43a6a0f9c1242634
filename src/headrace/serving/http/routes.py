"""Every address but that of predictions. A route says which permission it needs; one that says none cannot be made."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from headrace.serving.http.connection import Request
from headrace.serving.http.endpoint import Endpoint
from headrace.serving.http.openapi import openapi
from headrace.serving.http.responses import JSON, TEXT, Problem, encode
from headrace.serving.keys import ApiKey, Verb

if TYPE_CHECKING:
    from headrace.serving.http.desk import Desk

Permission = Verb | Literal["open"]
Answer = tuple[int, bytes, bytes]
"""Status, content type, body."""


class Route(NamedTuple):
    """One address."""

    method: Literal["GET"]
    path: str
    """`{name}` stands for a deployment."""
    permission: Permission
    """`open`: anybody who reaches the port."""
    answer: Callable[[Desk, str, ApiKey | None], Answer]
    """From the desk, the deployment that is named, and the key that was sent where one is needed."""


def _healthy(_: Desk, __: str, ___: ApiKey | None) -> Answer:
    return 200, JSON, b'{"status":"ok"}'


def _ready(desk: Desk, _: str, __: ApiKey | None) -> Answer:
    if desk.draining:
        return 503, JSON, b'{"status":"draining"}'
    if not desk.ready:
        return 503, JSON, b'{"status":"starting"}'
    if desk.stale is not None:
        return 503, JSON, b'{"status":"stale"}'
    return 200, JSON, b'{"status":"ready"}'


def _metrics(desk: Desk, _: str, __: ApiKey | None) -> Answer:
    return 200, TEXT, desk.metrics()


def _deployments(desk: Desk, _: str, key: ApiKey | None) -> Answer:
    return 200, JSON, encode({"deployments": [_told(endpoint) for endpoint in _seen(desk, key)]})


def _deployment(desk: Desk, name: str, _: ApiKey | None) -> Answer:
    for endpoint in desk.endpoints:
        if endpoint.name == name:
            return 200, JSON, encode(_told(endpoint))
    raise Problem(404, "deployment-unknown", "there is no deployment of that name")


def _openapi(desk: Desk, _: str, key: ApiKey | None) -> Answer:
    return 200, JSON, encode(openapi(_seen(desk, key)))


def _seen(desk: Desk, key: ApiKey | None) -> list[Endpoint]:
    """The deployments that a key is for."""
    named = () if key is None else key.deployments
    return [each for each in desk.endpoints if not named or each.name in named]


def _told(endpoint: Endpoint) -> dict[str, object]:
    deployment = endpoint.deployment
    return {
        "name": deployment.name,
        "revision": deployment.revision,
        "since_us": deployment.at_us,
        "arms": [
            {"arm": arm.name, "model": arm.serves.model, "version": arm.serves.version, "weight": arm.weight}
            for arm in deployment.arms
        ],
        "shadows": [{"model": each.model, "version": each.version} for each in deployment.shadows],
    }


ROUTES: Final = (
    Route("GET", "/healthz", "open", _healthy),
    Route("GET", "/readyz", "open", _ready),
    Route("GET", "/metrics", "open", _metrics),
    Route("GET", "/openapi.json", "predict", _openapi),
    Route("GET", "/v1/deployments", "predict", _deployments),
    Route("GET", "/v1/deployments/{name}", "predict", _deployment),
)
_PREFIX: Final = "/v1/deployments/"


def route(desk: Desk, request: Request) -> None:
    """Answer a request that is not for predictions; raises `Problem`."""
    try:
        path = request.url.partition(b"?")[0].decode("ascii")
    except UnicodeDecodeError:
        path = ""
    name = path.removeprefix(_PREFIX) if path.startswith(_PREFIX) else ""
    for each in ROUTES:
        if each.path == path or (each.path.endswith("{name}") and name and "/" not in name):
            break
    else:
        desk.allowed(request, "predict", "")  # who is not known learns nothing of which addresses there are
        raise Problem(404, "address-unknown", "there is nothing at this address", fix="GET /openapi.json lists them")
    key = None
    if each.permission != "open":
        key = desk.known_key(request.headers) if not name else desk.allowed(request, each.permission, name)
    if request.method not in (b"GET", b"HEAD"):
        raise Problem(405, "method-not-allowed", "this address is read with GET", headers=(b"allow: GET, HEAD",))
    status, kind, body = each.answer(desk, name, key)
    desk.reply(request, status, kind, body)
