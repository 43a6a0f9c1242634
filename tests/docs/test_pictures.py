"""The pictures of the documentation are what their script draws."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

from tests.docs.pages import ROOT


def test_the_pictures_of_features_are_what_the_script_draws(tmp_path: Path) -> None:
    subprocess.run([sys.executable, ROOT / "scripts" / "feature_pictures.py", tmp_path], check=True)
    drawn = sorted(tmp_path.iterdir())
    assert [path.name for path in drawn] == ["clocks.svg", "known-before.svg", "sawtooth.svg"]
    for path in drawn:
        assert (ROOT / "docs" / "images" / path.name).read_text() == path.read_text()
        assert ET.parse(path).getroot().get("aria-label")
