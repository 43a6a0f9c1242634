"""The user's Ed25519 key: made once, kept in the user's own configuration folder, never beside the data.

A key is trusted because the definition lists it under `[trust] signers` (or is the user's own), never because it
was found in a store: nothing here reads one from there.
"""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Mapping
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from headrace.governance.errors import (
    ConfigurationUnusable,
    PublicKeyInvalid,
    SignatureRefused,
    SigningKeyDamaged,
    SigningKeyExposed,
)
from headrace.stores.durable import create_file, make_folder
from headrace.stores.errors import StoreUnavailable

KEY_FILE = "signing-key.pem"
PREFIX = "ed25519:"
_PRIVATE, _NOT_WRITABLE = 0o600, 0o755


class SigningKey:
    """A private key that signs; its text form names the public half only."""

    __slots__ = ("_key", "public")

    public: str
    """`ed25519:BASE64` of the 32 bytes of the public key: what `[trust] signers` lists."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        raw = key.public_key().public_bytes_raw()
        self.public = PREFIX + base64.b64encode(raw).decode("ascii")

    def __repr__(self) -> str:
        return f"SigningKey({self.public})"

    def sign(self, message: bytes) -> bytes:
        """The 64 bytes of the Ed25519 signature (RFC 8032): the same for the same message."""
        return self._key.sign(message)


def config_dir(env: Mapping[str, str]) -> Path:
    """The user's configuration folder: `HEADRACE_CONFIG`, else `headrace` in `XDG_CONFIG_HOME`, else in `~/.config`.

    A relative `XDG_CONFIG_HOME` counts as not set, as its specification demands.

    Examples
    --------
    >>> config_dir({"HEADRACE_CONFIG": "/etc/headrace"}).as_posix()
    '/etc/headrace'
    >>> config_dir({"HOME": "/home/ada", "XDG_CONFIG_HOME": "not/absolute"}).as_posix()
    '/home/ada/.config/headrace'
    """
    if chosen := env.get("HEADRACE_CONFIG"):
        return Path(chosen)
    xdg = Path(env.get("XDG_CONFIG_HOME", ""))
    home = Path(env["HOME"]) if env.get("HOME") else Path.home()
    return (xdg if xdg.is_absolute() else home / ".config") / "headrace"


def load_key(config_dir: Path) -> SigningKey | None:
    """The user's key; None when there is none yet.

    Raises
    ------
    SigningKeyExposed : the file is open to others, or others may write into its folder.
    SigningKeyDamaged : the file holds something else.
    ConfigurationUnusable : it cannot be read.
    """
    path = config_dir / KEY_FILE
    try:
        with path.open("rb") as file:
            # The mode of the file that was opened, not of whatever has the name a moment later.
            _refuse_open_to_others(path, os.fstat(file.fileno()).st_mode, allowed=_PRIVATE)
            _refuse_open_to_others(config_dir, config_dir.stat().st_mode, allowed=_NOT_WRITABLE)
            pem = file.read(4096)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigurationUnusable(str(path), error.strerror or str(error)) from error
    from cryptography.hazmat.primitives.serialization import load_pem_private_key  # who only verifies goes without

    try:
        key = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise SigningKeyDamaged(str(path)) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise SigningKeyDamaged(str(path))
    return SigningKey(key)


def load_or_create_key(config_dir: Path) -> SigningKey:
    """The user's key, made on first use: a file of mode 0600 in a folder of mode 0700.

    Processes that race for the first use all get the key of the one that was first. The file is whole and durable
    before it has its name, so that no crash leaves half a key.
    """
    if key := load_key(config_dir):
        return key
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    try:
        make_folder(config_dir, mode=0o700)
        create_file(config_dir / KEY_FILE, pem, mode=_PRIVATE)  # the first of racing processes wins
    except StoreUnavailable as error:
        raise ConfigurationUnusable(str(config_dir), error.facts["reason"]) from error
    key = load_key(config_dir)
    if key is None:
        raise ConfigurationUnusable(str(config_dir), f"{KEY_FILE} was removed while it was made")
    return key


def verify(public: str, message: bytes, signature: bytes) -> None:
    """Return if `signature` is that of the key `public` over `message`.

    Raises
    ------
    PublicKeyInvalid : `public` is not `ed25519:BASE64` of 32 bytes.
    SignatureRefused : it is not.
    """
    try:
        parse_public(public).verify(signature, message)
    except InvalidSignature as error:
        raise SignatureRefused(public) from error


def parse_public(text: str) -> Ed25519PublicKey:
    """The key that `ed25519:BASE64` spells; exactly one spelling of each key is taken."""
    encoded = text.removeprefix(PREFIX)
    try:
        raw = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError) as error:
        raise PublicKeyInvalid(text) from error
    if text == encoded or len(raw) != 32 or base64.b64encode(raw).decode("ascii") != encoded:
        raise PublicKeyInvalid(text)
    return Ed25519PublicKey.from_public_bytes(raw)


def _refuse_open_to_others(path: Path, mode: int, *, allowed: int) -> None:
    mode &= 0o777
    if mode & ~allowed & 0o077:
        raise SigningKeyExposed(str(path), found=mode, allowed=mode & (0o700 | allowed))
