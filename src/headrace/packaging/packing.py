"""What a version needs to be served elsewhere, taken from a project: its package, its settings, who may ask."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from headrace.definition.model import Definition
from headrace.features.model import ExpressionStep, Program
from headrace.packaging.context import OBJECTS, PORT, Contents
from headrace.packaging.embedded import embedded_objects, usable_keys
from headrace.packaging.errors import HostNameInvalid
from headrace.packaging.serving_toml import ServingDefinition
from headrace.packaging.wheel import pack_wheel
from headrace.registry.versions import Registry
from headrace.scoring.package import decode_json
from headrace.serving.deployments import check_name
from headrace.serving.keys import ApiKey

OBJECTS_VARIABLE: Final = "HEADRACE_OBJECTS"
ONLINE_VARIABLE: Final = "HEADRACE_ONLINE"
DRAIN_US: Final = 5_000_000
"""How long a packed server that is told to end still takes connections, where the project says nothing: balancers that
look every second or two have noticed by then."""
_HOST: Final = re.compile(r"[0-9A-Za-z.:\[\]-]{1,255}")


class Packed(msgspec.Struct, frozen=True, kw_only=True):
    """What was packed, for who packed it."""

    model: str
    version: int
    package: str
    deployment: str
    embedded: bool
    keys: int
    """How many API keys it knows; those in a store of its own are not counted."""
    needs: tuple[str, ...]
    """Variables that its environment has to have."""


class Packing:
    """Of one project.

    Parameters
    ----------
    signers : public keys whose packages are trusted
    keys : the project's API keys
    clock : microseconds since 1970 UTC
    """

    def __init__(
        self,
        definition: Definition,
        registry: Registry,
        *,
        signers: Sequence[str],
        keys: Callable[[], tuple[ApiKey, ...]],
        clock: Callable[[], int],
    ) -> None:
        self._definition, self._registry = definition, registry
        self._signers, self._keys, self._clock = tuple(signers), keys, clock

    def contents(
        self,
        reference: str,
        *,
        deployment: str | None = None,
        hosts: Sequence[str] = (),
        workers: int | None = None,
        embed: bool = True,
        everywhere: bool,
    ) -> tuple[Contents, Packed]:
        """Everything that is to be written.

        Parameters
        ----------
        reference : as `Registry.get` takes it
        deployment : the name to answer under; the model's when left out
        hosts : what else a `Host` header may say
        workers : processes that answer; as the project says when left out
        embed : pack the version, and the digests of the keys that may ask for it; else they come from a store
        everywhere : listen on every address of its host, as a container does

        Raises
        ------
        ReferenceInvalid, ModelUnknown, AliasUnknown, VersionUnknown, PackageRefused, NameInvalid, HostNameInvalid,
        InstallationUnknown, InstallationChanged
        """
        project = self._definition.project.name
        version = self._registry.get(reference, model=project)
        name = version.model if deployment is None else deployment
        check_name(name)
        for host in hosts:
            if not _HOST.fullmatch(host):
                raise HostNameInvalid(host)
        files = self._registry.files(version)
        program = decode_json(self._registry.read(version), "program.json", Program)
        reads_online = not all(isinstance(step, ExpressionStep) for step in program.steps)
        serving = self._definition.serving
        serving = msgspec.structs.replace(
            serving,
            hosts=(*serving.hosts, *(host for host in hosts if host not in serving.hosts)),
            workers=workers or serving.workers,
            most_workers=None if workers else serving.most_workers,
            certificate=None,  # a key has no place in an image: a front ends TLS, or files are mounted and named
            certificate_key=None,
            clients=None,
            grpc_port=None,  # what it needs is not among the locked libraries: the server would not start
        )
        if everywhere:
            drain_us = serving.drain_us or DRAIN_US
            serving = msgspec.structs.replace(serving, host="0.0.0.0", tls="front", port=PORT, drain_us=drain_us)  # noqa: S104
        known = usable_keys(self._keys(), name, self._clock()) if embed else ()
        objects = None
        if embed:
            objects = embedded_objects(version, files, project=project, name=name, sticky=serving.sticky, keys=known)
        definition = ServingDefinition(
            project=project,
            objects=OBJECTS if embed else f"${{env:{OBJECTS_VARIABLE}}}",
            online=f"${{env:{ONLINE_VARIABLE}}}" if reads_online or not embed else None,
            serving=serving,
            reads=self._definition.online,
            signers=self._signers,
        )
        needs = [OBJECTS_VARIABLE] * (not embed) + [ONLINE_VARIABLE] * (definition.online is not None)
        packed = Packed(
            model=version.model,
            version=version.number,
            package=version.package,
            deployment=name,
            embedded=embed,
            keys=len(known),
            needs=tuple(needs),
        )
        return Contents(version, name, definition, objects, pack_wheel()), packed
