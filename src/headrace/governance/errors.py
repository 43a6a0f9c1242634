"""What can go wrong with keys and signatures."""

from __future__ import annotations

from headrace.errors import CheckFailed, TroubleOutside, WrongUse


class SignatureRefused(CheckFailed):
    """The signature is not the signer's over these bytes."""

    code = "signature-refused"

    def __init__(self, signer: str) -> None:
        super().__init__(
            f"the signature is not that of {signer} over these bytes",
            fix="get the signed bytes again from where they were made; do not load these",
            signer=signer,
        )


class PublicKeyInvalid(WrongUse):
    """A text that is no public key."""

    code = "public-key-invalid"

    def __init__(self, text: str) -> None:
        super().__init__(
            f"{text!r} is not a public key: expected ed25519:BASE64 of 32 bytes",
            fix="copy the key as `headrace init` printed it on the machine that signs",
            text=text,
        )


class SigningKeyExposed(WrongUse):
    """Others may read the signing key or put another in its place."""

    code = "signing-key-exposed"

    def __init__(self, path: str, *, found: int, allowed: int) -> None:
        super().__init__(
            f"{path} has mode {found:04o}, so that others can reach the signing key; at most {allowed:04o} is allowed",
            fix=f"chmod {allowed:o} {path}; if somebody may have read the key, delete it and trust the new one instead",
            path=path,
            found=found,
            allowed=allowed,
        )


class SigningKeyDamaged(WrongUse):
    """The key file does not hold an Ed25519 key."""

    code = "signing-key-damaged"

    def __init__(self, path: str) -> None:
        super().__init__(
            f"{path} is not an Ed25519 private key in PEM form",
            fix="restore the file from your backup, or delete it and run `headrace init` to make a new key",
            path=path,
        )


class SigningKeyMissing(WrongUse):
    """Something is to be signed and the user has no key."""

    code = "signing-key-missing"

    def __init__(self, folder: str) -> None:
        super().__init__(
            f"there is no signing key in {folder}",
            fix="run `headrace init`, which makes one, or set HEADRACE_CONFIG to the folder that holds yours",
            folder=folder,
        )


class ConfigurationUnusable(TroubleOutside):
    """The user's configuration folder cannot be read or written."""

    code = "configuration-unusable"

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(
            f"{path} cannot be used for the signing key: {reason}",
            fix="make the folder writable for you, or set HEADRACE_CONFIG to one that is",
            path=path,
            reason=reason,
        )
