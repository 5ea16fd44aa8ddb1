"""The life of an upload: begun, filled, and aborted on every way out but success."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from s3dlio.errors import S3dlioError
from s3dlio.steps import Shield, Task

if TYPE_CHECKING:
    from s3dlio.stores.store import Store, Upload

T = TypeVar("T")


async def uploaded(store: Store, start: Task[Upload], fill: Callable[[Upload], Task[T]]) -> T:
    """Start an upload and `fill` it, which also completes it; return what that returns.

    Whatever goes wrong, the upload is aborted: also the one that a stop overtakes before the service has named it.
    """
    upload = await begun(store, start)
    try:
        return await fill(upload)
    except BaseException as problem:
        left = await Shield(aborted(store, upload))
        if left is not None:
            problem.add_note(f"the upload {upload.id} of {upload.uri} could not be aborted either: {left}")
        raise


async def begun(store: Store, start: Task[Upload]) -> Upload:
    """Start an upload; one that a stop overtakes is aborted as soon as it has a name."""
    named: Upload = await Shield(start, undo=lambda upload: aborted(store, upload))
    return named


async def aborted(store: Store, upload: Upload) -> S3dlioError | None:
    """Abort an upload; return why that failed, if it did."""
    try:
        await store.abort_upload(upload)
    except S3dlioError as error:
        return error
    return None
