"""What a server is told in confidence stays there: it is not in answers, metrics, logs, or what a process shows."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import quote

import msgspec
import pytest
from tests.canaries import told, told_in_folder
from tests.scoring.made import ROW, program
from tests.serving.http.hostile import Maker
from tests.serving.http.inside import request
from tests.serving.http.running import PROJECT, Client, Place, Running, children
from tests.serving.http.test_fuzz import exchange, read_answers

from headrace.features.model import LookupStep
from headrace.language.types import Type
from headrace.serving.messages import Settings
from headrace.serving.pulling import tell_changes

PASSWORD = "kanari/7f3a9:online+"
VARIABLE = "kanari-5d1c2-variable"
FOLDER = "kanari-2b8e4-folder"
SOURCE = "kanari-9c6d7-planes"


class Confided(Place):
    """A place whose online store asks for a password, and is away."""

    def settings(self) -> Settings:
        return msgspec.structs.replace(
            super().settings(), online=f"redis://reader:{quote(PASSWORD, safe='')}@127.0.0.1:1/0"
        )


def looks_up() -> bytes:
    """A program that needs the online store."""
    lookup = LookupStep(name="plane", source=SOURCE, key=(("carrier", "code"),), take=(("built", Type.INTEGER),))
    return msgspec.json.encode(msgspec.structs.replace(program(), steps=(*program().steps, lookup)))


def test_thousands_of_errors_tell_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_CONFIDED", VARIABLE)
    place = Confided(tmp_path / FOLDER)
    place.deploy(place.version(1))
    place.deploy(place.version(2, replaced={"program.json": looks_up()}), name="kinds")
    both, _ = place.keys.create(verbs=("predict", "outcomes"), lifetime_us=None, by="ann")
    tell_changes(place.objects, PROJECT)
    secret_of_key = both.split("_", 2)[2]
    assert len(secret_of_key) >= 20
    running = Running(place)
    try:
        address = running.address
        maker, bodies, statuses = Maker(seed=9, keys=[both]), list[bytes](), list[int]()
        while len(statuses) < 4_000:
            for status, _, body in read_answers(exchange(address, maker.draw().pieces)):
                statuses.append(status)
                bodies.append(body)
        client = Client(running, both)
        assert "redis://127.0.0.1" in json.dumps(running.wait_for("not_served"))
        status, _, problem = client.predict(ROW, name="kinds")
        assert status == 404
        bodies.append(json.dumps(problem).encode())
        # a key where no key belongs
        out_of_place = [
            request(ROW, text=both + "x"),
            request(ROW, text=f"{both} {both}"),
            request(ROW, text=both, authorization=f"Bearer {both}"),
            request(b'{"carrier": "' + both.encode() + b'"}', text=both),
            request(ROW, text=both, path=f"/v1/deployments/delays/predict?key={both}"),
            request(ROW, text=both, path=f"/{both}"),
            request(ROW, text=both, content_type=both),
            request(ROW, text=both, transfer_encoding=both),
            request(ROW, text=both, x_timeout_ms=both),
            request(ROW, text=both, expect=both, method=both[:20]),
        ]
        for data in out_of_place:
            bodies += [body for _, _, body in read_answers(exchange(address, [data]))]
        bodies.append(client.ask("GET", "/metrics")[2].encode())
        for path in ("/openapi.json", "/v1/deployments", "/v1/deployments/delays", "/v2/models/delays"):
            bodies.append(json.dumps(client.ask("GET", path)[2]).encode())

        confided = [PASSWORD, VARIABLE, secret_of_key]
        said = b"\n".join(bodies)
        assert told(said, [*confided, FOLDER, SOURCE]) == []
        workers = running.workers()
        shown = b""
        for pid in [*children(running.process.pid), *workers]:
            shown += Path(f"/proc/{pid}/environ").read_bytes() + Path(f"/proc/{pid}/cmdline").read_bytes()
        shown += Path(f"/proc/{running.process.pid}/cmdline").read_bytes()
        assert told(shown, confided) == []
        assert {200, 400, 401, 404, 405, 415, 422} <= set(statuses)
    finally:
        running.end()
    assert told((place.root / "server.log").read_bytes(), confided) == []
    assert told_in_folder(place.root, confided, but=Path()) == {}
    assert told(b"x" + PASSWORD.encode() + b"y", confided) == [PASSWORD]  # it would be found
