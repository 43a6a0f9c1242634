"""The same promises on PostgreSQL and S3, and a PostgreSQL that goes away in mid-run."""

from __future__ import annotations

import itertools
import tempfile
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.conftest import S3Place
from tests.runs.conftest import Ask
from tests.servers import PostgresServer

from headrace.cost.prices import load_prices
from headrace.runs.history import list_runs
from headrace.runs.model import StageContext
from headrace.runs.progress import SilentProgress
from headrace.runs.runner import Runner
from headrace.stores.catalog.open import open_catalog
from headrace.stores.errors import StoreUnavailable
from headrace.stores.objects.local import LocalObjectStore
from headrace.stores.objects.open import open_objects


class Count(msgspec.Struct, frozen=True):
    n: int


def test_killed_runs_go_on_with_postgresql_and_s3(
    ask: Ask, tmp_path: Path, postgres_url: str, s3_server: S3Place
) -> None:
    places: dict[str, Any] = {"catalog": postgres_url, "objects": s3_server.url, "env": s3_server.env}
    whole = ask("run", tmp_path, project="whole", **places)
    catalog, objects = open_catalog(postgres_url, tmp_path), open_objects(s3_server.url, tmp_path, s3_server.env)
    try:
        kept = {entry.key for entry in objects.list()}
        assert len(kept) == 4
        for kill_at in range(8, whole["burnt"], whole["burnt"] // 6):
            project = f"p{kill_at}"
            assert ask("run", tmp_path, project=project, kill_at=kill_at, **places)["killed"]
            with catalog.read() as reader:
                done = {row["fingerprint"] for row in reader.select("outcomes", {"project": project})}
            assert ask("run", tmp_path, project=project, **places)["package"] == whole["package"]
            with catalog.read() as reader:
                first, second = reversed(list_runs(reader, project))
                assert reader.select("parts", {"project": project}) == []
            assert first.state == "interrupted"
            assert {stage.fingerprint for stage in second.stages if stage.state == "cached"} == done
        objects.put(f"frames/{'0' * 64}.bin", b"orphan")
        assert ask("collect", tmp_path, project="whole", **places)["collected"] == 1
        assert {entry.key for entry in objects.list()} == kept
    finally:
        catalog.close()


def test_a_postgresql_that_goes_away_in_mid_run_loses_nothing_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))  # the server's package warns at import where there is none
    with tempfile.TemporaryDirectory() as place:  # where the server's own user may walk
        Path(place).chmod(0o755)
        with PostgresServer(Path(place) / "server") as server:
            check_outage(server, tmp_path)


def check_outage(server: PostgresServer, tmp_path: Path) -> None:
    executed: list[int] = []
    names = (f"run-{n}" for n in itertools.count())
    catalog = open_catalog(server.url(), tmp_path)
    runner = Runner(
        catalog,
        LocalObjectStore(tmp_path / "objects"),
        "p",
        clock=itertools.count(1_790_000_000_000_000).__next__,
        new_id=lambda: next(names),
        prices=load_prices(),
        progress=SilentProgress(),
        workdir=tmp_path / "work",
    )

    def run(*, outage_at: int | None) -> None:
        with runner.run("sha") as started:
            for n in range(3):

                def compute(context: StageContext, n: int = n) -> Count:
                    executed.append(n)
                    if n == outage_at:
                        server.stop()
                    return Count(n)

                started.stage(f"stage {n}", depends={"n": n}, rooms=[], compute=compute, kind=Count)

    try:
        with pytest.raises(StoreUnavailable) as caught:
            run(outage_at=1)
        assert caught.value.exit_code == 3
        assert server.password not in str(caught.value)
        assert [path.name for path in (tmp_path / "work").iterdir()] == ["lock"]
        server.start()
        run(outage_at=None)
        assert executed == [0, 1, 1, 2]
        with catalog.read() as reader:
            second, first = list_runs(reader, "p")
        assert (first.state, second.state) == ("interrupted", "done")
        assert [stage.state for stage in first.stages] == ["done", "failed"]
        assert [stage.state for stage in second.stages] == ["cached", "done", "done"]
    finally:
        catalog.close()
