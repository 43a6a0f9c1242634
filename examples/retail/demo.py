"""Runs the retail example on one machine: starts a PostgreSQL and an S3-compatible server, lays the data out beside
them, and types the commands of its page.

    make retail                                         check, run, and why one customer's values won
    python examples/retail/demo.py headrace check       any other command, with both servers there

The servers are the test servers of the development environment. On your own, set RETAIL_DATABASE, RETAIL_BUCKET and the
AWS_* variables and call prepare.py.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1]))

from tests.servers import PostgresServer, S3Server  # noqa: E402 - the folder above is not on the path before

STEPS = (("check",), ("run",), ("data", "explain", "C00450"))


def main(command: list[str]) -> int:
    """Run `command`, or the three steps, beside the two servers; the first exit code that is not 0."""
    spec = importlib.util.spec_from_file_location("prepare", HERE / "prepare.py")
    assert spec is not None
    assert spec.loader is not None
    prepare = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(prepare)
    headrace = str(Path(sys.executable).with_name("headrace"))
    steps = [command] if command else [[headrace, *step] for step in STEPS]
    with tempfile.TemporaryDirectory(prefix="headrace-retail-") as work:
        root = Path(work)
        root.chmod(0o755)  # PostgreSQL's own user walks through it
        with PostgresServer(root / "postgres") as postgres, S3Server(root / "s3") as s3:
            env = {**os.environ, **s3.env, "RETAIL_DATABASE": postgres.url(), "RETAIL_BUCKET": s3.bucket}
            env["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{env.get('PATH', '')}"
            prepare.main(HERE / "data", env)
            for step in steps:
                print(
                    f"\n$ headrace {' '.join(step[1:])}" if step[0] == headrace else f"\n$ {' '.join(step)}", flush=True
                )
                code = subprocess.run(step, cwd=HERE, env=env, check=False).returncode
                if code:
                    return code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
