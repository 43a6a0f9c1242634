"""The profile of a Parquet file by DataProfiler, as a report."""

from __future__ import annotations

import json
import sys
import time

import dataprofiler as dp  # type: ignore[import-not-found]  # in an environment of its own
import pandas as pd

started = time.perf_counter()
options = dp.ProfilerOptions()
options.set({"data_labeler.is_enabled": False, "multiprocess.is_enabled": False})
profile = dp.Profiler(pd.read_parquet(sys.argv[1]), options=options)
columns = len(profile.report(report_options={"output_format": "compact"})["data_stats"])
print("\n" + json.dumps({"profile_s": time.perf_counter() - started, "columns": columns}))
