"""Uploads that nobody finished, and how to be rid of them: a process that is killed aborts nothing.

What is removed is decided by age alone, so the age must be more than the longest upload takes.
"""

from __future__ import annotations

import math
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from s3dlio import batch, oplog
from s3dlio.http import blocking
from s3dlio.stores import store_for
from s3dlio.stores.store import KeepsUploads
from s3dlio.uri import parse

if TYPE_CHECKING:
    from s3dlio.steps import Task
    from s3dlio.uri import Uri

Found = list[dict[str, Any]]


def abort_stale_uploads(prefix: str, older_than: float | timedelta) -> Found:
    """Remove the parts of unfinished uploads below a prefix that began more than `older_than` ago.

    `older_than` is in seconds, or a `timedelta`. An upload that is still under way is removed too if it is that old.
    On `file://` and `direct://` the prefix is a directory: what is removed are the drafts in it, and below it, of
    processes that no longer run on this machine. Backends that drop unfinished uploads by themselves have none.

    Returns:
        One dict for each: `uri` of the object that would have been (of the draft, for files), `upload_id`, and
        `initiated`, when it began (RFC 3339).

    Raises:
        PartialFailureError: some could not be removed; the others are.
    """
    return blocking.run(_aborting(parse(prefix), checked_age(older_than)))


async def abort_stale_uploads_async(prefix: str, older_than: float | timedelta) -> Found:
    """Await `abort_stale_uploads`."""
    return await batch.awaited(_aborting(parse(prefix), checked_age(older_than)), local=batch.is_local(prefix))


def checked_age(older_than: float | timedelta) -> float:
    """Return an age in seconds.

    Raises:
        TypeError: neither a number nor a `timedelta`.
        ValueError: negative, or not finite.
    """
    age = older_than.total_seconds() if isinstance(older_than, timedelta) else older_than
    if not isinstance(age, int | float) or isinstance(age, bool):  # pyright: ignore[reportUnnecessaryIsInstance]  # callers without types
        raise TypeError(f"older_than must be seconds or a timedelta, not {older_than!r}")
    if not math.isfinite(age) or age < 0:
        raise ValueError(f"older_than must be 0 seconds or more, not {older_than!r}")
    return age


def _aborting(where: Uri, age: float) -> Task[Found]:
    task = _abort(where, time.time() - age)
    return task if oplog.active is None else oplog.watch("ABORT", where, task, lambda found: (len(found), 0))


async def _abort(where: Uri, before: float) -> Found:
    store = store_for(where)
    if not isinstance(store, KeepsUploads):
        return []
    removed = await store.abort_stale_uploads(where, before)
    return [{"uri": str(each.uri), "upload_id": each.id, "initiated": each.started} for each in removed]
