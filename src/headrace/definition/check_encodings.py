"""Whether [features.encodings] names inputs of the model; their types are checked when a run meets the data."""

from __future__ import annotations

from collections.abc import Sequence

from headrace.definition.document import Document, suggestion
from headrace.definition.model import Features


def check_encodings(features: Features, inputs: Sequence[str] | None, document: Document) -> None:
    """Note names that are no inputs.

    Parameters
    ----------
    inputs : columns of the request and features; None when the data say which
    """
    for encoding in features.encodings:
        at = document.at("features", "encodings", encoding.name)
        for name, where in ((encoding.name, at), (encoding.group, at.key("group"))):
            if name is None or where.is_broken:
                continue
            if inputs is not None and name not in inputs:
                guess = suggestion(name, inputs)
                where.wrong(
                    "there is no such input",
                    expected="a column of project.request or a feature",
                    found=f"`{name}`",
                    fix=f"did you mean `{guess}`?" if guess else "take it out: only inputs are encoded",
                    code="unknown-name",
                )
            elif name in features.drop:
                where.wrong(
                    "it is dropped, and an encoding uses it",
                    expected="an input of the model",
                    found=f"`{name}` in features.drop",
                    fix='take it out of features.drop; as = […] without "codes" or "number" leaves the plain input out',
                )
