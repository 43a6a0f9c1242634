"""The same definition on the production stores, and stores and sources that go away in mid-run."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import S3Place
from tests.examples import changed, define, edit, flights, flights_rows, tumours, write_csv
from tests.pipeline.test_bad_input import VISITS, visits
from tests.servers import PostgresServer

from headrace.app import Project, look
from headrace.data.errors import SourceUnavailable
from headrace.errors import HeadraceError, TroubleOutside
from headrace.registry.versions import Registry
from headrace.runs.history import get_run, list_runs
from headrace.runs.model import RunRecord
from headrace.runs.progress import SilentProgress
from headrace.scoring.errors import PackageDamaged
from headrace.stages.model import Outcome
from headrace.stores.errors import StoreUnavailable
from headrace.testing.faults import small_disk

STORES = '\n[stores]\ncatalog = "${env:CATALOG}"\nobjects = "${env:OBJECTS}"\n'


class AtStage(SilentProgress):
    """Does something when a stage begins."""

    def __init__(self, stage: str, act: Callable[[], object]) -> None:
        self._stage = stage
        self._act = act

    def stage_started(self, name: str) -> None:
        if name == self._stage:
            self._act()


def run(root: Path, env: Mapping[str, str] = {}, **how: Any) -> tuple[Outcome, RunRecord]:
    """Run as a new process would."""
    with Project.open(root, environment={**os.environ, **env}) as project:
        outcome = project.run(**how)
        with project.catalog.read() as reader:
            return outcome, get_run(reader, project.name, outcome.run)


def computed(record: RunRecord) -> list[str]:
    return [stage.name for stage in record.stages if stage.state == "done"]


@pytest.fixture
def postgres() -> Iterator[PostgresServer]:
    """A server of this test's own, to be stopped and started."""
    with tempfile.TemporaryDirectory() as place:  # where the server's own user may walk
        Path(place).chmod(0o755)
        with PostgresServer(Path(place) / "server") as server:
            yield server


