"""What a server takes from a client before it does any work: bytes, seconds, requests at a time."""

from __future__ import annotations

import msgspec


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Of one server."""

    url_bytes: int = 8 * 1024
    header_bytes: int = 32 * 1024
    """Of all headers together."""
    headers: int = 100
    body_bytes: int = 8 * 1024 * 1024
    held_bytes: int = 256 * 1024 * 1024
    """Of all requests of one worker that have begun and are not whole; as much again of answers that are not read."""
    rows: int = 1_000
    """Of one request."""
    batch_bytes: int = 64 * 1024 * 1024
    """Of the body of a batch in Arrow or Parquet, and of its answer."""
    batch_rows: int = 250_000
    """Of one batch."""
    batch_decoded_bytes: int = 256 * 1024 * 1024
    """What a batch may take once it is read, every text at its length."""
    batches: int = 4
    """Of one worker that are under way; further ones are told to come again."""
    batch_s: float = 300.0
    """From a whole batch to its answer."""
    read_s: float = 10.0
    """From the first byte of a request to its last."""
    idle_s: float = 75.0
    """Between two requests of a connection."""
    write_s: float = 10.0
    """How long a client may leave an answer unread."""
    connections: int = 10_000
    """Of one worker; as many again over gRPC."""
    handshakes: int = 512
    """Of TLS, of one worker, that are under way; the oldest ends for one more. Each may take `read_s`."""
    waiting: int = 256
    """Requests of one worker that wait for an answer; further ones are told to come again."""
    waiting_rows: int = 4_096
    """The rows of these, likewise."""
    waiting_bytes: int = 64 * 1024 * 1024
    """The bodies of these, likewise."""
    pipelined: int = 16
    """Requests that one connection may send ahead of their answers."""
