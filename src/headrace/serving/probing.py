"""A version tried in a process of its own, away from every request: what it does, it does to that process."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Final

import msgspec

from headrace.runs.nursery import Nursery
from headrace.serving.errors import VersionNotProbed
from headrace.serving.line import connect
from headrace.serving.messages import FromWorker, Probe, Probed, Settings
from headrace.serving.model import Served

PROBE_S: Final = 20.0
"""By the clock; of the processor's time it gets less."""
PROBE_CPU_S: Final = 10
PROBE_BYTES: Final = 2 * 1024**3


async def probe(nursery: Nursery, settings: Settings, served: Served) -> float:
    """Microseconds that one row took, the median of some.

    Raises
    ------
    VersionNotProbed : it cannot be loaded, crashed, hung, took more memory than it may, or gave no answer that holds.
    """
    order = Probe(settings=settings, served=served, memory_bytes=PROBE_BYTES, cpu_s=PROBE_CPU_S)
    name = f"{served.model}@{served.version}"
    said: asyncio.Future[FromWorker | None] = asyncio.get_running_loop().create_future()

    def hear(message: FromWorker | None) -> None:
        if not said.done():
            said.set_result(message)

    try:
        child = nursery.fork("probe " + msgspec.json.encode(order).decode())
    except OSError as error:
        raise VersionNotProbed(name, "the process could not be begun") from error
    line = await connect(child.connection, hear, partial(hear, None))
    try:
        message = await asyncio.wait_for(said, PROBE_S)
    except TimeoutError:
        raise VersionNotProbed(name, f"it had not answered after {PROBE_S:g} s") from None
    finally:
        line.end()
        ended = await asyncio.to_thread(child.end)
    if not isinstance(message, Probed):
        raise VersionNotProbed(name, f"the process ended with code {ended.code}")
    if message.error is not None:
        raise VersionNotProbed(name, message.error)
    return message.row_us
