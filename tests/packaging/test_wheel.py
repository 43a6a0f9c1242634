"""The wheel of the headrace that runs."""

from __future__ import annotations

import io
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from headrace.packaging.errors import InstallationChanged
from headrace.packaging.wheel import Wheel, pack_wheel


@pytest.fixture(scope="module")
def wheel() -> Wheel:
    return pack_wheel()


def test_the_same_files_give_the_same_bytes(wheel: Wheel) -> None:
    assert pack_wheel() == wheel


def test_it_holds_what_is_imported_and_no_leftovers(wheel: Wheel) -> None:
    import headrace

    root = Path(headrace.__file__).parent
    with zipfile.ZipFile(io.BytesIO(wheel.data)) as archive:
        names = set(archive.namelist())
        assert archive.read("headrace/serving/health.py") == (root / "serving" / "health.py").read_bytes()
    assert {"headrace/packaging/requirements.lock", "headrace/cli/help.txt", "headrace/py.typed"} <= names
    assert not [name for name in names if "__pycache__" in name or name.endswith(".pyc")]


def test_an_installer_takes_it_and_an_installed_one_is_packed_again_to_the_same_bytes(
    wheel: Wheel, tmp_path: Path
) -> None:
    path = tmp_path / wheel.name
    path.write_bytes(wheel.data)
    site = tmp_path / "site"
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--target", str(site)]
    subprocess.run([*install, str(path)], check=True, stderr=subprocess.DEVNULL)
    again = _repacked(site)
    assert again == wheel.sha256
    with (site / "headrace" / "errors.py").open("a", encoding="utf-8") as changed:
        changed.write("# not what was installed\n")
    assert InstallationChanged.code in _repacked(site)


@pytest.mark.parametrize(
    ("gone", "code"),
    [("headrace/cli/help.txt", "installation-changed"), ("*.dist-info/RECORD", "installation-unknown")],
)
def test_an_installation_that_is_not_whole_is_not_packed(wheel: Wheel, tmp_path: Path, gone: str, code: str) -> None:
    with zipfile.ZipFile(io.BytesIO(wheel.data)) as archive:
        archive.extractall(tmp_path)
    assert _repacked(tmp_path) == wheel.sha256
    [path] = tmp_path.glob(gone)
    path.unlink()
    assert _repacked(tmp_path) == code


def _repacked(site: Path) -> str:
    """What the installation in that folder packs: the wheel's SHA-256, or the code of the error."""
    script = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from headrace.packaging.wheel import pack_wheel\n"
        "from headrace.errors import HeadraceError\n"
        "try: print(pack_wheel().sha256)\n"
        "except HeadraceError as error: print(error.code)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(site)], capture_output=True, text=True, cwd=site)
    return done.stdout.strip() or done.stderr
