"""What can stand in the way of a load test."""

from __future__ import annotations

from collections.abc import Sequence

from headrace.errors import CheckFailed, TroubleOutside, WrongUse


class NoServer(TroubleOutside):
    """No prediction server says that it answers the deployment."""

    code = "no-prediction-server"

    def __init__(self, name: str, elsewhere: Sequence[str]) -> None:
        there = f"; those that live ({', '.join(elsewhere)}) do not" if elsewhere else ""
        super().__init__(
            f"no prediction server answers as {name!r}{there}",
            fix="start one with headrace serve, or say where one is with --url",
            name=name,
            servers=list(elsewhere),
        )


class ServerNotReached(TroubleOutside):
    """Nobody takes connections at the address."""

    code = "prediction-server-not-reached"

    def __init__(self, address: str, reason: str) -> None:
        super().__init__(
            f"the prediction server at {address} cannot be reached: {reason}",
            fix="see that it runs (headrace serve), or say where it is with --url",
            address=address,
            reason=reason,
        )


class NotThisMachine(WrongUse):
    """The address is not this machine's own, and nobody said that it may be loaded."""

    code = "load-test-not-confirmed"

    def __init__(self, address: str) -> None:
        super().__init__(
            f"{address} is not on this machine: a load test takes all that a server has, and those who use it wait",
            fix="if nobody depends on that server, say --yes",
            address=address,
        )


class UrlInvalid(WrongUse):
    """No address of a server."""

    code = "server-url-invalid"

    def __init__(self, text: str) -> None:
        super().__init__(
            f"a server's address is like http://127.0.0.1:8000, found {text[:80]!r}",
            fix="write it with http:// or https://, a host (xn--… for a name beyond ASCII), and a port if it is not "
            "the usual one",
        )


class KeyMissing(WrongUse):
    """There is no API key to ask with, and none may be made here."""

    code = "api-key-missing"

    def __init__(self, name: str) -> None:
        super().__init__(
            "the project's objects are not on this machine, so no API key is made for the test, and none was given",
            fix=f"headrace keys create --deployment {name} --verb predict, and give it in HEADRACE_KEY or --key-file",
            name=name,
        )


class KeyFileUnreadable(WrongUse):
    """The file of the API key cannot be read, or holds none."""

    code = "api-key-file-unreadable"

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(
            f"{path} should hold an API key, alone on its first line: {reason}",
            fix="write what headrace keys create showed into it, and let nobody else read it",
            path=path,
        )


class KeyInvalid(WrongUse):
    """What was given as an API key cannot be sent as one."""

    code = "api-key-invalid"

    def __init__(self, where: str) -> None:
        super().__init__(
            f"{where} should hold an API key, which has ASCII letters, digits, - and _ alone; it holds something else",
            fix="give what headrace keys create showed, which begins with hr_",
            where=where,
        )


class ProbeRefused(CheckFailed):
    """The server did not answer a request of the kind that the test is made of."""

    code = "load-test-refused"

    def __init__(self, status: int, code: str, detail: str, fix: str | None) -> None:
        super().__init__(
            f"the server refuses what it would be asked, with {status} ({code}): {detail}",
            fix=fix or "give rows that the model can read with --rows",
            status=status,
            problem=code,
        )


class NoRows(WrongUse):
    """There is nothing to ask."""

    code = "load-test-no-rows"

    def __init__(self, where: str) -> None:
        super().__init__(f"{where} has no rows to ask with", fix="give a file of rows with --rows", where=where)


class LoadInvalid(WrongUse):
    """An option of the test that it cannot have."""

    code = "load-test-option-invalid"

    def __init__(self, option: str, expected: str, found: str) -> None:
        super().__init__(
            f"{option} should be {expected}, found {found[:40]!r}", fix="write such a value", option=option
        )


class GeneratorLost(TroubleOutside):
    """A process that asks ended by itself."""

    code = "load-generator-lost"

    def __init__(self, exit_code: int) -> None:
        super().__init__(
            f"a process that sends requests ended with code {exit_code}",
            fix="look at what it said above; the extra has to be installed: pip install 'headrace[serve]'",
            exit_code=exit_code,
        )
