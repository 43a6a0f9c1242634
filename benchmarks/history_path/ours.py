"""The history path of the flights example as Headrace runs it: the run's own stages up to the frame, without training.

usage: python -m benchmarks.history_path.ours PROJECT OUT
Nothing is found done: OUT becomes a project of its own, over the same data, and what an earlier call left there is
deleted. The types are frozen in `headrace.lock`, as they are written out in what is written by hand.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import polars as pl

from headrace.app import Project
from headrace.features.build import build_program, label_of
from headrace.features.model import Frame
from headrace.runs.progress import SilentProgress
from headrace.stages.learning import gather
from headrace.stages.model import Checked
from headrace.stages.sources import check_sources


def new_project(project: Path, out: Path) -> Path:
    """A folder with the definition, its lock and the data of `project`, where nothing has run yet."""
    if out.exists():
        shutil.rmtree(out)
    out.mkdir(parents=True)
    for name in ("headrace.toml", "headrace.lock"):
        shutil.copy(project / name, out / name)
    (out / "data").symlink_to((project / "data").resolve(), target_is_directory=True)
    return out / "headrace.toml"


def history_path(project: Project) -> tuple[Checked, Frame]:
    """The stages of `headrace.pipeline.run_pipeline` up to the frame."""
    work = project.workspace(SilentProgress())
    with work.runner.run(work.definition_sha256) as run:
        checked = check_sources(run, work, refresh=False)
        label = label_of(work.definition, checked.types[work.definition.project.source])
        program = build_program(work.definition, checked.types)
        frame = gather(run, work, program, label, checked)
        run.finish({})
    return checked, frame


def main(project: Path, out: Path) -> None:
    """The whole path."""
    environment = {"HEADRACE_CONFIG": str(out / "config")}
    opened = Project.open(new_project(project, out), environment=environment)
    checked, frame = history_path(opened)
    [flights] = [report for report in checked.reports if report.source == opened.definition.project.source]
    sums = pl.scan_parquet(opened.objects.scan_target(frame.ref.key).url).select(
        rows=pl.len(),
        late=pl.col("_label").sum(),
        temp=pl.col("weather_temp").cast(pl.Float64).sum().round(3),
        origin_count_24h=pl.col("origin_delay_count_24h").sum(),
        plane_count_24h=pl.col("plane_delay_count_24h").sum(),
        age=pl.col("plane_age").sum(),
    )
    print(json.dumps({"aside": flights.quarantined, **sums.collect().row(0, named=True)}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
