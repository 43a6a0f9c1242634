"""The certificate of a frame's features: what a version needs to be registered."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from headrace.errors import CheckFailed
from headrace.features.certificate import Certificate
from headrace.features.model import Frame
from headrace.runs.model import StageContext
from headrace.stages.model import Checked

if TYPE_CHECKING:
    from headrace.runs.runner import Run


class FeaturesDiffer(CheckFailed):
    """Replayed rows do not have the frame's features: what is learnt from would not be what is served."""

    code = "features-differ"

    def __init__(self, certificate: Certificate) -> None:
        first = certificate.first[0]
        super().__init__(
            f"{certificate.differences:,} of {certificate.rows * certificate.features:,} replayed values are not the "
            f"training table's, the first of feature {first.feature!r} in row {first.row + 1:,}: no version is made",
            fix="this is a fault of headrace: report it with the definition; leave the feature out until it is mended",
            differences=certificate.differences,
            features=sorted({one.feature for one in certificate.first}),
        )


def certify_frame(
    run: Run, checked: Checked, frame: Frame, *, rows: int | None = None, seed: int | None = None
) -> Certificate:
    """Replay rows of history one by one, with the online values as they were, and compare them with the frame.

    Raises
    ------
    FeaturesDiffer : any value is not the same, to the bit.
    """
    from headrace.features.certify import DEFAULT_ROWS

    rows, seed = DEFAULT_ROWS if rows is None else rows, 0 if seed is None else seed
    program = frame.program
    needed = {program.source, *(step.source for step in program.steps if hasattr(step, "source"))}
    tables = {name: table for name, table in checked.tables.items() if name in needed}

    def compute(ctx: StageContext) -> Certificate:
        import hashlib

        import polars as pl

        from headrace.features.certify import certify

        def scan(ref: object) -> pl.LazyFrame:
            url, options = ctx.scan(ref)  # type: ignore[arg-type]
            return pl.scan_parquet(url, storage_options=options or None)

        ctx.count(rows_in=min(rows, frame.rows))
        found = certify(
            program,
            scan(frame.ref),
            {name: scan(table.ref) for name, table in tables.items()},
            rows=rows,
            seed=seed,
        )
        ctx.count(rows_out=found.rows)
        digest = hashlib.sha256(msgspec.json.encode(program)).hexdigest()
        return msgspec.structs.replace(found, program=digest, frame=frame.ref.sha256)

    certificate = run.stage(
        "certify",
        depends={"frame": frame, "tables": tables, "rows": rows, "seed": seed},
        rooms=("features", "language"),
        compute=compute,
        kind=Certificate,
    )
    if not certificate.passed:
        raise FeaturesDiffer(certificate)
    return certificate
