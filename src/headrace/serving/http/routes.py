"""Every address but that of predictions. A route says which permission it needs; one that says none cannot be made."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from headrace.serving.http.connection import Request
from headrace.serving.http.endpoint import Endpoint
from headrace.serving.http.openapi import openapi
from headrace.serving.http.responses import JSON, TEXT, Problem, encode, version_not_chosen
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
    if not desk.answers_right():
        return 503, JSON, b'{"status":"wrong answers"}'
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
    return 200, JSON, encode(openapi(_seen(desk, key), batches=desk.answers_batches))


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


def _pattern(path: str) -> str:
    """Of a route's path: a deployment's name, and a version's number."""
    parts = {"{name}": "(?P<name>[^/]+)", "{version}": "(?P<version>[^/]+)"}
    return "/".join(parts.get(part, re.escape(part)) for part in path.split("/"))


def _inference_server(_: Desk, __: str, ___: ApiKey | None) -> Answer:
    return 200, JSON, encode({"name": "headrace", "version": _version(), "extensions": ["binary_tensor_data"]})


def _inference_live(_: Desk, __: str, ___: ApiKey | None) -> Answer:
    return 200, JSON, b'{"live":true}'


def _inference_ready(desk: Desk, _: str, __: ApiKey | None) -> Answer:
    status = _ready(desk, "", None)[0]
    return status, JSON, b'{"ready":true}' if status == 200 else b'{"ready":false}'


def _inference_model(desk: Desk, name: str, _: ApiKey | None) -> Answer:
    from headrace.serving.http.inference import metadata

    return 200, JSON, encode(metadata(desk.endpoint(name.encode())))


def _inference_model_ready(desk: Desk, name: str, _: ApiKey | None) -> Answer:
    desk.endpoint(name.encode())
    return 200, JSON, encode({"name": name, "ready": True})


def _version() -> str:
    from importlib.metadata import version

    return version("headrace")


ROUTES: Final = (
    Route("GET", "/healthz", "open", _healthy),
    Route("GET", "/readyz", "open", _ready),
    Route("GET", "/metrics", "open", _metrics),
    Route("GET", "/openapi.json", "predict", _openapi),
    Route("GET", "/v1/deployments", "predict", _deployments),
    Route("GET", "/v1/deployments/{name}", "predict", _deployment),
    Route("GET", "/v2", "open", _inference_server),
    Route("GET", "/v2/health/live", "open", _inference_live),
    Route("GET", "/v2/health/ready", "open", _inference_ready),
    Route("GET", "/v2/models/{name}", "predict", _inference_model),
    Route("GET", "/v2/models/{name}/ready", "predict", _inference_model_ready),
    Route("GET", "/v2/models/{name}/versions/{version}", "predict", _inference_model),
    Route("GET", "/v2/models/{name}/versions/{version}/ready", "predict", _inference_model_ready),
)
_PATTERNS: Final = tuple((each, re.compile(_pattern(each.path))) for each in ROUTES)


def route(desk: Desk, request: Request) -> None:
    """Answer a request that is not for predictions; raises `Problem`."""
    try:
        path = request.url.partition(b"?")[0].decode("ascii")
    except UnicodeDecodeError:
        path = ""
    hit = next(((each, found) for each, pattern in _PATTERNS if (found := pattern.fullmatch(path)) is not None), None)
    if hit is None:
        desk.gate.known_key(request.headers)  # who is not known learns nothing of which addresses there are
        raise Problem(404, "address-unknown", "there is nothing at this address", fix="GET /openapi.json lists them")
    each, parts = hit[0], hit[1].groupdict()
    name, key = parts.get("name", ""), None
    if each.permission != "open":
        key = desk.gate.allowed(request, each.permission, name) if name else desk.gate.may(request, each.permission)
    if request.method not in (b"GET", b"HEAD"):
        raise Problem(405, "method-not-allowed", "this address is read with GET", headers=(b"allow: GET, HEAD",))
    if "version" in parts:
        from headrace.serving.http.inference import versions

        if versions(desk.endpoint(name.encode())) != [parts["version"]]:
            raise version_not_chosen()
    status, kind, body = each.answer(desk, name, key)
    desk.reply(request, status, kind, body)
