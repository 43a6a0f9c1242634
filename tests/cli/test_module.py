"""The package runs as a module."""

from __future__ import annotations

import subprocess
import sys


def test_the_package_is_a_command() -> None:
    said = subprocess.run([sys.executable, "-m", "headrace", "--version"], capture_output=True, text=True, check=True)
    assert said.stdout.startswith("headrace ")
