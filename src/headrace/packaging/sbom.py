"""A bill of materials in CycloneDX 1.6 (ECMA-424): the model, headrace, and every library that serves it.

https://cyclonedx.org/docs/1.6/json/
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from headrace.packaging.requirements import Locked
from headrace.packaging.wheel import NAME, Wheel
from headrace.registry.model import Version

_SPACE: Final = uuid.UUID("2b4f8a0e-6f0c-5d43-9a55-3c1f6c9f8f57")
_PYTHON: Final = "pkg:pypi"


def bill_of_materials(version: Version | None, wheel: Wheel, locked: Sequence[Locked], *, title: str) -> bytes:
    """The document, the same bytes for the same arguments.

    Parameters
    ----------
    version : whose package is packed along; None: models come from a store
    title : what the whole is called
    """
    own = f"{_PYTHON}/{NAME}@{wheel.version}"
    root = f"container:{title}"
    components: list[dict[str, Any]] = [
        {
            "type": "application",
            "bom-ref": own,
            "name": NAME,
            "version": wheel.version,
            "purl": own,
            "licenses": [{"license": {"id": "Apache-2.0"}}],
            "hashes": [_sha256(wheel.sha256)],
        }
    ]
    if version is not None:
        components.append(
            {
                "type": "machine-learning-model",
                "bom-ref": _model_ref(version),
                "name": version.model,
                "version": str(version.number),
                "hashes": [_sha256(version.package)],
                "properties": [{"name": "headrace:signer", "value": version.signer}],
            }
        )
    refs = {each.name: f"{_PYTHON}/{each.name}@{each.version}" for each in locked}
    for each in locked:
        component: dict[str, Any] = {
            "type": "library",
            "bom-ref": refs[each.name],
            "name": each.name,
            "version": each.version,
            "purl": refs[each.name],
        }
        if each.marker is not None:  # which of its files is installed is decided where it is built
            component |= {"scope": "optional", "properties": [{"name": "headrace:marker", "value": each.marker}]}
        components.append(component)
    needs = {ref: sorted(refs[o.name] for o in locked if each in o.needed_by) for each, ref in refs.items()}
    needs[own] = sorted(refs[each.name] for each in locked if NAME in each.needed_by)
    needs[root] = [own]
    if version is not None:
        needs[_model_ref(version)] = []
        needs[root] = [own, _model_ref(version)]
    document: dict[str, Any] = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "tools": {"components": [{"type": "application", "name": NAME, "version": wheel.version}]},
            "component": {
                "type": "application",
                "bom-ref": root,
                "name": title,
                **({} if version is None else {"version": str(version.number)}),
            },
        },
        "components": components,
        "dependencies": [{"ref": ref, "dependsOn": on} for ref, on in needs.items()],
    }
    if version is not None:
        document["metadata"] = {"timestamp": made_at(version), **document["metadata"]}
    document["serialNumber"] = f"urn:uuid:{uuid.uuid5(_SPACE, msgspec.json.encode(document).decode())}"
    return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"


def made_at(version: Version) -> str:
    """When the version was made, as RFC 3339 has it."""
    return datetime.fromtimestamp(version.created_us // 1_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _model_ref(version: Version) -> str:
    return f"model:{version.model}@{version.number}"


def _sha256(digest: str) -> dict[str, str]:
    return {"alg": "SHA-256", "content": digest}
