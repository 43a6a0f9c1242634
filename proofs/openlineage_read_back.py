"""Run by the environment of proofs/openlineage.txt: reads events through the client's classes, emits them again.

Arguments: a file of events, a file to emit to. Fails when an event does not fit the client's classes.
"""

from __future__ import annotations

import importlib
import json
import pkgutil
import sys
from pathlib import Path
from typing import Any

from openlineage.client import OpenLineageClient, event_v2
from openlineage.client import generated as facets
from openlineage.client.transport.file import FileConfig, FileTransport

CLASSES: dict[str, Any] = {}
for module in pkgutil.iter_modules(facets.__path__):
    found_here = vars(importlib.import_module(f"{facets.__name__}.{module.name}"))
    CLASSES |= {name: value for name, value in found_here.items() if name.endswith("Facet")}


def facet(found: dict[str, Any]) -> object:
    """The client's own class for a facet, named by the schema that the facet says it has."""
    kind = CLASSES[found["_schemaURL"].rpartition("/")[2]]
    values = {key: value for key, value in found.items() if not key.startswith("_")}
    made = kind(**values)
    assert made._schemaURL == found["_schemaURL"], (made._schemaURL, found["_schemaURL"])
    return made


def read(found: dict[str, Any]) -> dict[str, object]:
    return {name: facet(value) for name, value in found.items()}


def dataset(kind: type, found: dict[str, Any]) -> object:
    return kind(**{key: read(value) if key.lower().endswith("facets") else value for key, value in found.items()})


def event(found: dict[str, Any]) -> event_v2.RunEvent:
    assert found["schemaURL"] == event_v2.RunEvent._get_schema()
    return event_v2.RunEvent(
        eventTime=found["eventTime"],
        eventType=event_v2.RunState[found["eventType"]],
        run=event_v2.Run(found["run"]["runId"], read(found["run"]["facets"])),
        job=event_v2.Job(found["job"]["namespace"], found["job"]["name"], read(found["job"]["facets"])),
        inputs=[dataset(event_v2.InputDataset, one) for one in found["inputs"]],
        outputs=[dataset(event_v2.OutputDataset, one) for one in found["outputs"]],
        producer=found["producer"],
    )


if __name__ == "__main__":
    client = OpenLineageClient(transport=FileTransport(FileConfig(log_file_path=sys.argv[2], append=True)))
    with Path(sys.argv[1]).open(encoding="utf-8") as lines:
        for line in lines:
            client.emit(event(json.loads(line)))
    client.close()
