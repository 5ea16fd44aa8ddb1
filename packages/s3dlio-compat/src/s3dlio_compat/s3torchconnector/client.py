"""The client: objects of one region, endpoint and profile, by bucket and key."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import TypeVar
from urllib.parse import unquote

from s3dlio import oplog
from s3dlio.config import Account
from s3dlio.http import blocking
from s3dlio.source import Source
from s3dlio.steps import Task
from s3dlio.stores import store_for
from s3dlio.stores.store import Store
from s3dlio.uri import Uri, parse, parse_key
from s3dlio.writer import ObjectWriter
from s3dlio_compat.s3torchconnector.config import S3ClientConfig
from s3dlio_compat.s3torchconnector.exceptions import MISSING_KEY, MISSING_OBJECT, S3Exception, translated
from s3dlio_compat.s3torchconnector.listing import ListObjectStream, in_seconds, quoted
from s3dlio_compat.s3torchconnector.records import HeadObjectResult, ObjectInfo
from s3dlio_compat.s3torchconnector.s3reader import S3Reader, S3ReaderConstructor, S3ReaderConstructorProtocol
from s3dlio_compat.s3torchconnector.streams import ObjectStream
from s3dlio_compat.s3torchconnector.uris import uri_of
from s3dlio_compat.s3torchconnector.user_agent import UserAgent
from s3dlio_compat.s3torchconnector.writer import PutObjectStream, S3Writer

log = logging.getLogger(__name__)
T = TypeVar("T")


class S3Client:
    """Objects by bucket and key. Nothing is asked of a service before the first call that needs it.

    Without `endpoint` the environment's is used. The bucket may also be the root of another scheme, such as
    `gs://bucket` or `file://`. A client works after a fork, pickles, and may be shared by threads.
    """

    def __init__(
        self,
        region: str,
        *,
        endpoint: str | None = None,
        user_agent: UserAgent | None = None,
        s3client_config: S3ClientConfig | None = None,
    ) -> None:
        self._region = region
        self._user_agent_prefix = (user_agent or UserAgent()).prefix
        config = self._s3client_config = s3client_config or S3ClientConfig()
        self._account = Account(
            region=region,
            endpoint_url=endpoint,
            profile=config.profile,
            anonymous=config.unsigned or None,
            request_payer=config.requester_pays or None,
            path_style=config.force_path_style or None,
            part_size=config.part_size,
            max_attempts=config.max_attempts,
        )

    @property
    def region(self) -> str:
        """The region."""
        return self._region

    @property
    def s3client_config(self) -> S3ClientConfig:
        """The options."""
        return self._s3client_config

    @property
    def user_agent_prefix(self) -> str:
        """What the client says it is."""
        return self._user_agent_prefix

    def get_object(
        self,
        bucket: str,
        key: str,
        *,
        object_info: ObjectInfo | HeadObjectResult | None = None,
        reader_constructor: S3ReaderConstructorProtocol | None = None,
        start: int | None = None,
        end: int | None = None,
    ) -> S3Reader:
        """Return a reader of an object, or of its bytes from `start` to `end`, both included.

        Nothing is asked of the service before it is read.
        """
        log.debug("GetObject %s, object_info is None=%s", uri_of(bucket, key), object_info is None)
        get_info: Callable[[], ObjectInfo | HeadObjectResult]
        get_info = partial(self.head_object, bucket, key) if object_info is None else partial(_same, object_info)
        get_stream = partial(self._stream, bucket, key)
        if start is not None or end is not None:
            part = _Part(start or 0, end, get_info, get_stream)
            get_info, get_stream = part.info, partial(part.stream)
        constructor = reader_constructor or S3ReaderConstructor.default()
        return constructor(bucket=bucket, key=key, get_object_info=get_info, get_stream=get_stream)

    def put_object(self, bucket: str, key: str, storage_class: str | None = None) -> S3Writer:
        """Return a writer whose content becomes the object when it is closed.

        Raises:
            S3Exception: a storage class, which this version cannot choose.
        """
        log.debug("PutObject %s", uri_of(bucket, key))
        if storage_class is not None:
            raise S3Exception(f"Client error: storage_class={storage_class!r} is not supported: leave it out")
        store, where = self._open(uri_of(bucket, key))
        return S3Writer(PutObjectStream(bucket, key, ObjectWriter(where, store)))

    def list_objects(
        self, bucket: str, prefix: str = "", delimiter: str = "", max_keys: int = 1000
    ) -> ListObjectStream:
        """Return an iterator over the pages of a listing; the first is asked for when it is needed."""
        log.debug("ListObjects %s", uri_of(bucket, prefix))
        return ListObjectStream(self._open_any, bucket, prefix, delimiter, max_keys)

    def head_object(self, bucket: str, key: str) -> HeadObjectResult:
        """Return what is known of an object.

        Raises:
            S3Exception: there is none.
        """
        log.debug("HeadObject %s", uri_of(bucket, key))
        store, where = self._open(uri_of(bucket, key))
        with translated(MISSING_OBJECT, missing_bucket=MISSING_OBJECT):
            info = blocking.run(oplog.watch("STAT", where, store.stat(where)))
        return HeadObjectResult(quoted(info.etag), info.size, in_seconds(info.last_modified), info.storage_class)

    def delete_object(self, bucket: str, key: str) -> None:
        """Remove an object; one that is not there is removed already."""
        log.debug("DeleteObject %s", uri_of(bucket, key))
        store, where = self._open(uri_of(bucket, key))
        self._run(oplog.watch("DELETE", where, store.delete(where)))

    def copy_object(self, src_bucket: str, src_key: str, dst_bucket: str, dst_key: str) -> None:
        """Copy an object inside the service. `src_key` is percent-encoded, `dst_key` is not."""
        log.debug("CopyObject %s to %s", uri_of(src_bucket, src_key), uri_of(dst_bucket, dst_key))
        store, source = self._open(uri_of(src_bucket, unquote(src_key)))
        _, target = self._open(uri_of(dst_bucket, dst_key))
        self._run(oplog.watch("COPY", target, store.copy(source, target)), MISSING_OBJECT)

    def _stream(self, bucket: str, key: str, start: int | None = None, end: int | None = None) -> ObjectStream:
        return ObjectStream(partial(self._source, bucket, key), start, end)

    def _source(self, bucket: str, key: str) -> Source:
        store, where = self._open(uri_of(bucket, key))
        return Source(where, store)

    def _open(self, uri: str) -> tuple[Store, Uri]:
        with translated():
            where = parse_key(uri)
        return self._store(where), where

    def _open_any(self, uri: str) -> tuple[Store, Uri]:
        with translated():
            where = parse(uri)
        return self._store(where), where

    def _store(self, where: Uri) -> Store:
        self._s3client_config.check()
        with translated():
            return store_for(where, self._account)

    def _run(self, task: Task[T], missing: str = MISSING_KEY) -> T:
        with translated(missing):
            return blocking.run(task)


class _Part:
    """A range of an object as if it were all of it; `last` is its last byte."""

    def __init__(
        self,
        start: int,
        last: int | None,
        get_info: Callable[[], ObjectInfo | HeadObjectResult],
        get_stream: Callable[[int | None, int | None], ObjectStream],
    ) -> None:
        if start < 0 or (last is not None and last < start):
            raise ValueError(f"start={start} and end={last} name no bytes: both count from 0 and are included")
        self._start = start
        self._last = last
        self._get_info = get_info
        self._get_stream = get_stream

    def info(self) -> HeadObjectResult:
        """Return what is known of the object, with the size of the range."""
        info = self._get_info()
        end = info.size if self._last is None else min(self._last + 1, info.size)
        return HeadObjectResult(info.etag, max(0, end - self._start), info.last_modified, info.storage_class)

    def stream(self, start: int | None = None, end: int | None = None) -> ObjectStream:
        """Open bytes of the range."""
        stop = None if self._last is None else self._last + 1
        wanted = None if end is None else self._start + end
        bounds = [each for each in (stop, wanted) if each is not None]
        return self._get_stream(self._start + (start or 0), min(bounds) if bounds else None)


def _same(info: ObjectInfo | HeadObjectResult) -> ObjectInfo | HeadObjectResult:
    return info
