"""`headrace serve`."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from headrace.cli.options import AsJson, ProjectPath, Workers

if TYPE_CHECKING:
    from headrace.serving.workforce import Tells


def serve(
    *,
    host: str | None = None,
    port: Annotated[int | None, Parameter(name=["--port", "-p"], validator=Number(gte=0, lte=65_535))] = None,
    workers: Workers = None,
    project: ProjectPath = None,
    as_json: AsJson = False,
) -> int:
    """Answer predictions over HTTP, until told to stop.

    The project's deployments are served; where there is none yet, one of the project's name is made of its champion.
    A packed server waits for one.

    Parameters
    ----------
    host
        The address to listen on, of this machine alone; else [serving] host.
    port
        Its port; else [serving] port. 0: any that is free.
    workers
        Processes that answer; else [serving] workers.
    """
    from headrace.app import Project

    with Project.open(project, to_serve=True) as opened:
        opened.service.address(host)  # before anything is deployed
        if opened.definition.project.source and not opened.service.deployments().names():
            # in a process of its own: the tables that it works with have no place in a server
            first = [sys.executable, "-m", "headrace", "deploy", opened.name, "--project", str(opened.path)]
            code = subprocess.run(first, stdout=subprocess.DEVNULL).returncode  # noqa: S603 - this very program
            if code:
                return code
        supervisor = opened.service.supervisor(host=host, port=port, workers=workers, say=_say(as_json=as_json))
        asyncio.run(supervisor.run())
    return 0


def _say(*, as_json: bool) -> Tells:
    import msgspec

    def say(event: str, /, **facts: object) -> None:
        if as_json:
            sys.stderr.write(msgspec.json.encode({"event": event, **facts}).decode() + "\n")
        else:
            told = " ".join(f"{name}={value}" for name, value in facts.items())
            sys.stderr.write(f"{event.replace('_', ' ')}{': ' if told else ''}{told}\n")
        sys.stderr.flush()

    return say
