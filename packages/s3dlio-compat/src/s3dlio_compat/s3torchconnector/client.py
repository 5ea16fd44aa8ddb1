"""The client: objects of one region, endpoint and profile, by bucket and key."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Protocol, TypeAlias, TypeVar, runtime_checkable
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
from s3dlio_compat.s3torchconnector.ahead import Delivery, Fetching, Habit, whole
from s3dlio_compat.s3torchconnector.config import S3ClientConfig
from s3dlio_compat.s3torchconnector.exceptions import MISSING_KEY, MISSING_OBJECT, S3Exception, translated
from s3dlio_compat.s3torchconnector.listing import ListObjectStream, in_seconds, quoted
from s3dlio_compat.s3torchconnector.records import HeadObjectResult, ObjectInfo
from s3dlio_compat.s3torchconnector.s3reader import S3Reader, S3ReaderConstructor
from s3dlio_compat.s3torchconnector.s3reader import S3ReaderConstructorProtocol as Constructor
from s3dlio_compat.s3torchconnector.streams import ObjectStream, OneVersion, Opened
from s3dlio_compat.s3torchconnector.uris import uri_of
from s3dlio_compat.s3torchconnector.user_agent import UserAgent
from s3dlio_compat.s3torchconnector.writer import PutObjectStream, S3Writer

log = logging.getLogger(__name__)
T = TypeVar("T")
Info: TypeAlias = ObjectInfo | HeadObjectResult


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
        object_info: Info | None = None,
        reader_constructor: Constructor | None = None,
        start: int | None = None,
        end: int | None = None,
    ) -> S3Reader:
        """Return a reader of an object, or of its bytes from `start` to `end`, both included.

        Nothing is asked of the service before it is read.
        """
        part = None if start is None and end is None else _Part(start or 0, end)
        opening = OneVersion(partial(self._source, bucket, key))
        return self._reader(bucket, key, object_info, reader_constructor, opening, part)

    def delivery(
        self, bucket: str, key: str, info: ObjectInfo | None, constructor: Constructor | None, habit: Habit
    ) -> Delivery:
        """Return an object of a data set before its turn has come; its reader is the one of `get_object`."""
        source, fetching = partial(self._source, bucket, key), partial(self._fetching, bucket, key)
        make = partial(self._reader, bucket, key, info, constructor)
        return Delivery(source, fetching, make, None if info is None else info.size, habit)

    def opened(self, bucket: str, key: str) -> tuple[Store, Uri]:
        """Return the store of an object, and where in it the object is."""
        return self._open(uri_of(bucket, key))

    def put_object(self, bucket: str, key: str, storage_class: str | None = None) -> S3Writer:
        """Return a writer whose content becomes the object when it is closed, in a storage class of the service.

        Raises:
            S3Exception: it is no name, or not on S3, where alone there are storage classes.
        """
        log.debug("PutObject %s", uri_of(bucket, key))
        store, where = self._open(uri_of(bucket, key))
        if storage_class is not None:
            if not isinstance(store, KeepsClasses):
                raise S3Exception(f"Client error: {where.scheme}:// has no storage classes: leave storage_class out")
            with translated():
                store = store.of_class(storage_class)
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

    def _reader(
        self,
        bucket: str,
        key: str,
        info: Info | None,
        constructor: Constructor | None,
        open_source: Callable[[], Opened],
        part: _Part | None = None,
    ) -> S3Reader:
        log.debug("GetObject %s, object_info is None=%s", uri_of(bucket, key), info is None)
        get_info = partial(self.head_object, bucket, key) if info is None else partial(_same, info)
        get_stream = partial(ObjectStream, open_source)
        make = constructor or S3ReaderConstructor.default()
        if part is None:
            return make(bucket=bucket, key=key, get_object_info=get_info, get_stream=get_stream)
        part_info, part_stream = partial(part.info, get_info), partial(part.stream, get_stream)
        return make(bucket=bucket, key=key, get_object_info=part_info, get_stream=part_stream)

    def _source(self, bucket: str, key: str) -> Opened:
        store, where = self._open(uri_of(bucket, key))
        return Source(where, store)

    def _fetching(self, bucket: str, key: str, most: int) -> Fetching | None:
        store, where = self._open(uri_of(bucket, key))
        task = oplog.watch("GET", where, whole(store, where, most), lambda view: (1, len(view)))
        return task, store.blocking

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


@runtime_checkable
class KeepsClasses(Protocol):
    """A store that keeps objects in several storage classes."""

    def of_class(self, storage_class: str) -> Store:
        """Return it for objects of one of them."""
        ...


class _Part:
    """A range of an object as if it were all of it; `last` is its last byte."""

    def __init__(self, start: int, last: int | None) -> None:
        if start < 0 or (last is not None and last < start):
            raise ValueError(f"start={start} and end={last} name no bytes: both count from 0 and are included")
        self._start = start
        self._last = last

    def info(self, get_info: Callable[[], Info]) -> HeadObjectResult:
        """Return what is known of the object, with the size of the range."""
        info = get_info()
        end = info.size if self._last is None else min(self._last + 1, info.size)
        return HeadObjectResult(info.etag, max(0, end - self._start), info.last_modified, info.storage_class)

    def stream(
        self,
        get_stream: Callable[[int | None, int | None], ObjectStream],
        start: int | None = None,
        end: int | None = None,
    ) -> ObjectStream:
        """Open bytes of the range."""
        stop = None if self._last is None else self._last + 1
        wanted = None if end is None else self._start + end
        bounds = [each for each in (stop, wanted) if each is not None]
        return get_stream(self._start + (start or 0), min(bounds) if bounds else None)


def _same(info: Info) -> Info:
    return info
