"""TLS of a server: its certificate, whose clients it takes, and a renewal that needs no restart."""

from __future__ import annotations

import ssl
import stat
from pathlib import Path
from typing import Final, Literal, get_args

import msgspec

from headrace.serving.errors import TlsUnusable

_MODES_OF_OTHERS: Final = stat.S_IROTH | stat.S_IWOTH

Handshake = Literal["done", "left", "late", "failed", "displaced", "full"]
"""What became of one."""
HANDSHAKES: Final[tuple[Handshake, ...]] = get_args(Handshake)


class Tls(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Files in PEM."""

    certificate: str
    """The server's, followed by those between it and the root."""
    key: str
    clients: str | None = None
    """Authorities whose certificates a client must show; None: clients need none. Read when the server starts."""


class Certificate:
    """A server's side of TLS.

    Raises
    ------
    TlsUnusable : a file cannot be read, is none, does not fit the others, or the key is everybody's to read.
    """

    def __init__(self, tls: Tls) -> None:
        self._tls = tls
        self.context: Final = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        self.context.set_alpn_protocols(["http/1.1"])
        self._seen = self._stamps()
        self._load()
        if tls.clients is not None:
            self.context.verify_mode = ssl.CERT_REQUIRED
            try:
                self.context.load_verify_locations(cafile=tls.clients)
            except (OSError, ssl.SSLError) as error:
                raise TlsUnusable(tls.clients, _reason(error)) from error

    def renew(self) -> bool:
        """Take up the certificate and the key if their files have changed; whether they had.

        Connections that there are go on with what they began with.

        Raises
        ------
        TlsUnusable : they are not to be used; what was loaded before goes on being used.
        """
        stamps = self._stamps()
        if stamps == self._seen:
            return False
        self._seen = stamps
        Certificate(self._tls)  # the pair is tried first: a context that half took it would refuse everybody
        self._load()
        return True

    def _load(self) -> None:
        try:
            if Path(self._tls.key).stat().st_mode & _MODES_OF_OTHERS:
                raise TlsUnusable(self._tls.key, "it is everybody's to read or write (chmod 600)")
            self.context.load_cert_chain(self._tls.certificate, self._tls.key, password=_no_password)
        except (OSError, ssl.SSLError, ValueError) as error:
            raise TlsUnusable(self._tls.certificate, _reason(error)) from error

    def _stamps(self) -> list[tuple[int, ...]]:
        found: list[tuple[int, ...]] = []
        for path in (self._tls.certificate, self._tls.key):
            try:
                facts = Path(path).stat()
            except OSError:
                found.append((0,))
            else:  # ctime: rights may have changed alone
                found.append((facts.st_mtime_ns, facts.st_ctime_ns, facts.st_ino, facts.st_size))
        return found


def _no_password() -> str:
    raise ValueError("the key is encrypted, and nobody is there to type a password")


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return f"it is no certificate and key that fit each other ({error.reason or 'unknown'})".replace("_", " ")
    return (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
