"""The twelve checks by Great Expectations on pandas."""

from __future__ import annotations

import os
import sys
import time

os.environ["GX_ANALYTICS_ENABLED"] = "False"

import great_expectations as gx  # type: ignore[import-not-found]  # in an environment of its own
import great_expectations.expectations as gxe  # type: ignore[import-not-found]
import pandas as pd
from twelve import CARRIER, KEY, NOT_NULL, ORIGINS, RANGES, tell  # type: ignore[import-not-found]


def main(path: str) -> None:
    """Check the file."""
    rows = pd.read_parquet(path)
    started = time.perf_counter()
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    asset = context.data_sources.add_pandas("p").add_dataframe_asset("a")
    batch = asset.add_batch_definition_whole_dataframe("b").get_batch({"dataframe": rows})
    suite = gx.ExpectationSuite(name="s")
    for name in NOT_NULL:
        suite.add_expectation(gxe.ExpectColumnValuesToNotBeNull(column=name))
    for name, (low, high) in RANGES.items():
        suite.add_expectation(gxe.ExpectColumnValuesToBeBetween(column=name, min_value=low, max_value=high))
    suite.add_expectation(gxe.ExpectColumnValuesToBeInSet(column="origin", value_set=ORIGINS))
    suite.add_expectation(gxe.ExpectColumnValuesToMatchRegex(column="carrier", regex=CARRIER))
    suite.add_expectation(gxe.ExpectCompoundColumnsToBeUnique(column_list=KEY))
    result = batch.validate(suite)
    tell(started, sum(one.result.get("unexpected_count") or 0 for one in result.results))


if __name__ == "__main__":
    main(sys.argv[1])
