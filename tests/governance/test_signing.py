"""The user's signing key: made once, private, and the only way a signature is accepted."""

from __future__ import annotations

import base64
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.governance.errors import (
    ConfigurationUnusable,
    PublicKeyInvalid,
    SignatureRefused,
    SigningKeyDamaged,
    SigningKeyExposed,
)
from headrace.governance.signing import KEY_FILE, config_dir, load_key, load_or_create_key, parse_public, verify


def test_the_key_is_made_once_and_found_again(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "headrace"
    assert load_key(folder) is None
    made = load_or_create_key(folder)
    assert load_or_create_key(folder).public == made.public
    found = load_key(folder)
    assert found is not None
    assert found.sign(b"x") == made.sign(b"x")
    assert list(folder.iterdir()) == [folder / KEY_FILE]


def test_the_key_file_is_private_whatever_the_umask(tmp_path: Path) -> None:
    folder = tmp_path / "headrace"
    old = os.umask(0)
    try:
        load_or_create_key(folder)
    finally:
        os.umask(old)
    assert stat.S_IMODE((folder / KEY_FILE).stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644, 0o666, 0o601])
def test_a_key_that_others_can_reach_is_refused_with_the_fix(tmp_path: Path, mode: int) -> None:
    load_or_create_key(tmp_path)
    (tmp_path / KEY_FILE).chmod(mode)
    with pytest.raises(SigningKeyExposed, match=f"chmod 600 {tmp_path / KEY_FILE}"):
        load_or_create_key(tmp_path)


@pytest.mark.parametrize("mode", [0o770, 0o777, 0o703])
def test_a_folder_into_which_others_may_write_is_refused(tmp_path: Path, mode: int) -> None:
    folder = tmp_path / "headrace"
    load_or_create_key(folder)
    folder.chmod(mode)
    with pytest.raises(SigningKeyExposed, match=f"chmod 7[0-5]{{2}} {folder}"):
        load_key(folder)


@pytest.mark.parametrize("mode", [0o400, 0o600])
def test_private_modes_are_accepted(tmp_path: Path, mode: int) -> None:
    load_or_create_key(tmp_path)
    (tmp_path / KEY_FILE).chmod(mode)
    assert load_key(tmp_path) is not None


@pytest.mark.parametrize(
    "content", [b"", b"not a key", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"]
)
def test_a_damaged_key_is_named_and_never_replaced(tmp_path: Path, content: bytes) -> None:
    load_or_create_key(tmp_path)
    (tmp_path / KEY_FILE).write_bytes(content)
    with pytest.raises(SigningKeyDamaged, match=str(tmp_path / KEY_FILE)):
        load_or_create_key(tmp_path)
    assert (tmp_path / KEY_FILE).read_bytes() == content


def test_a_key_of_another_kind_is_refused(tmp_path: Path) -> None:
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    load_or_create_key(tmp_path)
    pem = X25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / KEY_FILE).write_bytes(pem)
    with pytest.raises(SigningKeyDamaged):
        load_key(tmp_path)


def test_a_file_where_the_folder_should_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "headrace").write_text("")
    with pytest.raises(ConfigurationUnusable, match=str(tmp_path / "headrace")):
        load_or_create_key(tmp_path / "headrace")


def test_processes_that_race_get_the_same_key(tmp_path: Path) -> None:
    program = (
        "import sys, pathlib\n"
        "from headrace.governance.signing import load_or_create_key\n"
        "sys.stdin.readline()\n"
        "print(load_or_create_key(pathlib.Path(sys.argv[1])).public)\n"
    )
    folder = tmp_path / "headrace"
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(4)
    ]
    answers = []
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("\n")
        racer.stdin.flush()
    for racer in racers:
        answers.append(racer.communicate(timeout=60)[0])
        assert racer.returncode == 0
    assert len(set(answers)) == 1
    assert list(folder.iterdir()) == [folder / KEY_FILE]


def test_a_race_lost_after_the_look_keeps_the_winner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from headrace.governance import signing
    from headrace.stores import durable

    winner: list[str] = []
    make_folder = durable.make_folder

    def other_process_first(folder: Path, *, mode: int) -> None:
        monkeypatch.setattr(signing, "make_folder", make_folder)
        winner.append(load_or_create_key(folder).public)

    monkeypatch.setattr(signing, "make_folder", other_process_first)
    assert load_or_create_key(tmp_path).public == winner[0]
    assert list(tmp_path.iterdir()) == [tmp_path / KEY_FILE]


def test_the_text_form_never_shows_the_private_half(tmp_path: Path) -> None:
    key = load_or_create_key(tmp_path)
    secret = (tmp_path / KEY_FILE).read_text().splitlines()[1]
    assert repr(key) == f"SigningKey({key.public})"
    assert secret not in repr(key) + str(key)


@given(st.binary(max_size=200), st.integers(0, 511))
def test_one_flipped_bit_in_message_or_signature_is_refused(message: bytes, bit: int) -> None:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from headrace.governance.signing import SigningKey

    key = SigningKey(Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
    signature = key.sign(message)
    verify(key.public, message, signature)
    flipped = bytearray(signature)
    flipped[bit // 8] ^= 1 << bit % 8
    with pytest.raises(SignatureRefused):
        verify(key.public, message, bytes(flipped))
    with pytest.raises(SignatureRefused):
        verify(key.public, message + b"\0", signature)


def test_another_signer_is_refused(tmp_path: Path) -> None:
    ours, theirs = load_or_create_key(tmp_path / "a"), load_or_create_key(tmp_path / "b")
    with pytest.raises(SignatureRefused, match="ed25519:"):
        verify(ours.public, b"m", theirs.sign(b"m"))


ZEROS = base64.b64encode(bytes(32)).decode()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ed25519:",
        "ed25519:AAAA",
        "rsa:AAAA",
        ZEROS,
        "ed25519:" + "é" * 44,
        f"ed25519:{ZEROS}\n",
        f"ed25519:{ZEROS[:-2]}B=",
    ],
)
def test_a_text_that_is_no_key_or_a_second_spelling_is_refused(text: str) -> None:
    with pytest.raises(PublicKeyInvalid):
        parse_public(text)


def test_the_folder_follows_the_environment() -> None:
    assert config_dir({"HEADRACE_CONFIG": "/a", "XDG_CONFIG_HOME": "/b", "HOME": "/c"}) == Path("/a")
    assert config_dir({"XDG_CONFIG_HOME": "/b", "HOME": "/c"}) == Path("/b/headrace")
    assert config_dir({"HEADRACE_CONFIG": "", "HOME": "/c"}) == Path("/c/.config/headrace")
