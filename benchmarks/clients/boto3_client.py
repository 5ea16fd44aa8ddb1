"""boto3: get_object and put_object, in a pool of threads when several are in flight, s3transfer for large
objects.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from typing import IO, Any, Protocol, cast

import boto3
from botocore.config import Config

from benchmarks.clients import Place
from benchmarks.clients.threads import Threads
from benchmarks.content import Body

_MOST = 256


class Paginator(Protocol):
    """A listing of boto3, page by page."""

    def paginate(self, *, Bucket: str, Prefix: str) -> Iterable[Mapping[str, Any]]: ...  # noqa: D102, N803


class S3(Protocol):
    """What is used of boto3's client, which has no types."""

    def get_object(self, *, Bucket: str, Key: str) -> Mapping[str, Any]: ...  # noqa: D102, N803
    def put_object(self, *, Bucket: str, Key: str, Body: bytes) -> object: ...  # noqa: D102, N803
    def download_fileobj(self, Bucket: str, Key: str, Fileobj: IO[bytes]) -> None: ...  # noqa: D102, N803
    def upload_fileobj(self, Fileobj: IO[bytes], Bucket: str, Key: str) -> None: ...  # noqa: D102, N803
    def close(self) -> None: ...  # noqa: D102
    def get_paginator(self, name: str) -> Paginator: ...  # noqa: D102


class Boto3:
    """boto3 with its defaults and a connection for each thread."""

    def __init__(self, place: Place) -> None:
        config = Config(max_pool_connections=_MOST)
        self._s3 = cast("S3", boto3.client("s3", endpoint_url=place.endpoint, config=config))
        self._bucket = place.container
        self._threads = Threads()

    def get_many(self, keys: Sequence[str], in_flight: int) -> Sequence[Body]:
        """Call `get_object` and read each body."""
        return self._threads.map(self._get, keys, in_flight)

    def put_many(self, items: Sequence[tuple[str, bytes]], in_flight: int) -> None:
        """Call `put_object` for each."""
        self._threads.map(self._put, items, in_flight)

    def get_large(self, key: str) -> Body:
        """Download into memory with s3transfer's defaults: 8 MiB ranges, 10 at a time."""
        target = io.BytesIO()
        self._s3.download_fileobj(self._bucket, key, target)
        return target.getbuffer()

    def put_large(self, key: str, data: bytes) -> None:
        """Upload from memory with s3transfer's defaults: 8 MiB parts, 10 at a time."""
        self._s3.upload_fileobj(io.BytesIO(data), self._bucket, key)

    def list(self, prefix: str) -> Sequence[str]:
        """Take the keys of every page."""
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix)
        return [entry["Key"] for page in pages for entry in page.get("Contents", ())]

    def close(self) -> None:
        """Close the connections."""
        self._threads.close()
        self._s3.close()

    def _get(self, key: str) -> bytes:
        body: bytes = self._s3.get_object(Bucket=self._bucket, Key=key)["Body"].read()
        return body

    def _put(self, item: tuple[str, bytes]) -> None:
        key, data = item
        self._s3.put_object(Bucket=self._bucket, Key=key, Body=data)
