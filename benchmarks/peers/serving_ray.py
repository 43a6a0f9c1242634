"""Peers of `benchmarks.serving`: Ray Serve with ONNX and its batching, in the mode that is made for throughput.

`haproxy`: behind the HAProxy that Ray starts, as its documents advise. `replica`: the replica's own port is asked,
past what stands in front of it.

usage: serving_ray.py haproxy|replica FOLDER PORT
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

from serving_model import Rows, by_onnx  # type: ignore[import-not-found]  # beside this file


def main(kind: str, folder: Path, port: int) -> None:
    """Serve."""
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1"}
    if kind == "haproxy":
        os.environ["RAY_SERVE_ENABLE_HA_PROXY"] = "1"
        front = port
    else:
        os.environ["RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT"] = str(port)
        front = port + 1
    import ray  # type: ignore[import-not-found]  # in an environment of its own; it reads the variables when imported
    from ray import serve
    from ray.serve.config import HTTPOptions  # type: ignore[import-not-found]

    class Late:
        def __init__(self, folder: Path) -> None:
            self.answer = by_onnx(folder)

        async def __call__(self, request: Any) -> dict[str, Any]:
            asked = await request.json()
            return {"probability": self.answer(asked) if isinstance(asked, list) else await self.one(asked)}

        @serve.batch(max_batch_size=64, batch_wait_timeout_s=0.0)  # type: ignore[untyped-decorator]
        async def one(self, rows: Rows) -> list[float]:
            found: list[float] = self.answer(rows)
            return found

    quiet = {"enable_access_log": False, "log_level": "WARNING"}
    one_replica = {"num_replicas": 1, "max_ongoing_requests": 256, "ray_actor_options": {"num_cpus": 0}}
    deployed = serve.deployment(Late, **one_replica, logging_config=quiet)
    ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False, _temp_dir=str(folder / "ray"))
    serve.start(http_options=HTTPOptions(host="127.0.0.1", port=front), logging_config=quiet)
    serve.run(deployed.bind(folder), route_prefix="/predict", logging_config=quiet)
    signal.pause()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
