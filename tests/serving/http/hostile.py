"""Requests that nobody should send, drawn from a seed: bent heads, bodies, chunks, addresses; pipelines cut anyhow."""

from __future__ import annotations

import itertools
import json
import struct
from collections.abc import Callable, Sequence
from random import Random
from typing import Any, Final, NamedTuple

from tests.scoring.made import ROW

MARK: Final = "sent7value"
"""In every text that a well-formed request carries as a value: no error may repeat it."""
METHODS: Final = (
    "GET",
    "HEAD",
    "POST",
    "PUT",
    "DELETE",
    "OPTIONS",
    "TRACE",
    "PATCH",
    "CONNECT",
    "PRI",
    "get",
    "M-SEARCH",
    "",
)
ADDRESSES: Final = (
    "/healthz",
    "/readyz",
    "/metrics",
    "/openapi.json",
    "/v1/deployments",
    "/v1/deployments/delays",
    "/v1/deployments/kinds",
    "/v1/deployments/delays/predict",
    "/v1/deployments/kinds/predict",
    "/v1/deployments/delays/outcomes",
    "/v1/deployments/none/predict",
    "/v2",
    "/v2/health/live",
    "/v2/health/ready",
    "/v2/models/delays",
    "/v2/models/kinds/ready",
    "/v2/models/delays/infer",
    "/v2/models/kinds/versions/2/infer",
    "/v2/models/kinds/versions/9/infer",
)
WHOLE: Final = (
    *("http://localhost",) * 4, "HTTPS://LOCALHOST:8000", "http://127.0.0.1:", "http://evil.example", "http://",
    "http://:80", "http://user@localhost", "http://u:p@localhost", "http://localhost@evil.example", "http://[::1]:80",
    "http://[::1", "http://localhost:80:80", "http://loc%61lhost", "ftp://localhost", "http:/localhost",
    "http://localhost\\@x", "localhost:80", "http://" + "a" * 9_000,
)  # fmt: skip
"""What a target begins with that is a whole address, or nearly."""
NUMBERS: Final = (
    "0", "-0", "1", "-1", "1.0", "1e3", "1e400", "-1e400", "1e-400", "9007199254740993", "9223372036854775807",
    "9223372036854775808", "-9223372036854775809", "18446744073709551616",
    "9" * 400, "9" * 5_000, "0." + "0" * 400 + "1",
    "NaN", "Infinity", "-Infinity", "0x10", "01", "+1", "1.", ".5", "1e", "--1", "1_000", "٣",
)  # fmt: skip
TEXTS: Final = (
    '""', '"\\u0000"', '"\\ud800"', '"\\udc00\\ud800"', '"\\u202e"', '"\U0001f600"', '"e\\u0301"',
    '"' + "a" * 70_000 + '"',
    '"../../etc/passwd"', '"\'; drop table x; --"', '"{{7*7}}"', '"${jndi:ldap://x}"', '"%00%0d%0a"',
    '"\\u000d\\u000aX: y"',
    '"2013-01-01T00:00:00Z"', '"9999-12-31T23:59:60Z"', '"0000-00-00"', '"\\x"', '"open', '"1e400"', '"=1+1"',
)  # fmt: skip
OTHERS: Final = (
    "null",
    "true",
    "false",
    "[]",
    "{}",
    "[[]]",
    '[{"a":1}]',
    '{"a":{"a":{}}}',
    "",
    ",",
    "]",
    "}",
    "nul",
    "[" * 2_000,
)
_UP: Final = (
    "..",
    "%2e%2e",
    "%2E.",
    ".%2e",
    "%252e%252e",
    "%c0%ae%c0%ae",
    "..%00",
    "..;",
    "....",
    "．．",
    "%uff0e%uff0e",
)
_SLASH: Final = ("/", "\\", "%2f", "%5c", "%252f", "%c0%af", "//", "/./", "%2F%2f")
_GOAL: Final = ("etc/passwd", "proc/self/environ", "headrace.toml", "server.log", "objects", "secret#", "x?y=../z")
_FROM: Final = ("/", "/v1/deployments/", "/v2/models/", "/v1/deployments/delays/")


def traversals() -> list[str]:
    """Every spelling of a way out of a folder."""
    made = itertools.product(_FROM, _UP, _SLASH, _GOAL)
    return [f"{start}{(up + slash) * 3}{goal}" for start, up, slash, goal in made]


