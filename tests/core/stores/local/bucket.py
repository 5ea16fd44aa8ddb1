"""A bucket with any keys at all, as a hostile owner would fill it, and what lies beside the folder it is fetched to."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote_plus, unquote

import pytest

import s3dlio
from tests.servers.scripted import Asked, Fault, part, response, scripted

SIZE = 300  # bytes of each object


def content(key: str) -> bytes:
    """Return the bytes of the object of this key."""
    return (key.encode() + bytes(SIZE))[:SIZE]


class Bucket:
    """`s3://bucket/` with the keys that a test sets."""

    def __init__(self) -> None:
        self.keys: list[str] = []

    def answer(self, request: Asked) -> Iterable[bytes | Fault]:
        """List the keys, or send the object of one."""
        path, _, query = request.target.partition("?")
        if "list-type=2" not in query:
            return [part(request, content(unquote(path.removeprefix("/bucket/"))))]
        rows = "".join(f"<Contents><Key>{quote_plus(key)}</Key><Size>{SIZE}</Size></Contents>" for key in self.keys)
        top = "<EncodingType>url</EncodingType><IsTruncated>false</IsTruncated>"
        return [response(200, f"<ListBucketResult>{top}{rows}</ListBucketResult>".encode())]


@contextmanager
def serving() -> Generator[Bucket]:
    """Serve a bucket and let s3dlio use it."""
    bucket = Bucket()
    with pytest.MonkeyPatch.context() as env, scripted(bucket.answer) as server:
        env.setenv("AWS_ACCESS_KEY_ID", "key")
        env.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        s3dlio.configure(endpoint_url=server.endpoint, region="us-east-1")
        yield bucket
    s3dlio.reset()


def fingerprint(tree: Path) -> dict[str, tuple[int, ...]]:
    """Return what would show that anything in a tree was made, removed, written to or given other rights."""
    found: dict[str, tuple[int, ...]] = {}
    for above, directories, files in os.walk(tree):
        for name in [".", *directories, *files]:
            path = os.path.join(above, name)
            status = os.stat(path, follow_symlinks=False)
            found[path] = (status.st_ino, status.st_mode, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    return found


def refused(bucket: Bucket, folder: Path, workers: int = 16) -> dict[str, Exception]:
    """Fetch the bucket to a folder; return the errors by key."""
    try:
        s3dlio.download("s3://bucket/", folder, workers=workers)
    except s3dlio.PartialFailureError as problem:
        return {uri.removeprefix("s3://bucket/"): error for uri, error in problem.errors.items()}
    return {}
