"""`headrace serve`."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from headrace.cli.options import AsJson, ProjectPath, Workers
from headrace.cli.serving import MOST_PORT, answer


def serve(
    *,
    host: str | None = None,
    port: Annotated[int | None, Parameter(name=["--port", "-p"], validator=Number(gte=0, lte=MOST_PORT))] = None,
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
    return answer(host=host, port=port, workers=workers, project=project, as_json=as_json)
