"""A long answer is written as fast as its client reads it."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.serving.http.inside import Inside, Transport, deployment, version, within

from headrace.serving.http.connection import Connection

VERSION = version(1)


class Slow(Transport):
    """Takes one piece at a time."""

    def write(self, data: bytes) -> None:
        super().write(data)
        self.connection.pause_writing()

    connection: Connection


@pytest.mark.parametrize("ends", [False, True])
def test_of_a_long_answer_no_more_is_written_than_is_read(tmp_path: Path, ends: bool) -> None:
    async def run() -> None:
        made = Inside(tmp_path, deployment({"v1": VERSION}), [VERSION])
        connection, transport = Connection(made.desk), Slow()
        transport.connection = connection
        connection.connection_made(transport)  # type: ignore[arg-type]
        said = list[str]()
        connection.waits = 1
        connection.write_parts([b"a", b"b", b"c"], True, lambda: said.append("said"))
        assert (transport.sent, said, connection.is_idle) == (b"a", [], False)
        if ends:
            connection.connection_lost(None)
            assert (transport.sent, said) == (b"a", ["said"])
        else:
            for sent in (b"ab", b"abc"):
                connection.resume_writing()
                assert transport.sent == sent
            assert (said, connection.is_idle, transport.paused) == (["said"], True, True)
            connection.resume_writing()
            assert (said, transport.paused) == (["said"], False)
        assert made.desk.unread == 0
        made.log.close()

    within(run())
