"""A project with one registered version, whose program is made of expressions alone, and an API key."""

from __future__ import annotations

from pathlib import Path

from tests.scoring.made import package_files

from headrace.app import Project
from headrace.governance.signing import load_or_create_key

DEFINITION = """format = 1

[project]
name = "delays"
key = ["carrier"]

[sources.flights]
read = "flights.csv"
"""


def make_project(root: Path, *, definition: str = DEFINITION, seed: int = 1) -> str:
    """Write it into a folder, keys in `config` beside it; the API key."""
    root.mkdir(parents=True, exist_ok=True)
    (root / "headrace.toml").write_text(definition, encoding="utf-8")
    key = load_or_create_key(config_of(root))
    with open_project(root) as project:
        registry = project.registry(key)
        version = registry.register("delays", package_files(seed=seed), "run-1", {})
        registry.promote("delays", version.number, by="ann")
        text, _ = project.service.api_keys().create(verbs=("predict",), lifetime_us=None, by="ann")
    return text


def open_project(root: Path) -> Project:
    return Project.open(root, environment={"HEADRACE_CONFIG": str(config_of(root))})


def config_of(root: Path) -> Path:
    return root.with_name(f"{root.name}-config")
