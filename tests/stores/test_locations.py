"""What the URLs of [stores] mean."""

from __future__ import annotations

from pathlib import Path

import pytest

from headrace.stores.errors import UnknownStore
from headrace.stores.locations import local_path, scheme_of
from headrace.stores.objects.local import LocalObjectStore
from headrace.stores.objects.open import open_objects


@pytest.mark.parametrize(
    ("url", "path"),
    [
        (".headrace/objects", "/project/.headrace/objects"),
        ("/srv/objects", "/srv/objects"),
        ("file:///srv/my%20objects", "/srv/my objects"),
        ("FILE:///srv", "/srv"),
    ],
)
def test_paths_are_relative_to_the_project_and_file_urls_absolute(url: str, path: str) -> None:
    assert scheme_of(url) == "file"
    assert local_path(url, Path("/project")) == Path(path)


@pytest.mark.parametrize("url", ["file://relative/path", "file://"])
def test_a_file_url_without_an_absolute_path_is_refused(url: str) -> None:
    with pytest.raises(UnknownStore, match="absolute"):
        local_path(url, Path("/project"))


def test_an_unknown_scheme_names_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(UnknownStore, match="file, s3") as caught:
        open_objects("ftp://user:hunter2@host/x", tmp_path, {})
    assert "hunter2" not in str(caught.value)


def test_a_plain_path_opens_a_local_store(tmp_path: Path) -> None:
    store = open_objects("objects", tmp_path, {})
    assert isinstance(store, LocalObjectStore)
    store.put("k", b"x")
    assert (tmp_path / "objects" / "k").read_bytes() == b"x"