class Hostile(NamedTuple):
    """What is sent over one connection, and then nothing more."""

    pieces: list[bytes]
    requests: int
    speaks_for_itself: bool
    """It was well formed: an error may not repeat the values in it."""


class Maker:
    """Draws them; the same from the same seed."""

    def __init__(self, seed: int, keys: list[str], deployments: Sequence[str] = ("delays", "kinds")) -> None:
        self.random, self._deployments = Random(seed), deployments
        self._keys = [*keys * 4, "", "hr_x_y", "hr_" + "a" * 500]
        self._traversals = traversals()
        self._kinds: list[tuple[int, Callable[[], tuple[bytes, bool]]]] = [
            (4, self._values),
            (4, self._bent_body),
            (2, self._outcomes),
            (3, self._inference),
            (4, self._bytes_changed),
            (3, self._address),
            (4, self._headers),
            (3, self._chunks),
            (2, self._kind_of_content),
        ]

    def draw(self) -> Hostile:
        """One connection's worth."""
        random = self.random
        weights = [weight for weight, _ in self._kinds]
        n = random.choice((1, 1, 1, 2, 3, 9))
        made = [make() for _, make in random.choices(self._kinds, weights, k=n)]
        data = b"".join(one for one, _ in made)
        if random.random() < 0.1:
            data = data[: random.randrange(len(data) + 1)]
        return Hostile(self._cut(data), n, all(speaks for _, speaks in made))

    def _cut(self, data: bytes) -> list[bytes]:
        places = sorted(self.random.randrange(len(data) + 1) for _ in range(self.random.choice((0, 0, 1, 3, 12))))
        return [data[start:end] for start, end in itertools.pairwise([0, *places, len(data)])]

    def request(
        self,
        body: bytes = b"",
        *,
        method: str = "POST",
        path: str | None = None,
        more: Sequence[bytes] = (),
        kind: bytes | None = b"application/json",
        length: bool = True,
    ) -> bytes:
        """A request that is right, but for what is given."""
        key = self.random.choice(self._keys)
        path = path or self.random.choice(ADDRESSES)
        if path.startswith("/") and self.random.random() < 0.1:
            path = "http://localhost:80" + path
        lines = [f"{method} {path} HTTP/1.1".encode(), b"Host: localhost"]
        lines += [b"Authorization: Bearer " + key.encode()] if key else []
        lines += [b"Content-Type: " + kind] if kind is not None else []
        lines += [b"Content-Length: %d" % len(body)] if length else []
        return b"\r\n".join([*lines, *more]) + b"\r\n\r\n" + body

    def _predict(self, body: bytes, **more: Any) -> bytes:
        return self.request(body, path=f"/v1/deployments/{self.random.choice(self._deployments)}/predict", **more)

    def _value(self) -> Any:
        random = self.random
        plain = [
            None,
            True,
            0,
            -1.5,
            2**70,
            MARK,
            "",
            [MARK],
            {MARK[:4]: MARK},
            f"{MARK}\x00\u202e",
            1e300,
            random.random(),
        ]
        return random.choice(plain)

    def _values(self) -> tuple[bytes, bool]:
        """Rows of the right columns, and of others, with values of every kind."""
        rows = []
        for _ in range(self.random.choice((1, 1, 2, 30))):
            row = {name: self._value() if self.random.random() < 0.3 else value for name, value in ROW.items()}
            if self.random.random() < 0.2:
                row.pop(self.random.choice(list(row)))
            if self.random.random() < 0.2:
                row[self.random.choice(("miles", "", "a" * 5_000, "$set", "\u0000", "__class__"))] = self._value()
            rows.append(row)
        body = rows[0] if len(rows) == 1 and self.random.random() < 0.7 else rows
        return self._predict(json.dumps(body, ensure_ascii=self.random.random() < 0.5).encode()), True

    def _bent_body(self) -> tuple[bytes, bool]:
        """JSON that is none, or should not be: grammar broken, numbers and texts at the edges."""
        parts = [f'"{name}":{self.random.choice((*NUMBERS, *TEXTS, *OTHERS))}' for name in (*ROW, "carrier")]
        text = "{" + ",".join(self.random.sample(parts, self.random.randrange(1, len(parts)))) + "}"
        ways: list[Callable[[], str]] = [
            lambda: text,
            lambda: "[" + ",".join([text] * 3) + "]",
            lambda: self.random.choice((*NUMBERS, *TEXTS, *OTHERS)),
            lambda: "[" * self.random.choice((10, 1_000, 60_000)),
            lambda: '{"a":' * 10_000 + "1" + "}" * 10_000,
            lambda: text[: self.random.randrange(len(text))],
            lambda: "\ufeff" + text,
            lambda: "[" + "{}," * 2_000 + "{}]",
            lambda: " " * 50_000 + text,
            lambda: json.dumps(ROW) + json.dumps(ROW),
        ]
        bent = self.random.choice(ways)()
        body = bent.encode("utf-8", "surrogatepass")
        if self.random.random() < 0.1:
            body = bent.encode("utf-16")
        return self._predict(body), False

    def _outcomes(self) -> tuple[bytes, bool]:
        """Truths with values of every kind."""
        names = ("request_id", "row", "entity", "at", "value", "known", "more")
        one = {name: self._value() for name in self.random.sample(names, self.random.randrange(1, 7))}
        if self.random.random() < 0.5:
            one |= {"request_id": "q1", "value": self._value()}
        body: Any = {"outcomes": [one] * self.random.choice((0, 1, 3))}
        return self.request(
            json.dumps(body).encode(), path=f"/v1/deployments/{self.random.choice(self._deployments)}/outcomes"
        ), True

    def _inference(self) -> tuple[bytes, bool]:
        """Tensors that do not fit, in JSON and in binary."""
        random = self.random
        inputs: list[dict[str, Any]] = []
        tail = b""
        n = random.choice((0, 1, 1, 2, 7))
        for name in random.choices((*ROW, "miles", ""), k=random.choice((0, 1, 5, 5, 30))):
            shape = random.choice(([n], [n, 1], [1, n], [], [n, 2], [-n], [2**40], [2**70], "n", [n, 1, 1]))
            kind = random.choice(("BYTES", "FP64", "INT64", "BOOL", "FP16", "UINT64", "", "NO", 3))
            made: dict[str, Any] = {"name": name, "shape": shape, "datatype": kind}
            if random.random() < 0.3:
                data = random.choice(
                    (struct.pack("<d", random.random()) * n, b"\xff" * 8 * n, struct.pack("<I", 2**31), b"")
                )
                made["parameters"] = {"binary_data_size": random.choice((len(data), len(data) + 1, -1, 2**70))}
                tail += data
            else:
                made["data"] = [self._value() for _ in range(n)]
            inputs.append(made)
        asked: dict[str, Any] = {"inputs": inputs}
        if random.random() < 0.4:
            outputs = random.choices(("probability", "decision", "version", "none"), k=random.choice((1, 2, 50)))
            asked["outputs"] = [
                {"name": name, "parameters": {"binary_data": random.random() < 0.5}} for name in outputs
            ]
        if random.random() < 0.2:
            asked["id"] = random.choice((MARK + "\r\nX: y", "", "ok", 7, "a" * 1_000))
        text = json.dumps(asked).encode()
        said = random.choice((len(text), len(text), len(text) + 1, 0, 10**12))
        more = [b"Inference-Header-Content-Length: %d" % said] if tail or random.random() < 0.1 else []
        path = f"/v2/models/{random.choice(self._deployments)}/infer"
        return self.request(text + tail, path=path, more=more, kind=random.choice((None, b"application/json"))), False

    def _bytes_changed(self) -> tuple[bytes, bool]:
        """A request that is right, some of its bytes changed, lost, repeated or put in."""
        data = bytearray(self._predict(json.dumps(ROW).encode()))
        for _ in range(self.random.choice((1, 1, 2, 5, 20))):
            place = self.random.randrange(len(data))
            match self.random.randrange(5):
                case 0:
                    data[place] ^= 1 << self.random.randrange(8)
                case 1:
                    del data[place : place + self.random.randrange(1, 9)]
                case 2:
                    data[place:place] = self.random.randbytes(self.random.randrange(1, 9))
                case 3:
                    data[place:place] = self.random.choice(
                        (b"\r\n", b"\n", b"\r", b"\x00", b":", b" ", b"\t", b"\r\n\r\n")
                    )
                case _:
                    data[place:place] = data[place : place + self.random.randrange(1, 60)]
        return bytes(data), False

    def _address(self) -> tuple[bytes, bool]:
        """Methods and addresses of every kind, ways out of folders among them."""
        random = self.random
        ways: list[Callable[[], str]] = [
            lambda: random.choice(self._traversals),
            lambda: (
                random.choice(ADDRESSES)
                + random.choice(("/", "//", "?a=b", "#x", "%00", "%2f", ";x", "/../x", "?" * 900))
            ),
            lambda: "/" + "".join(chr(random.randrange(33, 1_000)) for _ in range(random.randrange(1, 60))),
            lambda: random.choice(WHOLE) + random.choice((*ADDRESSES, "", "?a", "//healthz", "/%2e%2e/healthz", "/é")),
            lambda: "http://localhost" + random.choice(self._traversals),
            lambda: random.choice(("*", "localhost:80", "", "//", "/" + "a" * 9_000, "/" * 4_000)),
            lambda: random.choice(ADDRESSES),
        ]
        path = random.choice(ways)()
        return self.request(method=random.choice(METHODS), path=path or " ", kind=None), False

    def _headers(self) -> tuple[bytes, bool]:
        """Headers that are repeated, long, many, or hold what no header holds."""
        random = self.random
        names: tuple[str, ...] = (
            "host",
            "authorization",
            "x-request-id",
            "x-timeout-ms",
            "expect",
            "connection",
            "transfer-encoding",
        )
        names += (
            "content-length",
            "content-type",
            "upgrade",
            "x-forwarded-for",
            "cookie",
            "range",
            "te",
            "trailer",
            "a" * 300,
        )
        values: tuple[str, ...] = (
            "",
            "a",
            "1",
            "0",
            "-1",
            "1e3",
            "9" * 30,
            "chunked",
            "close",
            "keep-alive",
            "100-continue",
            "Basic eDp5",
        )
        values += (
            MARK + "\x00",
            "é",
            "a" * 9_000,
            "a" * 40_000,
            "gzip, chunked",
            "localhost:99999",
            "evil.example",
            "Upgrade",
        )
        values += ("a\tb", "a\rb", "a\nb: c", "a\r\n b", "\x7f", "bearer x", "Bearer", "h2c", "identity")
        more = [
            f"{random.choice(names)}: {random.choice(values)}".encode()
            for _ in range(random.choice((1, 1, 2, 5, 99, 120)))
        ]
        body = json.dumps(ROW).encode()
        return self._predict(body, more=more), False

    def _chunks(self) -> tuple[bytes, bool]:
        """Chunks that lie about their sizes, with extensions and trailers."""
        random = self.random
        body, data, place = json.dumps(ROW).encode(), b"", 0
        while place < len(body):
            size = random.choice((1, 7, 30, len(body)))
            part = body[place : place + size]
            said = b"%x" % len(part)
            if random.random() < 0.05:
                said = random.choice(
                    (b"0", b"-1", b"ffffffffffffffff", b"f" * 20, b"", b"0x4", b"7 ", b"%d" % (len(part) + 3))
                )
            extension = random.choice((b"", b"", b"", b";a=b", b";" + b"a" * 3_000))
            data += said + extension + random.choice((b"\r\n",) * 30 + (b"\n", b"\r")) + part + b"\r\n"
            place += size
        trailers = random.choice((b"", b"", b"x-a: b\r\n", b"content-length: 3\r\n", b"x: y\r\n" * 150))
        data += b"0\r\n" + trailers + random.choice((b"\r\n", b"\r\n", b"\r\n", b""))
        coding = random.choice((b"chunked",) * 6 + (b"gzip, chunked", b"chunked, gzip", b"Chunked", b"xchunked"))
        return self._predict(data, more=[b"Transfer-Encoding: " + coding], length=random.random() < 0.1), False

    def _kind_of_content(self) -> tuple[bytes, bool]:
        """JSON that says it is something else, and something else that says it is JSON."""
        kinds: tuple[bytes | None, ...] = (
            None,
            b"",
            b"text/plain",
            b"application/json; charset=utf-16",
            b"application/x-www-form-urlencoded",
        )
        kinds += (b"multipart/form-data; boundary=x", b"application/jsonx", b"APPLICATION/JSON", b"a" * 2_000)
        more = self.random.choice(([], [], [b"Content-Encoding: gzip"], [b"Content-Encoding: "]))
        row = ROW | {"carrier": MARK}
        return self._predict(json.dumps(row).encode(), kind=self.random.choice(kinds), more=more), True
