"""The JSON Schema that editors complete `headrace.toml` from."""

from __future__ import annotations

from headrace.definition.grammar import DEFINITION
from headrace.definition.kinds import JsonSchema


def json_schema() -> JsonSchema:
    """JSON Schema 2020-12 of a definition, from the tables that the reader walks by."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "headrace.toml",
        **DEFINITION.schema(),
    }
