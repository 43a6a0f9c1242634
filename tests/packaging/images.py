"""Images without a registry: a base made of this machine's own Python, a builder's storage of the test's own, and a
container's tree with a read-only root."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

_LEFT_OUT = shutil.ignore_patterns("site-packages", "dist-packages", "test", "idlelib", "tkinter", "lib2to3", "*.a")
_ALSO = ("libstdc++.so.6", "libgcc_s.so.1", "libm.so.6", "librt.so.1", "libdl.so.2", "libpthread.so.0")
"""What wheels may expect of a system (PEP 600) beside what Python itself needs."""


class Builder:
    """`buildah` with storage in a folder, without a daemon, a network of its own or user namespaces."""

    def __init__(self, folder: Path) -> None:
        if shutil.which("buildah") is None:
            raise FileNotFoundError("buildah is not installed; fix: scripts/setup.sh dev")
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        places = ["--root", str(folder / "storage"), "--runroot", str(folder / "run")]
        self._command = ["buildah", *places, "--storage-driver", "overlay"]
        if subprocess.run([*self._command, "info"], capture_output=True).returncode:
            self._command[-1] = "vfs"  # a kernel, or a file system, without overlays: slower, the same otherwise

    def __call__(self, *words: str) -> str:
        done = subprocess.run([*self._command, *words], capture_output=True, text=True, cwd=self.folder)
        assert done.returncode == 0, f"buildah {' '.join(words)}\n{done.stdout}\n{done.stderr}"
        return done.stdout.strip()

    def base(self, name: str) -> str:
        """An image of this machine's Python and the libraries that it needs; its digest."""
        tree = self.folder / "base"
        copy_python(tree)
        container = self("from", "scratch")
        self("add", "--quiet", container, str(tree), "/")
        self("config", "--env", "PATH=/usr/local/bin:/usr/bin:/bin", container)
        self("commit", "--quiet", container, name)
        self("rm", container)
        shutil.rmtree(tree)
        listed = json.loads(self("images", "--json", name))
        return str(listed[0]["digest"])

    def build(self, context: Path, tag: str, **arguments: str) -> dict[str, Any]:
        """Build a context; the image's configuration."""
        given = [word for name, value in arguments.items() for word in ("--build-arg", f"{name}={value}")]
        # the docker format keeps the health check
        usual = ["--isolation", "chroot", "--network", "host", "--pull-never", "--format", "docker", "--quiet"]
        self("build", *usual, *given, "--tag", tag, str(context))
        config: dict[str, Any] = json.loads(self("inspect", "--type", "image", tag))["Docker"]["config"]
        return config

    def tree(self, image: str) -> Path:
        """The file system of a new container."""
        return Path(self("mount", self("from", "--pull-never", image)))

    def close(self) -> None:
        """Remove everything: some hundred megabytes."""
        self("rm", "--all")
        for place in (self.folder / "storage" / "overlay", self.folder / "storage"):
            subprocess.run(["umount", "--recursive", str(place)], capture_output=True)  # where it is mounted at all
        shutil.rmtree(self.folder)


def copy_python(tree: Path) -> None:
    """This machine's interpreter, its library and what they are linked to, at the places that they have here."""
    python = Path(sys.base_prefix) / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}"
    library = Path(sysconfig.get_path("stdlib", vars={"installed_base": sys.base_prefix, "base": sys.base_prefix}))
    inside = tree / library.relative_to("/")
    shutil.copytree(library, inside, ignore=_LEFT_OUT, symlinks=True)
    binary = tree / python.resolve().relative_to("/")
    binary.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(python.resolve(), binary)
    named = tree / "usr/local/bin/python3"
    named.parent.mkdir(parents=True, exist_ok=True)
    named.symlink_to(python.resolve())
    for wheels in (Path("/usr/share/python-wheels"),):  # where Debian keeps what `venv` installs
        if wheels.is_dir():
            shutil.copytree(wheels, tree / wheels.relative_to("/"))
    for path in _linked(python.resolve(), *sorted((library / "lib-dynload").glob("*.so"))) | _found(_ALSO):
        target = tree / path.relative_to("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists():
            shutil.copy2(path.resolve(), target)
    for name in ("proc", "dev", "sys", "tmp", "etc", "run", "var/tmp"):
        (tree / name).mkdir(parents=True, exist_ok=True)
    (tree / "tmp").chmod(0o1777)
    for folder in [tree, *(path for path in tree.rglob("*") if path.is_dir() and not path.is_symlink())]:
        folder.chmod(folder.stat().st_mode | 0o555)


def _linked(*binaries: Path) -> set[Path]:
    """The shared libraries of these files, by the path under which each is looked for."""
    found = set()
    said = subprocess.run(["ldd", *map(str, binaries)], capture_output=True, text=True).stdout
    for line in said.splitlines():
        words = line.split()
        path = words[2] if "=>" in words and len(words) > 2 else words[0] if words else ""
        if path.startswith("/") and not path.endswith(":"):
            found.add(Path(path))
    return found


def _found(names: tuple[str, ...]) -> set[Path]:
    cache = subprocess.run(["/sbin/ldconfig", "-p"], capture_output=True, text=True, check=True).stdout
    lines = (line.split() for line in cache.splitlines() if "=>" in line)
    return {Path(words[-1]) for words in lines if words[0] in names and ("x86-64" in words[1] or "AArch64" in words[1])}


def in_tree(tree: Path, config: dict[str, Any], *words: str, **popen: Any) -> subprocess.Popen[bytes]:
    """A program of a container: its user, environment and folder, a root that may not be written to, and volumes in
    memory. It ends with who started it."""
    volumes = " && ".join(
        f'mount -t tmpfs -o "uid=10001,gid=10001" tmpfs "$R{volume}"' for volume in config.get("Volumes") or {}
    )
    enter = (
        'mount --bind "$R" "$R" && mount -o remount,bind,ro "$R" && mount -t proc proc "$R/proc" && '
        f'mount --bind /dev "$R/dev" && {volumes} && '
        'exec chroot --userspec="$U" "$R" /usr/local/bin/python3 -c "$P" "$@"'
    )
    start = "import os, sys; os.chdir(sys.argv[1]); os.execv(sys.argv[2], sys.argv[2:])"
    environment = dict(each.split("=", 1) for each in config["Env"])
    return subprocess.Popen(
        [
            "unshare",
            "--mount",
            "--pid",
            "--fork",
            "--kill-child",
            "sh",
            "-c",
            enter,
            "sh",
            config["WorkingDir"],
            *words,
        ],
        env=environment | {"R": str(tree), "U": config["User"], "P": start, "PATH": os.environ["PATH"]},
        **popen,
    )
