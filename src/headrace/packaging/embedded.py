"""The object store that is packed along: one version, one deployment that it answers, and who may ask.

It lies in the image as files that the server may only read. What a server writes into its store (that it lives) it then
does without.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from headrace.operations.deploying import served
from headrace.registry.model import Version
from headrace.serving.deployments import Deployments
from headrace.serving.keys import VERBS, ApiKey, KeyList, keys_key
from headrace.serving.revisions import Change, begin
from headrace.stores.objects.local import LocalObjectStore

BY = "headrace package"


def embedded_objects(
    version: Version,
    package: Mapping[str, bytes],
    *,
    project: str,
    name: str,
    sticky: Sequence[str],
    keys: Sequence[ApiKey],
) -> dict[str, bytes]:
    """Key → bytes of every object of that store, the same for the same arguments.

    Parameters
    ----------
    package : every file of the version's package, manifest and signature among them
    name : of the deployment
    keys : those that the server shall know; the store has their digests only

    Raises
    ------
    NameInvalid
    """
    change = Change(at_us=version.created_us, by=BY, salt=version.package[:16], reason=f"packed {version.number}")
    answers = served(version)
    with tempfile.TemporaryDirectory(prefix="headrace-pack-") as folder:
        store = LocalObjectStore(Path(folder))
        for file, data in package.items():
            store.put(f"packages/{version.package}/{file}", data)
        store.put(keys_key(project), msgspec.json.encode(KeyList(keys=tuple(keys))))
        Deployments(store, project).write(begin(answers, change, project=project, name=name, sticky=sticky))
        return {info.key: store.get(info.key) for info in store.list()}


def usable_keys(keys: Sequence[ApiKey], deployment: str, now_us: int) -> tuple[ApiKey, ...]:
    """Those that hold and may ask at the deployment, without what people noted of them: an image goes further than the
    project."""
    held = (key for key in keys if key.holds(now_us) and any(key.allows(verb, deployment) for verb in VERBS))
    return tuple(msgspec.structs.replace(key, by=BY, note="") for key in held)
