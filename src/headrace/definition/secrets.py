"""Credentials: a definition holds references to them, `${env:NAME}` or `${file:PATH}`, never themselves."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

from headrace.definition.errors import SecretNotFound

REFERENCE = re.compile(r"\$\{(env|file):([^}]*)\}")
_USERINFO = re.compile(r"(?P<head>[A-Za-z][A-Za-z0-9+.-]*://)(?P<userinfo>(?:\$\{[^}]*\}|[^/?#\s])*)@")
_QUERY_SECRET = re.compile(
    r"(?i)(?P<head>[?&;\s](?:password|passwd|pwd|secret|token|sslpassword|api_?key|(?:aws_)?secret_access_key"
    r"|(?:aws_)?session_token|(?:access|auth|private)[_-]?token|client_secret|sig|signature"
    r"|x-(?:amz|goog)-(?:signature|credential|security-token))\s*=\s*)(?P<value>(?:\$\{[^}]*\}|[^&;\s])+)"
)
_TOKEN_ALONE = ("http://", "https://")
"""Where a user may be a token."""
_MASK = "***"


class Secret(str):
    """A text that may hold a credential: usable as the text it is, but its repr is masked.

    >>> Secret("postgresql://me:hunter2@db/flights")
    Secret('***')
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return f"Secret('{_MASK}')"


def resolve(text: str, env: Mapping[str, str], root: Path) -> Secret:
    """`text` with every reference replaced by what it leads to.

    Parameters
    ----------
    text
        A path or URL as the definition has it.
    env
        The environment that `${env:NAME}` reads.
    root
        The definition's folder, which the paths of `${file:PATH}` are relative to. One line end at the file's end is
        not part of the secret.

    Notes
    -----
    A value that lands in the user or password of a URL is percent-encoded, so that a password may hold any character.

    Raises
    ------
    SecretNotFound : the variable is not set, or the file cannot be read.
    """
    userinfo = _USERINFO.search(text)
    start, end = userinfo.span("userinfo") if userinfo else (0, 0)

    def value(match: re.Match[str]) -> str:
        found = _from_env(match, env) if match[1] == "env" else _from_file(match, root)
        return quote(found, safe="") if start <= match.start() and match.end() <= end else found

    return Secret(REFERENCE.sub(value, text))


def _from_env(match: re.Match[str], env: Mapping[str, str]) -> str:
    found = env.get(match[2])
    if found is None:
        raise SecretNotFound(
            match[0], found=f"no environment variable {match[2]}", fix=f"set it before the command: export {match[2]}=…"
        )
    return found


def _from_file(match: re.Match[str], root: Path) -> str:
    path = root / match[2]
    try:
        text = path.read_bytes().decode()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a UTF-8 text"
        raise SecretNotFound(
            match[0], found=f"{path}: {reason}", fix=f"write the secret, and nothing else, into {path}"
        ) from None
    return text.removesuffix("\n").removesuffix("\r")


def redact(url: str) -> str:
    """`url` fit for logs and errors: passwords, and keys in its query, masked.

    >>> redact("postgresql://me:hunter2@db/flights?sslpassword=x")
    'postgresql://me:***@db/flights?sslpassword=***'
    """

    def userinfo(match: re.Match[str]) -> str:
        user, colon, _ = _user_and_password(match["userinfo"])
        if match["head"].lower() in _TOKEN_ALONE:
            return f"{match['head']}{_MASK}@"
        return f"{match['head']}{user}:{_MASK}@" if colon else match[0]

    return _QUERY_SECRET.sub(lambda m: m["head"] + _MASK, _USERINFO.sub(userinfo, url))


def has_literal_credential(url: str) -> bool:
    """Whether `url` carries a password, or a key in its query, that is not wholly a reference."""
    userinfo = _USERINFO.search(url)
    user, _, password = _user_and_password(userinfo["userinfo"] if userinfo else "")
    if userinfo and not password and userinfo["head"].lower() in _TOKEN_ALONE:
        password = user
    found = [password, *(match["value"] for match in _QUERY_SECRET.finditer(url))]
    return any(REFERENCE.sub("", text) for text in found)


def _user_and_password(userinfo: str) -> tuple[str, str, str]:
    """User, colon and password; a colon within a reference parts nothing."""
    user = re.match(r"(?:\$\{[^}]*\}|[^:])*", userinfo)
    end = user.end() if user else 0
    return userinfo[:end], userinfo[end : end + 1], userinfo[end + 1 :]
