"""S3 objects, on a real server."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from tests.conftest import S3Place
from tests.servers import S3Server
from tests.stores.objects.lost_answer import LostAnswer

from headrace.stores.errors import InvalidKey, StoreUnavailable, UnknownStore
from headrace.stores.objects.open import open_objects
from headrace.stores.objects.s3 import PART_BYTES, S3ObjectStore
from headrace.testing.damage import Mutation
from headrace.testing.objects import Damage, Opener, SharedObjectStoreSuite


class TestS3ObjectStore(SharedObjectStoreSuite):
    @pytest.fixture
    def opener(self, s3_server: S3Place) -> Opener:
        return partial(open_objects, s3_server.url, Path("/"), s3_server.env)

    @pytest.fixture
    def damage(self, opener: Opener) -> Damage:
        store = opener()

        def change(key: str, mutation: Mutation) -> None:
            store.put(key, mutation(store.get(key)))

        return change


def test_a_large_file_goes_up_in_parts_and_still_has_one_winner(s3_server: S3Place, tmp_path: Path) -> None:
    store = S3ObjectStore(s3_server.url, s3_server.env)
    file = tmp_path / "large"
    file.write_bytes(b"0123456789abcdef" * (3 * PART_BYTES // 16) + b"end")
    assert store.put_file_if_absent("large", file)
    assert not store.put_file_if_absent("large", file)
    assert store.get("large") == file.read_bytes()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"AWS_SECRET_ACCESS_KEY": "wrong"}, "SignatureDoesNotMatch"),
        ({"AWS_ACCESS_KEY_ID": "nobody"}, "InvalidAccessKeyId"),
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, "error sending request"),
    ],
)
def test_a_refusal_says_why_and_never_the_secret(s3_server: S3Place, change: dict[str, str], reason: str) -> None:
    store = S3ObjectStore(s3_server.url, {**s3_server.env, **change})
    with pytest.raises(StoreUnavailable, match=reason) as caught:
        store.put_if_absent("k", b"")
    assert s3_server.env["AWS_SECRET_ACCESS_KEY"] not in str(caught.value)


def test_every_verb_translates_a_refusal(s3_server: S3Place, tmp_path: Path) -> None:
    store = S3ObjectStore(s3_server.url, {**s3_server.env, "AWS_SECRET_ACCESS_KEY": "wrong"})
    (tmp_path / "file").write_bytes(b"x")
    calls: list[Callable[[], object]] = [
        lambda: store.get("k"),
        lambda: store.put("k", b""),
        lambda: store.put_file_if_absent("k", tmp_path / "file"),
        lambda: store.replace("k", b"", expected="x"),
        lambda: store.verify("k", "x"),
        lambda: list(store.list()),
        lambda: store.exists("k"),
        lambda: store.delete("k"),
    ]
    for call in calls:
        with pytest.raises(StoreUnavailable):
            call()


def test_a_missing_bucket_is_no_missing_object(s3_server: S3Place) -> None:
    store = S3ObjectStore("s3://no-such-bucket/x", s3_server.env)
    for call in (lambda: store.get("k"), lambda: store.put("k", b""), lambda: list(store.list())):
        with pytest.raises(StoreUnavailable, match="bucket"):
            call()


@pytest.mark.parametrize("url", ["s3://", "s3:///key", "s3://user:secret@bucket/x", "s3://bucket/x?endpoint=y"])
def test_a_url_that_is_no_place_is_refused(url: str) -> None:
    with pytest.raises(UnknownStore) as caught:
        S3ObjectStore(url, {})
    assert "endpoint=" not in str(caught.value)


def test_a_prefix_is_a_key_too() -> None:
    with pytest.raises(InvalidKey):
        S3ObjectStore("s3://bucket/../other", {})


def test_an_endpoint_without_tls_is_refused_off_loopback(s3_server: S3Place) -> None:
    env = {**s3_server.env, "AWS_ENDPOINT_URL": "http://192.0.2.7:9000"}
    with pytest.raises(UnknownStore, match="TLS"):
        S3ObjectStore(s3_server.url, env)
    S3ObjectStore(s3_server.url, {**env, "AWS_ALLOW_HTTP": "true"})


@pytest.mark.parametrize("verb", ["put_if_absent", "replace"])
def test_a_writer_whose_answer_was_lost_still_knows_that_it_won(s3_server: S3Place, verb: str) -> None:
    direct = S3ObjectStore(s3_server.url, s3_server.env)
    direct.put("replaced", b"old")
    _, tag = direct.get_tagged("replaced")
    with LostAnswer(s3_server.env["AWS_ENDPOINT_URL"]) as proxy:
        store = S3ObjectStore(s3_server.url, {**s3_server.env, "AWS_ENDPOINT_URL": proxy.url})
        if verb == "put_if_absent":
            won = store.put_if_absent("new", b"mine")
        else:
            won = store.replace("replaced", b"mine", expected=tag)
        assert proxy.lost == 1
    assert won
    assert direct.get("new" if verb == "put_if_absent" else "replaced") == b"mine"


def test_a_server_that_comes_back_is_used_again(tmp_path: Path) -> None:
    with S3Server(tmp_path / "first") as server:
        store = S3ObjectStore(f"s3://{server.bucket}/x", server.env)
        store.put("k", b"1")
        server.stop()
        with pytest.raises(StoreUnavailable):
            store.put("k", b"2")
        server.start_again()
        assert store.get("k") == b"1"
        store.put("k", b"3")
        assert store.get("k") == b"3"
