"""Why a deployment is not changed, a key not found, a request not answered."""

from __future__ import annotations

from collections.abc import Sequence

from headrace.errors import CheckFailed, TroubleOutside, WrongUse


class NameInvalid(WrongUse):
    """A deployment's or an arm's name is no name."""

    code = "deployment-name-invalid"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"a deployment's name has 1 to 64 of a-z, 0-9, - and _, the first a letter or digit; found {name[:80]!r}",
            fix="choose such a name",
            name=name[:80],
        )


class DeploymentUnknown(WrongUse):
    """There is no deployment of that name."""

    code = "deployment-unknown"

    def __init__(self, name: str, known: Sequence[str]) -> None:
        there = f"there are: {', '.join(known)}" if known else "there are none yet"
        super().__init__(
            f"there is no deployment {name!r}; {there}",
            fix="headrace deploy NAME makes one of the model's champion",
            name=name,
            known=list(known),
        )


class DeploymentMoved(CheckFailed):
    """Somebody else changed the deployment at the same time."""

    code = "deployment-moved"

    def __init__(self, name: str, revision: int) -> None:
        super().__init__(
            f"deployment {name!r} has another revision {revision} by now: somebody changed it at the same time",
            fix="look at headrace deployments show, and type the command again if it still holds",
            name=name,
            revision=revision,
        )


class DeploymentUnreadable(CheckFailed):
    """The stored deployment is not of a form that this release reads."""

    code = "deployment-unreadable"

    def __init__(self, key: str, reason: str) -> None:
        super().__init__(
            f"the object {key!r} is no deployment that this release reads: {reason}",
            fix="use the release that wrote it, or deploy anew under another name",
            key=key,
        )


class KeyUnknown(WrongUse):
    """There is no API key of that id."""

    code = "api-key-unknown"

    def __init__(self, name: str, known: Sequence[str]) -> None:
        super().__init__(
            f"there is no API key {name[:40]!r}", fix="headrace keys list shows them", key=name[:40], known=list(known)
        )


class VerbUnknown(WrongUse):
    """An API key was asked for that may do what no server does."""

    code = "verb-unknown"

    def __init__(self, verb: str, known: Sequence[str]) -> None:
        super().__init__(
            f"an API key may {' or '.join(known)}, found {verb[:40]!r}",
            fix=f"write --verb with {' or '.join(known)}, or both",
            verb=verb[:40],
            known=list(known),
        )


class KeyLimitInvalid(WrongUse):
    """A limit of a key's own that would let nothing through, or is no number."""

    code = "api-key-limit-invalid"

    def __init__(self, name: str, expected: str, found: float) -> None:
        super().__init__(
            f"{name} is {expected}, found {found:g}",
            fix="give such a number, or leave it out for no limit; headrace keys revoke ends a key",
            name=name,
            found=found,
        )


class KeyListMoved(TroubleOutside):
    """The list of keys changed at every try."""

    code = "api-keys-moved"

    def __init__(self, tries: int) -> None:
        super().__init__(f"the list of API keys was changed by others {tries} times in a row", fix="try again")


class KeyListUnreadable(CheckFailed):
    """The stored list of API keys is not of a form that this release reads."""

    code = "api-keys-unreadable"

    def __init__(self, key: str, reason: str) -> None:
        super().__init__(
            f"the object {key!r} is no list of API keys that this release reads: {reason}",
            fix="servers go on with the list that they knew; restore the object, or use the release that wrote it",
            key=key,
        )


class LastKnownUnreadable(TroubleOutside):
    """What a server had kept for a start without the object store is damaged."""

    code = "last-known-unreadable"

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(
            f"{path} is not what a server of this release keeps of deployments and keys: {reason}",
            fix="none is needed: it is written anew once the object store can be read",
            path=path,
        )


class StoreEmptied(TroubleOutside):
    """The object store has nothing of a project that has been served from it."""

    code = "store-emptied"

    def __init__(self) -> None:
        super().__init__(
            "the object store holds neither a deployment nor a key of this project, and it did before",
            fix="see that it is the same store: a disk that is not mounted, or another bucket, looks like an empty one",
        )


class VersionNotProbed(CheckFailed):
    """A version did not answer as it should where it was tried, before any request."""

    code = "version-not-servable"

    def __init__(self, version: str, reason: str) -> None:
        super().__init__(
            f"{version} is not served: tried in a process of its own, {reason}",
            fix="the versions that answer now go on; train the model again, or deploy another version",
            version=version,
            reason=reason,
        )


class AddressNotLocal(WrongUse):
    """The address is not of this machine alone, and there is no TLS."""

    code = "address-not-local"

    def __init__(self, host: str) -> None:
        super().__init__(
            f"{host!r} can be reached from other machines, and [serving] has no certificate: keys and rows would cross "
            f"the network in plain text",
            fix="give [serving] certificate and certificate_key; or listen on 127.0.0.1 and let a front that ends TLS "
            'ask it there; or, where the front is elsewhere, over a network of its own with it, say tls = "front"',
            host=host,
        )


class TlsUnusable(WrongUse):
    """A certificate or its key cannot be used."""

    code = "tls-unusable"

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(
            f"{path!r} cannot be used for TLS: {reason}",
            fix="[serving] certificate and certificate_key name two files in PEM that fit each other, the key readable "
            "by its owner alone",
            path=path,
        )


class AddressUnknown(WrongUse):
    """Nothing is known under the name that should be listened on."""

    code = "address-unknown"

    def __init__(self, host: str) -> None:
        super().__init__(
            f"{host[:80]!r} is neither an address nor a name that this machine knows",
            fix="write an address of this machine such as 127.0.0.1, 0.0.0.0 or ::1, without brackets and port",
            host=host[:80],
        )


class PortTaken(TroubleOutside):
    """The address cannot be listened on."""

    code = "port-taken"

    def __init__(self, host: str, port: int, reason: str) -> None:
        super().__init__(
            f"{host}:{port} cannot be listened on: {reason}",
            fix="end what listens there, or choose another with --port",
            host=host,
            port=port,
        )
