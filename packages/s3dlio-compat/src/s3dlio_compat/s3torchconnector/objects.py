"""Which objects a data set has: those below a prefix, or those that were named."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

from s3dlio_compat.s3torchconnector.client import S3Client
from s3dlio_compat.s3torchconnector.records import ObjectInfo
from s3dlio_compat.s3torchconnector.s3reader import S3Reader
from s3dlio_compat.s3torchconnector.uris import parse_s3_uri

Transform: TypeAlias = Callable[[S3Reader], Any]


@dataclass(frozen=True)
class S3BucketKeyData:
    """An object of a data set, with what a listing told of it."""

    bucket: str
    key: str
    object_info: ObjectInfo | None = None


GetDatasetObjects: TypeAlias = Callable[[S3Client], Iterable[S3BucketKeyData]]


def identity(reader: S3Reader) -> S3Reader:
    """Return the reader itself."""
    return reader


def below(s3_uri: str) -> GetDatasetObjects:
    """Return a function that lists the objects whose URI begins with this one."""
    return partial(_listed, s3_uri)


def named(object_uris: str | Iterable[str]) -> GetDatasetObjects:
    """Return a function that gives these objects, in this order; nothing is asked."""
    return partial(_named, [object_uris] if isinstance(object_uris, str) else object_uris)


def _listed(s3_uri: str, client: S3Client) -> Iterator[S3BucketKeyData]:
    bucket, prefix = parse_s3_uri(s3_uri)
    for page in client.list_objects(bucket, prefix):
        for info in page.object_info:
            yield S3BucketKeyData(bucket, info.key, info)


def _named(object_uris: Iterable[str], client: S3Client) -> Iterator[S3BucketKeyData]:
    for uri in object_uris:
        bucket, key = parse_s3_uri(uri)
        yield S3BucketKeyData(bucket, key)


def are_foreseen(get_dataset_objects: GetDatasetObjects) -> bool:
    """Tell whether objects may be asked for before they are needed, and nobody notices: not those of an iterator."""
    if not isinstance(get_dataset_objects, partial):
        return False
    source: object = get_dataset_objects.args[0]
    return get_dataset_objects.func is _listed or isinstance(source, Sequence)


def announce(log: logging.Logger, kind: str, source: str) -> None:
    """Say which data set is being made."""
    log.info("Building %s %s", kind, source)
