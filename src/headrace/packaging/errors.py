"""Why a version is not packed."""

from __future__ import annotations

from collections.abc import Sequence

from headrace.errors import CheckFailed, WrongUse


class ImageNameInvalid(WrongUse):
    """What names an image is no name of one."""

    code = "image-name-invalid"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"an image is named REGISTRY/NAME:TAG@sha256:DIGEST, tag and digest if known; found {name[:200]!r}",
            fix="write such a name, for example docker.io/library/python:3.11-slim-bookworm",
            name=name[:200],
        )


class NotWritable(WrongUse):
    """A value cannot be written into a generated file without meaning something else there."""

    code = "value-not-writable"

    def __init__(self, where: str, reason: str) -> None:
        super().__init__(f"{where} cannot be written: {reason}", fix="choose another value", where=where)


class InstallationUnknown(WrongUse):
    """The package that runs was not installed, so that nothing tells what it consists of."""

    code = "installation-unknown"

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"what is packed is the installed headrace, and this one cannot be taken apart: {reason}",
            fix='install it: pip install "headrace[build,serve]"',
        )


class InstallationChanged(CheckFailed):
    """A file of the installed package is not what was installed."""

    code = "installation-changed"

    def __init__(self, file: str) -> None:
        super().__init__(
            f"{file} of the installed headrace is not what was installed: it is gone, or its SHA-256 is another than "
            "RECORD says",
            fix="install headrace anew, then pack again",
            file=file,
        )


class HostNameInvalid(WrongUse):
    """What a Host header may say is no name of a host."""

    code = "host-name-invalid"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"a Host header names a host by letters, digits, dots and hyphens; found {name[:80]!r}",
            fix="write the name by which the server is asked, without a port, for example predict.example",
            name=name[:80],
        )


class PackingUnclear(WrongUse):
    """Options that do not go together."""

    code = "package-options-unclear"

    def __init__(self, found: str, fix: str) -> None:
        super().__init__(found, fix=fix)


class KubernetesNameInvalid(WrongUse):
    """Kubernetes would not take the name."""

    code = "kubernetes-name-invalid"

    def __init__(self, name: str) -> None:
        super().__init__(
            "Kubernetes names things by 1 to 53 of a-z, 0-9 and -, ends without -, begins services with a letter; "
            f"found {name[:80]!r}",
            fix="choose another with --deployment, --namespace or --log-claim",
            name=name[:80],
        )


class PodsUnclear(WrongUse):
    """So many pods there cannot be."""

    code = "pods-unclear"

    def __init__(self, least: int, most: int) -> None:
        super().__init__(
            f"at least {least} and at most {most} pods are no number of pods",
            fix="say 1 or more for --pods, and no fewer for --most-pods",
            least=least,
            most=most,
        )


class ServerAddressInvalid(WrongUse):
    """A server that a front should ask is not an address."""

    code = "server-address-invalid"

    def __init__(self, address: str) -> None:
        super().__init__(
            f"a server is HOST:PORT; found {address[:200]!r}",
            fix="write such an address, for example 10.0.0.1:8000",
            address=address[:200],
        )


class NoServers(WrongUse):
    """A front without anybody to ask."""

    code = "no-servers"

    def __init__(self) -> None:
        super().__init__(
            "a front needs servers to ask", fix="name each with --server HOST:PORT, or several parted by commas"
        )


class NameTaken(WrongUse):
    """Two servers of one address."""

    code = "server-named-twice"

    def __init__(self, addresses: Sequence[str]) -> None:
        super().__init__(
            f"each server is named once; twice: {', '.join(addresses)}",
            fix="leave it out the second time",
            addresses=list(addresses),
        )
