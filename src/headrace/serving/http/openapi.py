"""The OpenAPI 3.1 page of a server, made of the deployments that it answers: every request typed by its model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from headrace.serving.batch.messages import FORMATS
from headrace.serving.http.endpoint import Endpoint
from headrace.serving.log.outcomes import GREATEST_ROW
from headrace.serving.log.posted import MOST as MOST_OUTCOMES
from headrace.serving.log.posted import MOST_LETTERS, REQUEST_ID
from headrace.serving.versions import request_schema

_PROBLEM: dict[str, Any] = {
    "type": "object",
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string", "description": "stable; see the reference of errors"},
        "fix": {"type": "string"},
        "facts": {"type": "object"},
        "id": {"type": "string"},
        "error": {"type": "string", "description": "the detail, to clients of the Open Inference Protocol"},
    },
    "required": ["type", "title", "status", "detail", "code"],
}
_FAILURES = {
    "400": "no HTTP, or no JSON",
    "401": "no API key, or none that holds",
    "403": "the key may not do this",
    "404": "no such deployment",
    "405": "another method",
    "408": "the request came too slowly",
    "413": "too large",
    "414": "too long an address",
    "415": "a content type that is not read here",
    "421": "a name that this server does not answer under",
    "422": "a row that the model cannot read",
    "429": "too much at a time",
    "431": "too large or too many headers",
    "500": "no version has an answer",
    "503": "not ready, or the log of predictions cannot be written",
    "504": "no answer within the time that the request gave",
    "507": "the log of predictions has no space",
}


def openapi(endpoints: Sequence[Endpoint], *, batches: bool = False) -> dict[str, Any]:
    """The page, as an object.

    Parameters
    ----------
    batches : whether rows may come in Arrow and Parquet
    """
    paths: dict[str, Any] = {
        "/healthz": _plain("Whether the process lives", open_to_all=True),
        "/readyz": _plain("Whether it answers predictions", open_to_all=True, also={"503": "not yet, or no longer"}),
        "/metrics": _metrics(),
        "/openapi.json": _plain("This page"),
        "/v1/deployments": _plain("What is served here"),
        "/v2": _plain("The server, by the Open Inference Protocol", open_to_all=True),
        "/v2/health/live": _plain("Whether the process lives", open_to_all=True),
        "/v2/health/ready": _plain(
            "Whether it answers predictions", open_to_all=True, also={"503": "not yet, or no longer"}
        ),
    }
    schemas: dict[str, Any] = {"Problem": _PROBLEM}
    for endpoint in endpoints:
        name = endpoint.name
        schemas[f"{name}.Row"] = row_schema(endpoint)
        schemas[f"{name}.Answer"] = answer_schema(endpoint)
        paths[f"/v1/deployments/{name}"] = _plain(f"Who answers as {name}")
        paths[f"/v1/deployments/{name}/outcomes"] = {"post": _outcomes(endpoint)}
        paths[f"/v1/deployments/{name}/predict"] = {"post": _predict(name, batches=batches)}
        paths[f"/v2/models/{name}"] = _plain(f"{name} as a model of the Open Inference Protocol")
        paths[f"/v2/models/{name}/ready"] = _plain(f"Whether {name} answers")
        paths[f"/v2/models/{name}/infer"] = {"post": _infer(name)}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Headrace prediction server", "version": "1"},
        "security": [{"key": []}],
        "paths": paths,
        "components": {"schemas": schemas, "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}}},
    }


def _predict(name: str, *, batches: bool) -> dict[str, Any]:
    file: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}}
    files = {kind.decode(): file for kind in FORMATS} if batches else {}
    row, answer = {"$ref": f"#/components/schemas/{name}.Row"}, {"$ref": f"#/components/schemas/{name}.Answer"}
    many = {
        "type": "object",
        "properties": {"id": {"type": "string"}, "predictions": {"type": "array", "items": answer}},
        "required": ["id", "predictions"],
    }
    return {
        "summary": f"Ask {name}: one row as an object, or several as an array",
        "operationId": f"predict_{name}",
        "parameters": [
            {
                "name": "x-request-id",
                "in": "header",
                "required": False,
                "description": "names the prediction; a request that is sent again with the same id is logged once",
                "schema": {"type": "string", "pattern": REQUEST_ID},
            },
            {
                "name": "x-timeout-ms",
                "in": "header",
                "required": False,
                "description": "how long the client waits; what cannot be answered by then is not begun",
                "schema": {"type": "integer", "minimum": 1, "maximum": 3_600_000},
            },
        ],
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": {"oneOf": [row, {"type": "array", "items": row}]}}, **files},
        },
        "responses": {
            "200": {
                "description": "the answer, or an answer for each row",
                "content": {"application/json": {"schema": {"oneOf": [answer, many]}}, **files},
            },
            **_failures({"406": "a batch is not answered in that form"} if batches else {}),
        },
    }


def _outcomes(endpoint: Endpoint) -> dict[str, Any]:
    name = endpoint.name
    instant = {"type": "string", "format": "date-time"}
    told = {
        "value": {
            "oneOf": [
                {"type": "boolean"},
                {"type": "number", "minimum": -(2**63), "maximum": 2**63 - 1},
                {"type": "string", "maxLength": MOST_LETTERS},
            ]
        },
        "known": {
            "type": ["string", "null"],
            "format": "date-time",
            "description": "when it became known; now when left out",
        },
    }
    of_request = {
        "request_id": {"type": "string", "pattern": REQUEST_ID},
        "row": {"type": "integer", "minimum": 0, "maximum": GREATEST_ROW},
    }
    shapes = [_closed({**of_request, **told}, required=["request_id", "value"])]
    if endpoint.sticky:
        row = row_schema(endpoint)["properties"]
        columns = {column: {**row[column], "type": _not_null(row[column]["type"])} for column in endpoint.sticky}
        of_entity = {
            "entity": _closed(columns, required=list(columns)),
            "at": {**instant, "description": "its newest answer at this instant"},
        }
        shapes.append(_closed({**of_entity, **told}, required=["entity", "at", "value"]))
    one = shapes[0] if len(shapes) == 1 else {"oneOf": shapes}
    posted = {"type": "array", "items": one, "minItems": 1, "maxItems": MOST_OUTCOMES}
    body = _closed({"outcomes": posted}, required=["outcomes"])
    accepted = {"type": "object", "properties": {"accepted": {"type": "integer"}}, "required": ["accepted"]}
    return {
        "summary": f"Say what became true of what {name} predicted",
        "operationId": f"outcomes_{name}",
        "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
        "responses": {
            "202": {"description": "kept", "content": {"application/json": {"schema": accepted}}},
            **_failures(),
        },
    }


def _infer(name: str) -> dict[str, Any]:
    shape = {"type": "array", "items": {"type": "integer", "minimum": 0}, "minItems": 1, "maxItems": 2}
    tensor = {
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "shape": shape,
            "datatype": {"type": "string"},
            "data": {"type": ["array", "null"]},
            "parameters": {"type": "object"},
        },
        "required": ["name", "shape", "datatype"],
    }
    output = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
    asked = {
        "type": "object",
        "properties": {
            "id": {"type": ["string", "null"], "pattern": REQUEST_ID},
            "inputs": {"type": "array", "items": tensor, "minItems": 1},
            "outputs": {"type": ["array", "null"], "items": output, "uniqueItems": True},
            "parameters": {"type": "object"},
        },
        "required": ["inputs"],
    }
    told = {
        "type": "object",
        "properties": {
            "model_name": {"type": "string"},
            "id": {"type": "string"},
            "outputs": {"type": "array", "items": tensor},
        },
        "required": ["model_name", "outputs"],
    }
    return {
        "summary": f"Ask {name} by the Open Inference Protocol: a tensor a column",
        "operationId": f"infer_{name}",
        "requestBody": {"required": True, "content": {"application/json": {"schema": asked}}},
        "responses": {
            "200": {
                "description": "a tensor an output; binary where that was asked for",
                "content": {
                    "application/json": {"schema": told},
                    "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
                },
            },
            **_failures(),
        },
    }


def _closed(properties: dict[str, Any], *, required: list[str]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _not_null(types: list[str]) -> str | list[str]:
    found = [kind for kind in types if kind != "null"]
    return found[0] if len(found) == 1 else found


def row_schema(endpoint: Endpoint) -> dict[str, Any]:
    """JSON Schema of one row: what every arm reads, as nobody knows in advance who will."""
    schemas = [request_schema(endpoint.version_of(slot)) for slot in endpoint.slots]
    properties = {name: kind for schema in reversed(schemas) for name, kind in schema["properties"].items()}
    return {**schemas[0], "properties": properties, "required": sorted(properties)}


def answer_schema(endpoint: Endpoint) -> dict[str, Any]:
    """JSON Schema of one answer."""
    versions = [endpoint.version_of(slot) for slot in endpoint.slots]
    version = versions[0]
    number = {"type": "number"}
    classes = dict.fromkeys(name for each in versions for name in each.scorer.decider.decision.classes)
    kinds: dict[str, dict[str, Any]] = {
        "binary": {"probability": number, "decision": {"type": "boolean"}},
        "multiclass": {
            "probabilities": {"type": "object", "additionalProperties": number},
            "decision": {"type": "string", "enum": list(classes)},
        },
        "regression": {"value": number, "low": number, "high": number},
    }
    said = kinds[version.task]
    if version.task != "regression":
        said |= {"set": {"type": "array", "items": {"type": "string"}}, "review": {"type": "boolean"}}
    names = {"deployment": "string", "arm": "string", "model": "string", "version": "integer", "id": "string"}
    return {
        "type": "object",
        "properties": {**{name: {"type": kind} for name, kind in names.items()}, **said},
        "required": ["deployment", "arm", "model", "version"],
    }


def _plain(summary: str, *, open_to_all: bool = False, also: dict[str, str] | None = None) -> dict[str, Any]:
    plain = {"application/json": {"schema": {"type": "object"}}}
    answers: dict[str, Any] = {"200": {"description": "as said", "content": plain}, **_failures()}
    for status, text in (also or {}).items():
        answers[status] = {"description": text, "content": {**answers[status]["content"], **plain}}
    found: dict[str, Any] = {"summary": summary, "responses": answers}
    if open_to_all:
        found["security"] = []
    return {"get": found}


def _metrics() -> dict[str, Any]:
    found = _plain("Counters for Prometheus", open_to_all=True)
    found["get"]["responses"]["200"] = {
        "description": "text exposition format",
        "content": {"text/plain": {"schema": {"type": "string"}}},
    }
    return found


def _failures(also: Mapping[str, str] = MappingProxyType({})) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Problem"}
    return {
        status: {"description": text, "content": {"application/problem+json": {"schema": schema}}}
        for status, text in {**_FAILURES, **also}.items()
    }
