"""A version that answers otherwise than when it was made answers nobody."""

from __future__ import annotations

from pathlib import Path

from tests.scoring.made import ROW, package_files
from tests.serving.http.inside import Inside, answers, deployment, request, version, within
from tests.serving.http.running import Client, Place, Running, change

from headrace.scoring.errors import GoldenRowsDiffer
from headrace.scoring.golden import ROWS
from headrace.serving.revisions import deploy_whole
from headrace.serving.versions import Version


def test_a_version_with_other_answers_is_refused_before_it_is_asked(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.deploy(place.version(1))
    running = Running(place)
    running.wait_for("ready")
    try:
        others = {"golden.json": package_files(seed=3)["golden.json"]}
        place.write(deploy_whole(place.deployments.get("delays"), place.version(2, replaced=others), change()))
        assert "golden" in str(running.wait_for("not_served")["why"])
        assert Client(running).predict(ROW)[2]["version"] == 1
        probed = [each["version"] for each in running.events() if each["event"] == "probed"]
        assert probed == ["delays@1"]  # no worker that answers has ever loaded the other
    finally:
        assert running.end() == 0


def test_a_worker_is_not_ready_once_its_model_answers_otherwise(tmp_path: Path) -> None:
    right, wrong = version(1), version(2)

    async def test() -> None:
        inside = Inside(tmp_path / "log", deployment({"a": right, "b": wrong}), [right, wrong])

        async def ready() -> int:
            connection, transport = inside.connect()
            connection.data_received(request(b"", method="GET", path="/readyz"))
            [(status, _, _)] = answers(transport.sent)
            return status

        assert [await ready() for _ in range(100)] == [200] * 100
        assert wrong.scorer.golden is not None
        wrong.scorer.golden._raw += 0.01  # as if the memory of the graph had been damaged
        assert sorted([await ready() for _ in range(4)]) == [200, 200, 503, 503]
        assert [type(fault) for fault in inside.faults] == [GoldenRowsDiffer] * 2
        inside.log.close()

    within(test())


def test_every_golden_row_has_its_turn(tmp_path: Path) -> None:
    made = version(1)

    async def test() -> None:
        inside = Inside(tmp_path / "log", deployment({"a": made}), [made])
        assert made.scorer.golden is not None
        made.scorer.golden._raw[7] += 0.01
        assert [inside.desk.answers_right() for _ in range(2 * ROWS)].count(False) == 2
        inside.log.close()

    within(test())


def test_a_worker_is_not_ready_once_a_shadow_or_a_fallback_answers_otherwise(tmp_path: Path) -> None:
    for where in ("shadows", "fallbacks"):
        right, wrong = version(1), version(2)

        async def test(right: Version = right, wrong: Version = wrong, where: str = where) -> None:
            made = deployment({"a": right}, **{where: (wrong.served,)})
            inside = Inside(tmp_path / where, made, [right, wrong])
            assert wrong.scorer.golden is not None
            wrong.scorer.golden._raw += 0.01
            assert sorted(inside.desk.answers_right() for _ in range(4)) == [False, False, True, True]
            inside.log.close()

        within(test())


def test_a_worker_whose_versions_have_no_golden_rows_is_ready(tmp_path: Path) -> None:
    old = version(1, replaced={"model.onnx": package_files(seed=1)["model.onnx"]})

    async def test() -> None:
        inside = Inside(tmp_path / "log", deployment({"a": old}), [old])
        assert old.scorer.golden is None
        assert inside.desk.answers_right()
        inside.log.close()

    within(test())