def test_postgresql_and_s3_make_the_same_package(
    postgres_url: str, s3_server: S3Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = flights(tmp_path / "here", days=range(1, 6))
    with (here / "headrace.toml").open("a") as definition:
        definition.write(STORES)
    there = Path(shutil.copytree(here, tmp_path / "there"))
    local = {"CATALOG": ".headrace/catalog.db", "OBJECTS": ".headrace/objects"}
    far = {"CATALOG": postgres_url, "OBJECTS": s3_server.url, **s3_server.env}
    first, first_record = run(here, local)
    second, second_record = run(there, far)
    assert second.version.package == first.version.package
    assert computed(second_record) == computed(first_record)
    assert not list((there / ".headrace").rglob("*.parquet"))
    assert computed(run(there, far)[1]) == []

    rows = write_csv(tmp_path / "rows.csv", *flights_rows([6], ["LGA"]))
    answers = []
    for root, env in ((here, local), (there, far)):
        for name, value in env.items():
            monkeypatch.setenv(name, value)
        with Project.open(root) as project:
            project.predict("flight-delays@champion", rows, tmp_path / "scores.csv", reasons=2)
        answers.append((tmp_path / "scores.csv").read_bytes())
        with look(root) as (name, reader):
            assert reader is not None
            assert [one.state for one in list_runs(reader, name)] == ["done"] * (1 if root == here else 2)
    assert answers[0] == answers[1]


def test_sources_on_postgresql_and_s3_give_the_same_tables(
    postgres_url: str, s3_server: S3Place, tmp_path: Path
) -> None:
    import obstore
    import psycopg
    from obstore.store import S3Store

    rows = visits(300)
    text = VISITS.replace('"data/visits*.csv"', '"${env:VISITS}"\nformat = "csv"')
    root = define(tmp_path / "files", text)
    path = write_csv(root / "data" / "visits.csv", list(rows[0]), [list(row.values()) for row in rows])
    outcome, _ = run(root, {"VISITS": "data/visits.csv"})

    bucket, _, prefix = s3_server.url.removeprefix("s3://").partition("/")
    store = S3Store(
        bucket,
        config={
            "access_key_id": s3_server.env["AWS_ACCESS_KEY_ID"],
            "secret_access_key": s3_server.env["AWS_SECRET_ACCESS_KEY"],
            "endpoint": s3_server.env["AWS_ENDPOINT_URL"],
            "region": s3_server.env["AWS_REGION"],
        },
        client_options={"allow_http": True},
    )
    obstore.put(store, f"{prefix}/in/visits.csv", path.read_bytes())
    far = define(tmp_path / "s3", text)
    same, _ = run(far, {"VISITS": f"{s3_server.url}/in/*.csv", **s3_server.env})
    assert same.version.package == outcome.version.package

    with psycopg.connect(postgres_url) as connection:
        connection.execute("CREATE TABLE visits (id bigint, at timestamptz, age bigint, shop text, paid text)")
        with connection.cursor() as cursor:
            cursor.executemany("INSERT INTO visits VALUES (%s, %s, %s, %s, %s)", [tuple(row.values()) for row in rows])
    query = 'format = "postgresql"\nquery = "SELECT id, at, age, shop, paid FROM visits ORDER BY id"'
    base = define(tmp_path / "pg", changed(text, {r'^format = "csv"$': query}))
    from_query, record = run(base, {"VISITS": postgres_url})
    tables = [one.reports[0].columns for one in (outcome, from_query)]
    assert tables[0] == tables[1]
    assert "read visits" in computed(record)
    assert computed(run(base, {"VISITS": postgres_url})[1]) == ["read visits"], "only reading tells; the rest stands"


def test_a_source_that_goes_away_in_mid_run_is_named_and_the_run_goes_on(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    import psycopg

    rows = visits(200)
    with psycopg.connect(postgres.url()) as connection:
        connection.execute("CREATE TABLE visits (id bigint, age bigint, shop text, paid text)")
        with connection.cursor() as cursor:
            cursor.executemany("INSERT INTO visits VALUES (%(id)s, %(age)s, %(shop)s, %(paid)s)", rows)
    asleep = "SELECT id, age, shop, paid FROM visits, (SELECT pg_sleep(0.6)) AS nap"
    text = VISITS.replace(
        'read = "data/visits*.csv"', f'read = "${{env:DB}}"\nformat = "postgresql"\nquery = "{asleep}"'
    )
    text = text.replace("label =", 'source = "visits"\nrequest = ["age", "shop"]\nlabel =')
    text = text.replace("[sources.visits]", '[sources.shops]\nread = "shops.csv"\n[sources.visits]')
    root = define(tmp_path / "visits", text)
    write_csv(root / "shops.csv", ["shop", "size"], [["north", 3], ["south", 4]])
    env = {"DB": postgres.url()}
    timer = threading.Timer(0.3, postgres.stop)
    with pytest.raises(SourceUnavailable) as caught:
        run(root, env, progress=AtStage("read visits", timer.start))
    timer.join()
    assert caught.value.exit_code == 3
    assert postgres.password not in str(caught.value)
    with pytest.raises(SourceUnavailable):
        run(root, env)
    postgres.start()
    outcome, record = run(root, env)
    assert outcome.version.number == 1
    assert not {"read shops", "check shops"} & set(computed(record))
    assert (root / ".headrace" / "work").exists()
    assert [path.name for path in (root / ".headrace" / "work").iterdir()] == ["lock"]


@pytest.mark.parametrize("stage", ["check tumours", "search", "register"])
def test_a_catalog_that_goes_away_in_mid_run_loses_nothing_finished(
    stage: str, postgres: PostgresServer, tmp_path: Path
) -> None:
    quiet = tumours(tmp_path / "quiet")
    with (quiet / "headrace.toml").open("a") as definition:
        definition.write(STORES)
    root = Path(shutil.copytree(quiet, tmp_path / "tumours"))
    local = {"CATALOG": ".headrace/catalog.db", "OBJECTS": ".headrace/objects"}
    # the folder's name is the project's: the same in both
    for place in (quiet, root):
        edit(place, {r"^\[project\]$": '[project]\nname = "tumours"'})
    first, first_record = run(quiet, local)
    env = {**local, "CATALOG": postgres.url()}
    with pytest.raises(StoreUnavailable) as caught:
        run(root, env, progress=AtStage(stage, postgres.stop))
    assert caught.value.exit_code == 3
    assert postgres.password not in str(caught.value)
    with pytest.raises(StoreUnavailable):
        run(root, env)
    postgres.start()
    second, record = run(root, env)
    assert second.version.package == first.version.package
    names = computed(first_record)
    assert computed(record) == names[names.index(stage) :]


def test_on_a_full_disk_a_run_stops_politely_and_goes_on_when_there_is_space(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root may mount a small disk")
    quiet = flights(tmp_path / "quiet", days=range(1, 6))
    root = Path(shutil.copytree(quiet, tmp_path / "delays"))
    package = run(quiet)[0].version.package
    codes: list[str] = []
    reached: set[str] = set()
    with small_disk(root / ".headrace", size_bytes=8 << 20) as disk:
        filler = disk / "filler"
        for left in range(64 << 10, 8 << 20, 96 << 10):
            filler.unlink(missing_ok=True)
            space = os.statvfs(disk)
            with filler.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, max(1, space.f_bavail * space.f_frsize - left))
            try:
                run(root)
                break
            except TroubleOutside as error:
                codes.append(error.code if error.fix else "without a word of what to do")
            filler.unlink()
            with Project.open(root) as project, project.catalog.read() as reader:
                reached |= {stage.name for one in list_runs(reader, project.name, 1) for stage in one.stages}
        filler.unlink(missing_ok=True)
        outcome, _ = run(root)
        assert outcome.version.package == package
        assert outcome.version.number == 1
        assert [path.name for path in (disk / "work").iterdir()] == ["lock"]
    assert len(codes) >= 4
    assert set(codes) <= {"store-full", "disk-full"}
    assert len(reached) >= 4


def test_one_flipped_byte_is_refused_by_name_and_other_versions_answer(delays: Path) -> None:
    edit(delays, {r'false_positive = "4 USD"': 'false_positive = "9 USD"'})
    outcome, _ = run(delays)
    assert outcome.version.number == 2
    folder = delays / ".headrace" / "objects" / "packages" / outcome.version.package
    rows = [
        {
            "carrier": "UA",
            "flight": 1,
            "tailnum": None,
            "origin": "LGA",
            "dest": "ORD",
            "distance": 733.0,
            "sched_dep_at": "2013-01-09T15:00:00Z",
        }
    ]
    project = Project.open(delays)
    expected = project.load("flight-delays@1").predict(rows)
    for path in sorted(folder.iterdir()):
        whole = path.read_bytes()
        path.chmod(0o600)
        for place in (0, len(whole) // 2, len(whole) - 1):
            path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
            for act in (project.load, lambda name: registry(project).verify(registry(project).get(name))):
                with pytest.raises(HeadraceError) as caught:
                    act("flight-delays@2")
                assert caught.value.exit_code == 1
                assert path.name in str(caught.value)
            assert project.load("flight-delays@1").predict(rows) == expected
        path.write_bytes(whole)
    with pytest.raises(PackageDamaged, match=r"model\.onnx"):
        (folder / "model.onnx").write_bytes(b"")
        project.load("flight-delays@2")


def registry(project: Project) -> Registry:
    return project.registry()
