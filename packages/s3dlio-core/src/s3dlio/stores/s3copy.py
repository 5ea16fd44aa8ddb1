"""A copy inside the service: one request up to 5 GiB, beyond that parts that the service copies side by side.

The copy is one version of the source: the first look at it names the version, and every request is bound to that.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from s3dlio.auth.sigv4 import quote_key, quote_query
from s3dlio.errors import NotFoundError, ObjectChangedError, PreconditionFailedError, S3dlioError
from s3dlio.steps import Together
from s3dlio.stores import xml
from s3dlio.stores.s3client import Answered
from s3dlio.stores.store import Part
from s3dlio.stores.uploading import uploaded

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from s3dlio.steps import Task
    from s3dlio.stores.s3 import S3Store
    from s3dlio.stores.service import Fields
    from s3dlio.stores.store import Upload
    from s3dlio.uri import Uri

LARGEST_AT_ONCE = 5 << 30  # bytes: "CopyObject" in the API reference
_PART = 256 << 20  # bytes: the service moves them itself, so few and large ones are quick
_SIDE_BY_SIDE = 8
# What CopyObject keeps of an object, and an upload has to be told.
_KEPT = ("cache-control", "content-disposition", "content-encoding", "content-language", "content-type", "expires")


async def copy(store: S3Store, source: Uri, target: Uri) -> None:
    """Copy one version of an object; a copy onto itself only makes sure that it is there.

    Raises:
        NotFoundError: there is no such source.
        ObjectChangedError: the source was replaced meanwhile, and again during a second try.
    """
    try:
        await _copy(store, source, target)
    except ObjectChangedError:
        await _copy(store, source, target)


async def _copy(store: S3Store, source: Uri, target: Uri) -> None:
    fields = await store.client.head(source)
    if source == target:
        return
    size = store.client.size_of(source, fields)
    try:
        if size <= LARGEST_AT_ONCE:
            request = Answered(store.client.service, "PUT", target, xml.parse_copy, fields=_from(source, fields))
            await store.client.work(request, target)
        else:
            await _copy_parts(store, source, target, size, fields)
    except PreconditionFailedError as error:
        raise ObjectChangedError(f"{source} was replaced while it was copied", str(source)) from error
    except NotFoundError as error:
        if error.code != "NoSuchKey":
            raise
        raise NotFoundError(f"there is no object {source}", str(source), status=404, code=error.code) from error


def _from(source: Uri, fields: Mapping[str, str]) -> list[tuple[str, str]]:
    named = [("x-amz-copy-source", f"/{source.container}/{quote_key(source.key)}")]
    etag = fields.get("etag")
    return named if etag is None else [*named, ("x-amz-copy-source-if-match", etag)]


async def _copy_parts(store: S3Store, source: Uri, target: Uri, size: int, fields: Mapping[str, str]) -> None:
    if "etag" not in fields:
        raise S3dlioError(f"{source} has no ETag: nothing would tell whether its parts belong together", str(source))
    limits = replace(store.limits, part_size=max(store.limits.part_size, _PART))
    step = limits.part_for(target, size)
    kept = [(name, value) for name, value in fields.items() if name in _KEPT or name.startswith("x-amz-meta-")]

    async def fill(upload: Upload) -> None:
        parts = await Together(_parts(store, upload, _from(source, fields), size, step), _SIDE_BY_SIDE)
        await store.uploads.complete(upload, parts)

    await uploaded(store, store.uploads.start_plain(target, kept), fill)


def _parts(store: S3Store, upload: Upload, fields: Fields, size: int, step: int) -> Iterator[Task[Part]]:
    for number, start in enumerate(range(0, size, step), 1):
        yield _copy_part(store, upload, number, fields, start, min(step, size - start))


async def _copy_part(store: S3Store, upload: Upload, number: int, fields: Fields, start: int, length: int) -> Part:
    query = quote_query([("partNumber", str(number)), ("uploadId", upload.id)])
    extent = ("x-amz-copy-source-range", f"bytes={start}-{start + length - 1}")
    request = Answered(store.client.service, "PUT", upload.uri, xml.parse_copy, query=query, fields=[*fields, extent])
    await store.client.work(request, upload.uri)
    return Part(number, length, request.etag)
