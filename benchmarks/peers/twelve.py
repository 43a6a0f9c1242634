"""The twelve checks, for scripts that run in an environment without Headrace."""

from __future__ import annotations

import json
import time

NOT_NULL = ["origin", "dest", "carrier", "flight", "time_hour"]
RANGES = {"month": (1, 12), "hour": (0, 23), "distance": (1, 6000), "dep_delay": (-120, 1200)}
ORIGINS = ["EWR", "JFK", "LGA"]
CARRIER = "^[A-Z0-9]{2}$"
KEY = ["time_hour", "carrier", "flight", "origin", "dest"]


def tell(started: float, failed: float) -> None:
    """Print the seconds since `started` and how many rows failed."""
    print(json.dumps({"check_s": time.perf_counter() - started, "failed": int(failed)}))
