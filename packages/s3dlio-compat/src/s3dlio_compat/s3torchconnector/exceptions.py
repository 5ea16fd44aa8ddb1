"""The one exception of the interface, and how the errors of s3dlio become it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from s3dlio.errors import BucketNotFoundError, CredentialsError, NotFoundError, S3dlioError

MISSING_KEY = "Service error: The key does not exist"
MISSING_OBJECT = "Service error: The object was not found"
MISSING_BUCKET = "Service error: The bucket does not exist"
NO_CREDENTIALS = "Client error: No signing credentials found"


class S3Exception(Exception):  # noqa: N818 - the name is the interface's
    """Storage did not do what was asked; the error of s3dlio that says why is its cause."""


@contextmanager
def translated(missing: str = MISSING_KEY, *, missing_bucket: str = MISSING_BUCKET) -> Iterator[None]:
    """Raise an `S3Exception` for an error of s3dlio; `missing` is its text for an object that is not there."""
    try:
        yield
    except BucketNotFoundError as problem:
        raise S3Exception(missing_bucket) from problem
    except NotFoundError as problem:
        raise S3Exception(missing) from problem
    except CredentialsError as problem:
        raise S3Exception(NO_CREDENTIALS) from problem
    except S3dlioError as problem:
        raise S3Exception(f"Client error: {problem}") from problem
