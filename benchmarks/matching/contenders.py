"""One contender at a time on one labelled table, in a process of its own; prints what it found as JSON.

usage: python benchmarks/matching/contenders.py ours|splink TABLE.parquet
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Sequence
from typing import Any

COMPARE = {"name": "name", "email": "email", "phone": "phone", "born": "date", "street": "text", "city": "text"}
FEBRL = {
    "given_name": "name",
    "surname": "name",
    "date_of_birth": "date",
    "street": "text",
    "suburb": "text",
    "postcode": "exact",
    "soc_sec_id": "exact",
}


def ours(path: str) -> list[int]:
    """Row → cluster, by the defaults."""
    import polars as pl

    from headrace.data.matching.find import match_rows
    from headrace.definition.model import Match

    frame = pl.read_parquet(path)
    compare: Any = FEBRL if "soc_sec_id" in frame.columns else COMPARE
    return match_rows(frame, Match(compare=tuple(compare.items()))).cluster.to_list()


def splink(path: str) -> list[int]:
    """Row → cluster, set up as Splink's documentation advises, on values put in normal form beforehand.

    Given name and surname apart, as its name comparison wants them. A threshold of 0.95, as its tutorial has it."""
    import importlib  # neither is in our environment

    duckdb: Any = importlib.import_module("duckdb")
    cl: Any = importlib.import_module("splink.comparison_library")
    api: Any = importlib.import_module("splink")
    DuckDBAPI, Linker, SettingsCreator, block_on = api.DuckDBAPI, api.Linker, api.SettingsCreator, api.block_on

    columns = [row[0] for row in duckdb.sql(f"describe select * from '{path}'").fetchall()]
    if "soc_sec_id" in columns:
        frame = duckdb.sql(f"select * from '{path}'").df()
        comparisons = [
            cl.ForenameSurnameComparison("given_name", "surname"),
            cl.DateOfBirthComparison("date_of_birth", input_is_string=True, datetime_format="%Y%m%d"),
            cl.LevenshteinAtThresholds("street", [1, 3]).configure(term_frequency_adjustments=True),
            cl.LevenshteinAtThresholds("suburb", [1, 3]).configure(term_frequency_adjustments=True),
            cl.LevenshteinAtThresholds("postcode", [1, 2]),
            cl.DamerauLevenshteinAtThresholds("soc_sec_id", [1, 2]),
        ]
        rules = [
            block_on("soc_sec_id"),
            block_on("given_name", "surname"),
            block_on("date_of_birth"),
            block_on("surname", "postcode"),
            block_on("given_name", "postcode"),
            block_on("street"),
        ]
        training = [block_on("given_name", "surname"), block_on("date_of_birth"), block_on("soc_sec_id")]
        certain = ["l.soc_sec_id = r.soc_sec_id", "l.given_name = r.given_name and l.surname = r.surname"]
    else:
        plain = "nullif(trim(regexp_replace(lower({}), '[^a-z0-9]+', ' ', 'g')), '')"
        frame = duckdb.sql(
            f"select row_number() over () - 1 as unique_id, {plain.format('given')} as given, "
            f"{plain.format('surname')} as surname, lower(email) as email, cast(born as varchar) as born, "
            f"right(regexp_replace(phone, '[^0-9]', '', 'g'), 9) as phone, "
            f"{plain.format('street')} as street, {plain.format('city')} as city from '{path}'"
        ).df()
        comparisons = [
            cl.ForenameSurnameComparison("given", "surname"),
            cl.EmailComparison("email").configure(term_frequency_adjustments=True),
            cl.DateOfBirthComparison("born", input_is_string=True),
            cl.DamerauLevenshteinAtThresholds("phone", [1, 2]).configure(term_frequency_adjustments=True),
            cl.LevenshteinAtThresholds("street", [1, 3]).configure(term_frequency_adjustments=True),
            cl.ExactMatch("city").configure(term_frequency_adjustments=True),
        ]
        rules = [
            block_on("email"),
            block_on("phone"),
            block_on("given", "surname"),
            block_on("born", "city"),
            block_on("street"),
            block_on("surname", "born"),
            block_on("given", "born"),
        ]
        training = [block_on("given", "surname"), block_on("born"), block_on("email")]
        certain = [
            "l.email = r.email and l.surname = r.surname",
            "l.given = r.given and l.surname = r.surname and l.born = r.born",
        ]
    settings = SettingsCreator(
        link_type="dedupe_only", comparisons=comparisons, blocking_rules_to_generate_predictions=rules
    )
    linker = Linker(DuckDBAPI().register(frame), settings)
    linker.training.estimate_probability_two_random_records_match(certain, recall=0.7)
    linker.training.estimate_u_using_random_sampling(max_pairs=1e7, seed=1)
    for rule in training:
        linker.training.estimate_parameters_using_expectation_maximisation(rule)
    predicted = linker.inference.predict(threshold_match_probability=0.01)
    clustered = linker.clustering.cluster_pairwise_predictions_at_threshold(predicted, 0.95)
    found = clustered.as_duckdbpyrelation().select("unique_id, cluster_id").df().sort_values("unique_id")
    return [int(str(value).split("-")[-1]) for value in found["cluster_id"]]


def main(arguments: Sequence[str]) -> None:
    """Run one contender."""
    which, path = arguments
    started = time.perf_counter()
    with contextlib.redirect_stdout(sys.stderr):
        found = {"ours": ours, "splink": splink}[which](path)
    print("\n" + json.dumps({"seconds": time.perf_counter() - started, "clusters": found}))


if __name__ == "__main__":
    main(sys.argv[1:])
