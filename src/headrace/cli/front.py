"""`headrace front`: what stands before servers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from headrace.cli.options import AsJson, Several
from headrace.cli.output import near, print_json, print_line, things

FILE = "haproxy.cfg"


def front(
    *,
    server: Annotated[tuple[str, ...], Several] = (),
    out: Annotated[Path, Parameter(name=["--out", "-o"])],
    bind: str = "127.0.0.1:8080",
    tls: str | None = None,
    answer_within: str = "1500ms",
    as_json: AsJson = False,
) -> int:
    """Write the configuration of HAProxy before several servers: losing one is seen by nobody.

    Parameters
    ----------
    server
        HOST:PORT of a server, or several parted by commas; may be given again.
    out
        The folder to write; made if it is not there, must be empty.
    bind
        Where clients ask.
    tls
        PEM file with the certificate and its key, as HAProxy will find it; plain HTTP when left out.
    answer_within
        How long a server may take before the request goes to another one.
    """
    from headrace.cli.instants import duration_s
    from headrace.packaging.haproxy import Front, haproxy_config, parse_address, parse_servers
    from headrace.registry.export import write_folder

    within_ms = max(1, round(duration_s(answer_within) * 1000))
    wanted = Front(parse_servers(server), parse_address(bind), within_ms, tls)
    folder = write_folder(out, {FILE: haproxy_config(wanted).encode()})
    servers = [str(each) for each in wanted.servers]
    if as_json:
        print_json({"folder": str(folder), "files": [FILE], "bind": str(wanted.bind), "servers": servers})
    else:
        print_line(f"{near(folder / FILE)}: {things(len(servers), 'server')} behind {wanted.bind}")
        print_line(f"  haproxy -c -f {near(folder / FILE)}   checks it")
    return 0
