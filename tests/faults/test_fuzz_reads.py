"""A8: any read, through any driver, under any faults, is the slice of the object that Python cuts, or a typed error.

`S3DLIO_FUZZ_EXAMPLES` asks for more examples than the few of an ordinary run.
"""

import asyncio
import os
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import s3dlio
from s3dlio.stores import store_for
from s3dlio.uri import parse
from tests.servers.faulty.faults import KINDS, READS
from tests.servers.faulty.server import ACCOUNT, FaultServer, faulty

EXAMPLES = int(os.environ.get("S3DLIO_FUZZ_EXAMPLES", "300"))
SIZES = (0, 1, 4096, 100_003)
CONTENTS = {size: bytes((11 * at + at // 251) % 256 for at in range(size)) for size in SIZES}
SLOW = frozenset(("stall", "half-head-stall", "body-stall", "drip"))  # each takes as long as patience lasts
UNSEEN = frozenset(("flip",))  # where no checksum covers the range, nothing can tell
CHANGING = frozenset(("replaced", "replaced-unpinned"))  # what is right then changes with every request
FAULTS = sorted(kind for kind in KINDS if KINDS[kind].calls >= READS and kind not in SLOW | UNSEEN | CHANGING)

Read = Callable[[str, int, int | None], bytes]


def _range(uri: str, offset: int, length: int | None) -> bytes:
    return bytes(s3dlio.get_range(uri, offset, length))


def _awaited(uri: str, offset: int, length: int | None) -> bytes:
    return bytes(asyncio.run(s3dlio.get_range_async(uri, offset, length)))


def _into(uri: str, offset: int, length: int | None) -> bytes:
    memory = bytearray(max(SIZES) if length is None else length)
    count = s3dlio.get_into(uri, memory, offset)
    return bytes(memory[:count])


def _many(uri: str, offset: int, length: int | None) -> bytes:
    whole = bytes(s3dlio.get_many([uri, uri])[1])
    return whole[offset:] if length is None else whole[offset : offset + length]


READERS: tuple[Read, ...] = (_range, _awaited, _into, _many)


@pytest.fixture(scope="module")
def server() -> Iterator[FaultServer]:
    with faulty() as running:
        running.storage.buckets["b"] = {}
        yield running
    s3dlio.reset()


@pytest.fixture
def pointed(server: FaultServer, monkeypatch: pytest.MonkeyPatch) -> FaultServer:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCOUNT.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", ACCOUNT.secret_key)
    for name in ("_SHORTEST", "_SHORTEST_THROTTLED"):
        monkeypatch.setattr(f"s3dlio.http.client.{name}", 0.001)
    for name in ("_COST", "_COST_THROTTLED"):
        monkeypatch.setattr(f"s3dlio.http.client.{name}", 0)
    monkeypatch.setattr("s3dlio.http.throttle._LARGEST_GAP", 0.0001)
    s3dlio.reset()
    s3dlio.configure(endpoint_url=server.endpoint, region="us-east-1", max_attempts=3)
    return server


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    size=st.sampled_from(SIZES),
    offset=st.integers(0, 110_000),
    length=st.none() | st.integers(0, 110_000),
    part=st.integers(700, 60_000),
    read=st.sampled_from(READERS),
    kind=st.sampled_from(FAULTS),
    turns=st.sampled_from(("1", "2", "1-2", "3", "*")),
    seed=st.integers(0, 10**9),
)
def test_A8_a_read_is_the_slice_or_an_error(
    pointed: FaultServer,
    size: int,
    offset: int,
    length: int | None,
    part: int,
    read: Read,
    kind: str,
    turns: str,
    seed: int,
) -> None:
    store = store_for(parse("s3://b/"))
    store.limits = replace(store.limits, part_size=part)
    key = f"fault={kind}@{turns}~{seed}"
    pointed.storage.fill("b", key, CONTENTS[size])
    expected = CONTENTS[size][offset:] if length is None else CONTENTS[size][offset : offset + length]
    try:
        received = read(f"s3://b/{key}", offset, length)
    except s3dlio.S3dlioError:
        return
    assert received == expected


@settings(max_examples=EXAMPLES // 3, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    offset=st.integers(0, 110_000),
    length=st.none() | st.integers(0, 110_000),
    part=st.integers(700, 60_000),
    read=st.sampled_from(READERS),
    kind=st.sampled_from(("truncate", "truncate-reset", "500", "reset", "range-short", "chunks-open", "two-lengths")),
    turns=st.sampled_from(("1", "2", "1-2", "3")),
    seed=st.integers(0, 10**9),
)
def test_A8_a_fault_that_passes_never_reaches_the_reader(
    pointed: FaultServer,
    offset: int,
    length: int | None,
    part: int,
    read: Read,
    kind: str,
    turns: str,
    seed: int,
) -> None:
    store = store_for(parse("s3://b/"))
    store.limits = replace(store.limits, part_size=part)
    key = f"passing/fault={kind}@{turns}~{seed}"
    whole = CONTENTS[100_003]
    pointed.storage.fill("b", key, whole)
    expected = whole[offset:] if length is None else whole[offset : offset + length]
    assert read(f"s3://b/{key}", offset, length) == expected


@settings(max_examples=EXAMPLES // 3, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    part=st.integers(700, 60_000),
    read=st.sampled_from(READERS),
    kind=st.sampled_from(sorted(CHANGING)),
    turns=st.sampled_from(("1", "2", "3", "2-4", "*")),
    seed=st.integers(0, 10**9),
)
def test_A8_an_object_that_changes_is_read_as_one_version_or_not_at_all(
    pointed: FaultServer, part: int, read: Read, kind: str, turns: str, seed: int
) -> None:
    store = store_for(parse("s3://b/"))
    store.limits = replace(store.limits, part_size=part)
    key = f"changing/fault={kind}@{turns}~{seed}"
    whole = CONTENTS[100_003]
    pointed.storage.fill("b", key, whole)
    try:
        received = read(f"s3://b/{key}", 0, None)
    except s3dlio.ObjectChangedError:
        return
    assert received in (whole, whole[::-1])
