"""The profile of a Parquet file by skimpy."""

from __future__ import annotations

import contextlib
import io
import json
import sys
import time

import pandas as pd
from skimpy import skim  # type: ignore[import-not-found]  # in an environment of its own

started = time.perf_counter()
frame = pd.read_parquet(sys.argv[1])
with contextlib.redirect_stdout(io.StringIO()):
    skim(frame)
print("\n" + json.dumps({"profile_s": time.perf_counter() - started, "columns": frame.shape[1]}))
