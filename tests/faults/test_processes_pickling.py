"""Everything public goes to another process and back, however that was started, and takes no secret along."""

import multiprocessing
import os
import pickle
from collections.abc import Iterator
from multiprocessing.pool import Pool
from typing import Any

import numpy as np
import pytest

import s3dlio
from s3dlio import config, errors, steps
from s3dlio.buffer import lease
from s3dlio.stores import store_for
from s3dlio.stores.store import Limits, ObjectInfo, Part, Upload
from s3dlio.uri import parse

SECRET = "canary-of-a-secret"


def kinds(base: type[errors.S3dlioError]) -> Iterator[type[errors.S3dlioError]]:
    """Yield an error and those derived from it."""
    yield base
    for kind in base.__subclasses__():
        if kind.__module__ == errors.__name__:
            yield from kinds(kind)


def an_error(kind: type[errors.S3dlioError]) -> errors.S3dlioError:
    """Make an error that has something in each of its attributes."""
    error = kind("it failed", "s3://bucket/key")
    for name, value in vars(error).items():
        if value is None:
            setattr(error, name, "filled")
    if isinstance(error, errors.PartialFailureError):
        error.errors["s3://bucket/other"] = errors.NotFoundError("gone", "s3://bucket/other")
        error.results["s3://bucket/key"] = 7
    return error


def a_view(size: int) -> s3dlio.BytesView:
    view = lease(size)
    view[:] = np.arange(size, dtype=np.uint8)
    return view


VALUES: dict[str, Any] = {
    **{f"view of {size}": a_view(size) for size in (0, 5, 100_000)},
    "part of a view": a_view(100)[3:50],
    "settings": config.Settings(part_size=16 << 20),
    "uri": parse("s3://bucket/key"),
    "file store": store_for(parse("file:///tmp")),
    "direct store": store_for(parse("direct:///tmp")),
    "limits": Limits(part_size=5 << 20),
    "info": ObjectInfo(5, etag='"one"', metadata={"a": "b"}),
    "upload": Upload(parse("s3://bucket/key"), "id"),
    "part": Part(1, 5, "etag", 7),
    "pause": steps.Pause(1.0),
    "public names": {name: getattr(s3dlio, name) for name in s3dlio.__all__ if name != "__version__"},
}


def described(value: Any) -> Any:
    """Return what can be compared of a value."""
    if isinstance(value, errors.S3dlioError):
        kept = {name: described(each) for name, each in vars(value).items()}
        return type(value), str(value), kept, isinstance(value, OSError) and value.errno
    if isinstance(value, s3dlio.BytesView):
        return "view", bytes(value)
    if isinstance(value, dict):
        return {name: described(each) for name, each in value.items()}
    return type(value) if type(value).__eq__ is object.__eq__ and not callable(value) else value


def seen(value: Any) -> tuple[int, Any, Any]:
    """Be called in the other process: return where that is, what arrived, and the thing itself."""
    return os.getpid(), described(value), value


@pytest.fixture(scope="module", params=["spawn", "forkserver"])
def process(request: pytest.FixtureRequest) -> Iterator[Pool]:
    """Another process, which was not forked from this one."""
    with multiprocessing.get_context(request.param).Pool(1) as pool:
        yield pool


def goes_and_comes_back(process: Pool, value: Any) -> None:
    place, there, back = process.apply(seen, [value])
    assert place != os.getpid()
    assert there == described(back) == described(value)


@pytest.mark.parametrize("kind", [*kinds(errors.S3dlioError)], ids=lambda kind: kind.__name__)
def test_P3_an_error_goes_to_another_process_with_all_it_says(process: Pool, kind: type[errors.S3dlioError]) -> None:
    goes_and_comes_back(process, an_error(kind))


@pytest.mark.parametrize("name", VALUES)
def test_P3_a_value_goes_to_another_process_and_back(process: Pool, name: str) -> None:
    goes_and_comes_back(process, VALUES[name])


def read_there(uri: str) -> s3dlio.BytesView:
    return s3dlio.get(uri)


def test_P3_what_another_process_reads_or_fails_to_read_comes_back(process: Pool, tmp_path: Any) -> None:
    s3dlio.put(f"file://{tmp_path}/object", b"content")
    assert process.apply(read_there, [f"file://{tmp_path}/object"]) == b"content"
    with pytest.raises(s3dlio.NotFoundError, match="missing") as caught:
        process.apply(read_there, [f"file://{tmp_path}/missing"])
    assert caught.value.uri == f"file://{tmp_path}/missing"


def test_P3_no_secret_is_pickled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", f"id-{SECRET}")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    s3dlio.configure(endpoint_url="http://127.0.0.1:1", region="us-east-1", max_attempts=1)
    try:
        with pytest.raises(s3dlio.NetworkError) as caught:
            s3dlio.get("s3://bucket/key")
        for value in [*VALUES.values(), caught.value, config.current()]:
            assert SECRET.encode() not in pickle.dumps(value)
    finally:
        s3dlio.reset()
