"""Uploads that nobody finished: found by their age, removed, and no other one touched."""

import asyncio
import os
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote

import pytest

import s3dlio
from tests.core.stores.local.files import dead_process, draft_of
from tests.faults.conftest import Serve
from tests.servers.environment import S3Bucket
from tests.servers.scripted import Asked, response

Abort = Callable[[str, Any], list[dict[str, Any]]]
RUN = "s3://bucket/run/"
HOUR = 3600


def awaited(prefix: str, older_than: Any) -> list[dict[str, Any]]:
    """Abort with the awaitable verb."""
    return asyncio.run(s3dlio.abort_stale_uploads_async(prefix, older_than))


@pytest.fixture(params=[s3dlio.abort_stale_uploads, awaited], ids=["blocking", "awaited"])
def abort(request: pytest.FixtureRequest) -> Abort:
    """Return the verb, in both its forms."""
    verb: Abort = request.param
    return verb


def ago(seconds: float) -> str:
    """Return a time as S3 writes it."""
    return (datetime.now(UTC) - timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def page(uploads: Iterable[tuple[str, str, str]], following: tuple[str, str] | None = None) -> bytes:
    """Return a page of a listing of uploads, given as key, id and time."""
    rows = "".join(
        f"<Upload><Key>{quote(key)}</Key><UploadId>{name}</UploadId><Initiated>{at}</Initiated></Upload>"
        for key, name, at in uploads
    )
    marker = ""
    if following is not None:
        key, name = following
        marker = f"<NextKeyMarker>{quote(key)}</NextKeyMarker><NextUploadIdMarker>{name}</NextUploadIdMarker>"
    flag = "false" if following is None else "true"
    top = f"<EncodingType>url</EncodingType><IsTruncated>{flag}</IsTruncated>{marker}"
    return f"<ListMultipartUploadsResult>{top}{rows}</ListMultipartUploadsResult>".encode()


def query(request: Asked) -> dict[str, str]:
    """Return the parameters of a request."""
    parameters = parse_qs(request.target.partition("?")[2], keep_blank_values=True)
    return {name: values[0] for name, values in parameters.items()}


def aborted(asked: list[Asked]) -> list[str]:
    """Return the ids of the uploads that were aborted."""
    return [query(each)["uploadId"] for each in asked if each.method == "DELETE"]


@pytest.mark.parametrize("older_than", [HOUR, float(HOUR), timedelta(hours=1)])
def test_W4_uploads_that_are_too_old_are_aborted_and_told(serve: Serve, abort: Abort, older_than: Any) -> None:
    old, new = ago(HOUR + 60), ago(HOUR - 60)
    listed = page([("run/a b", "id-1", old), ("run/a b", "id-2", new), ("run/\x01", "id-3", old)])
    with serve(lambda request: [response(200, listed) if request.method == "GET" else response(204)]) as server:
        assert sorted(abort(RUN, older_than), key=lambda each: str(each["upload_id"])) == [
            {"uri": "s3://bucket/run/a b", "upload_id": "id-1", "initiated": old},
            {"uri": "s3://bucket/run/\x01", "upload_id": "id-3", "initiated": old},
        ]
        assert query(server.asked[0]) == {"uploads": "", "encoding-type": "url", "prefix": "run/"}
        assert sorted(aborted(server.asked)) == ["id-1", "id-3"]


def test_W4_every_page_is_looked_at(serve: Serve, abort: Abort) -> None:
    old = ago(2 * HOUR)
    listing = {
        None: page([("run/a", "id-1", old)], ("run/a+b", "id-1")),
        "run/a+b": page([("run/c", "id-2", old)], ("run/c", "id-2")),
        "run/c": page([("run/d", "id-3", old)]),
    }

    def script(request: Asked) -> Iterable[bytes]:
        asked = query(request)
        if request.method == "DELETE":
            return [response(204)]
        assert ("key-marker" in asked) == ("upload-id-marker" in asked)
        return [response(200, listing[asked.get("key-marker")])]

    with serve(script) as server:
        assert len(abort(RUN, HOUR)) == 3
        assert aborted(server.asked) == ["id-1", "id-2", "id-3"]


def test_W4_an_upload_outside_of_the_prefix_is_left_alone(serve: Serve, abort: Abort) -> None:
    listed = page([("run/a", "id-1", ago(2 * HOUR)), ("runs/a", "id-2", ago(2 * HOUR))])
    with serve(lambda request: [response(200, listed) if request.method == "GET" else response(204)]) as server:
        assert [each["uri"] for each in abort(RUN, HOUR)] == ["s3://bucket/run/a"]
        assert aborted(server.asked) == ["id-1"]


def test_W4_an_upload_that_has_ended_meanwhile_is_gone_as_wanted(serve: Serve, abort: Abort) -> None:
    gone = response(404, b"<Error><Code>NoSuchUpload</Code><Message>said</Message></Error>")
    listed = page([("run/a", "id-1", ago(2 * HOUR))])
    with serve(lambda request: [response(200, listed) if request.method == "GET" else gone]):
        assert len(abort(RUN, HOUR)) == 1


def test_W4_what_cannot_be_aborted_is_told_and_the_rest_is_aborted(serve: Serve, abort: Abort) -> None:
    listed = page([(f"run/{name}", f"id-{name}", ago(2 * HOUR)) for name in "abc"])

    def script(request: Asked) -> Iterable[bytes]:
        if request.method == "GET":
            return [response(200, listed)]
        return [response(403 if query(request)["uploadId"] == "id-b" else 204)]

    with serve(script) as server:
        with pytest.raises(s3dlio.PartialFailureError, match="run/b") as caught:
            abort(RUN, HOUR)
        assert [type(each) for each in caught.value.errors.values()] == [s3dlio.AccessDeniedError]
        assert len(caught.value.results) == 2
        assert sorted(aborted(server.asked)) == ["id-a", "id-b", "id-c"]


WHOLE = page([("run/a", "id-1", ago(2 * HOUR))])
BROKEN = {
    "cut off": WHOLE[:-20],
    "without a time": page([("run/a", "id-1", "")]),
    "with a time that is none": page([("run/a", "id-1", "yesterday")]),
    "without an id": page([("run/a", "", ago(2 * HOUR))]),
    "without its end": WHOLE.replace(b"<IsTruncated>false</IsTruncated>", b""),
    "without a marker": WHOLE.replace(b">false<", b">true<"),
    "that repeats itself": page([], ("run/a", "id-1")),
    "another document": b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>",
}


@pytest.mark.parametrize("body", BROKEN.values(), ids=BROKEN.keys())
def test_W4_a_listing_that_is_not_whole_is_an_error_and_nothing_is_aborted(serve: Serve, body: bytes) -> None:
    with serve(lambda request: [response(200, body)]) as server:
        s3dlio.configure(max_attempts=1)
        with pytest.raises(s3dlio.S3dlioError):
            s3dlio.abort_stale_uploads(RUN, HOUR)
        assert aborted(server.asked) == []


@pytest.mark.parametrize(
    ("older_than", "kind"),
    [
        ("1h", TypeError),
        (None, TypeError),
        (True, TypeError),
        (-1, ValueError),
        (timedelta(seconds=-1), ValueError),
        (float("nan"), ValueError),
        (float("inf"), ValueError),
    ],
)
def test_W4_an_age_that_is_none_is_refused_before_any_request(
    serve: Serve, abort: Abort, older_than: Any, kind: type[Exception]
) -> None:
    with serve(lambda request: [response(200, WHOLE)]) as server:
        with pytest.raises(kind, match="older_than"):
            abort(RUN, older_than)
        assert server.asked == []


def begin(s3: S3Bucket, key: str) -> None:
    """Leave an upload of one part."""
    begun = s3.client.create_multipart_upload(Bucket=s3.bucket, Key=key)
    s3.client.upload_part(Bucket=s3.bucket, Key=key, UploadId=begun["UploadId"], PartNumber=1, Body=b"part")


def under_way(s3: S3Bucket, key: str) -> int:
    """Return how many uploads the service still knows."""
    return len(s3.client.list_multipart_uploads(Bucket=s3.bucket, Prefix=key).get("Uploads", []))


def test_W4_a_real_service_forgets_the_upload(s3: S3Bucket, abort: Abort) -> None:
    begin(s3, "run/a b")
    begin(s3, "other")
    assert [each["uri"] for each in abort(s3.uri("run/a b"), 0)] == [s3.uri("run/a b")]
    assert (under_way(s3, "run/a b"), under_way(s3, "other")) == (0, 1)


def test_W4_a_real_service_keeps_an_upload_that_is_young(juicefs_s3: S3Bucket, abort: Abort) -> None:
    begin(juicefs_s3, "run/a b")
    assert abort(juicefs_s3.uri("run/a b"), HOUR) == []
    assert under_way(juicefs_s3, "run/a b") == 1


def plant(folder: Path, process: int, age: float) -> Path:
    """Leave a draft of a process, last written to some seconds ago."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / draft_of(process)
    path.write_bytes(b"half")
    os.utime(path, (time.time() - age, time.time() - age))
    return path


@pytest.mark.parametrize("scheme", ["file", "direct"])
def test_W4_F1_drafts_of_dead_processes_are_removed_from_a_whole_tree(
    tmp_path: Path, abort: Abort, scheme: str
) -> None:
    dead = dead_process()
    old = [plant(tmp_path, dead, 2 * HOUR), plant(tmp_path / "sub" / "deep", dead, 2 * HOUR)]
    kept = [
        plant(tmp_path / "young", dead, HOUR / 2),
        plant(tmp_path / "alive", os.getpid(), 2 * HOUR),
        tmp_path / "object",
        tmp_path / ".s3dlio-notes.tmp",
    ]
    for path in kept[2:]:
        path.write_bytes(b"mine")
        os.utime(path, (0, 0))
    removed = abort(f"{scheme}://{tmp_path}/", timedelta(hours=1))
    assert sorted(each["uri"] for each in removed) == sorted(f"{scheme}://{path}" for path in old)
    assert all(each["initiated"].endswith("Z") for each in removed)
    assert not any(path.exists() for path in old)
    assert all(path.exists() for path in kept)


def test_W4_S2_no_link_is_followed_out_of_the_tree(tmp_path: Path, abort: Abort) -> None:
    dead = dead_process()
    outside = plant(tmp_path / "outside", dead, 2 * HOUR)
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "link").symlink_to(tmp_path / "outside")
    trap = inside / draft_of(dead)
    trap.symlink_to(outside)
    os.utime(trap, (0, 0), follow_symlinks=False)
    assert abort(f"file://{inside}", HOUR) == []
    assert outside.exists()
    assert trap.is_symlink()


def test_W4_the_directory_itself_may_be_named_through_a_link(tmp_path: Path, abort: Abort) -> None:
    draft = plant(tmp_path / "there", dead_process(), 2 * HOUR)
    (tmp_path / "link").symlink_to(tmp_path / "there")
    assert len(abort(f"file://{tmp_path}/link", HOUR)) == 1
    assert not draft.exists()


@pytest.mark.parametrize("name", ["missing", "file", "file/below"])
def test_W4_where_there_is_no_directory_there_are_no_drafts(tmp_path: Path, abort: Abort, name: str) -> None:
    (tmp_path / "file").write_bytes(b"content")
    assert abort(f"file://{tmp_path}/{name}", 0) == []
