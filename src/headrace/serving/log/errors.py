"""What can go wrong with the log of predictions."""

from __future__ import annotations

from headrace.errors import CheckFailed, TroubleOutside, WrongUse


class LogFull(TroubleOutside):
    """No space for the log, and the policy is to refuse: nothing is answered that is not logged."""

    code = "prediction-log-full"

    def __init__(self, where: str) -> None:
        super().__init__(
            f"no space is left for the log of predictions in {where}",
            fix="free space, or ship the log (headrace predictions ship): the server goes on by itself",
            where=where,
        )


class LogUnavailable(TroubleOutside):
    """The disk under the log refuses."""

    code = "prediction-log-unavailable"

    def __init__(self, where: str, reason: str) -> None:
        super().__init__(
            f"the log of predictions in {where} cannot be written: {reason}",
            fix="look after the disk: the server goes on by itself once it can write",
            where=where,
            reason=reason,
        )


class LogBehind(TroubleOutside):
    """The disk is so slow that too much waits for it."""

    code = "prediction-log-behind"

    def __init__(self, where: str, waiting: int) -> None:
        super().__init__(
            f"{waiting:,} bytes wait to become durable in the log of predictions in {where}",
            fix='send less, use a faster disk, or durability = "process"',
            where=where,
            waiting=waiting,
        )


class LogCorrupted(TroubleOutside):
    """A segment holds what no writer and no power cut leaves."""

    code = "prediction-log-corrupted"

    def __init__(self, segment: str, offset: int, what: str) -> None:
        super().__init__(
            f"the log of predictions is damaged in {segment} at byte {offset}: {what}",
            fix="restore the segment from a backup; to go on without it, move its folder away: what it held is lost",
            segment=segment,
            offset=offset,
            what=what,
        )


class LogTooNew(WrongUse):
    """A segment was written by a newer release."""

    code = "prediction-log-too-new"

    def __init__(self, segment: str, found: int, known: int) -> None:
        super().__init__(
            f"{segment} has format {found}, this release reads format {known}",
            fix="use the newer headrace",
            segment=segment,
            found=found,
            known=known,
        )


class ShippingBusy(TroubleOutside):
    """Another process ships this log."""

    code = "shipping-busy"

    def __init__(self, log: str) -> None:
        super().__init__(
            f"another process ships the log of predictions in {log}",
            fix="let it: one is enough",
            log=log,
        )


class OutcomesRefused(WrongUse):
    """Outcomes that do not say what they are about, what became true, or when it was known."""

    code = "outcomes-refused"

    def __init__(self, row: int | None, column: str, expected: str) -> None:
        where = column if row is None else f"row {row}, column {column!r}"
        super().__init__(
            f"outcomes are refused: {where} is not as expected: {expected}",
            fix="give each row value, known, and request_id (and row), or the deployment's sticky columns and at",
            row=row,
            column=column,
            expected=expected,
        )


class PredictionUnknown(CheckFailed):
    """No prediction with that request id is logged."""

    code = "prediction-unknown"

    def __init__(self, request_id: str) -> None:
        super().__init__(
            f"no prediction of request {request_id!r} is logged",
            fix="check the id; what was answered seconds ago is found once shipped: headrace predictions ship --once",
            request_id=request_id,
        )
