"""The definition of a packed server is read back as it was meant."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from headrace.definition.model import Online, Serving
from headrace.definition.reader import read_serving
from headrace.packaging.serving_toml import ServingDefinition, serving_toml

KEY = "ed25519:" + "A" * 43 + "="
NAMES = st.lists(st.sampled_from(["predict.example", "a-b", "10.0.0.1", "[::1]"]), unique=True, max_size=3)
SERVING = st.builds(
    Serving,
    host=st.sampled_from(["127.0.0.1", "0.0.0.0", "::1"]),
    tls=st.sampled_from([None, "front"]),
    port=st.integers(0, 65_535),
    workers=st.integers(1, 100),
    batch=st.booleans(),
    most_workers=st.none() | st.integers(100, 256),
    hosts=NAMES.map(tuple),
    sticky=st.sampled_from([(), ("carrier",), ("carrier", 'a "b" \\ c')]),
    max_stale_us=st.integers(1, 10**9).map(lambda ms: ms * 1000),
    drain_us=st.integers(0, 10**6).map(lambda ms: ms * 1000),
    log=st.sampled_from(["process", "power"]),
    on_full=st.sampled_from(["refuse", "gap"]),
)


@given(SERVING, st.none() | st.integers(1, 10**9).map(lambda ms: ms * 1000), st.sampled_from(["refuse", "null"]))
def test_it_reads_back_without_a_loss(scratch: Path, serving: Serving, staleness: int | None, on_stale: str) -> None:
    reads = Online(max_staleness_us=staleness, on_stale="null" if on_stale == "null" else "refuse")
    meant = ServingDefinition("flight-delays", "${env:HEADRACE_OBJECTS}", "${env:ONLINE}", serving, reads, (KEY,))
    path = scratch / "headrace.toml"
    path.write_text(serving_toml(meant), encoding="utf-8")
    read = read_serving(path)
    assert (read.serving, read.online, read.trust.signers) == (serving, reads, (KEY,))
    assert (read.project.name, read.stores.objects, read.stores.online) == (meant.project, meant.objects, meant.online)
