"""The verbs: what a caller types, and blocks for.

One object is moved in the caller's own thread. Batches go to the process's loop (network) or its I/O threads (files).
Every verb has an awaitable twin in `aio`.
"""

from __future__ import annotations

import builtins
import warnings
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Literal

from s3dlio import batch, config, operations, stores
from s3dlio.http import blocking
from s3dlio.operations import Pattern
from s3dlio.pace import Pace
from s3dlio.uri import parse, parse_key

if TYPE_CHECKING:
    from s3dlio.buffer import BytesView
    from s3dlio.operations import Data
    from s3dlio.steps import Task

OnError = Literal["raise", "return"]


def get(uri: str) -> BytesView:
    """Return an object's bytes, received in place: one version of it, whole and checked, or an error.

    Raises:
        NotFoundError: there is no such object.
        ObjectChangedError: it was replaced while it was read, and again while it was read anew.
        IntegrityError: what arrives is not what is stored.
    """
    return blocking.run(operations.get(uri))  # type: ignore[no-any-return]


def get_range(uri: str, offset: int, length: int | None = None) -> BytesView:
    """Return `length` bytes from `offset` on, both in bytes; None reads to the end.

    Only that range travels. A range past the end is short, and empty from the object's size on.
    """
    return blocking.run(operations.get_range(uri, offset, length))  # type: ignore[no-any-return]


def get_into(uri: str, buffer: Data, offset: int = 0) -> int:
    """Read from `offset` on straight into a writable buffer; return how many bytes there were.

    The buffer may be an array, a tensor's memory or shared memory. It is filled as far as the object reaches.
    """
    return blocking.run(operations.get_into(uri, buffer, offset))  # type: ignore[no-any-return]


def get_many(
    uris: Iterable[str], workers: int = 64, *, max_in_flight: int | None = None, on_error: OnError = "raise"
) -> builtins.list[Any]:
    """Return the bytes of many objects, in the order of `uris`, with `workers` of them under way at once.

    With `on_error="raise"` the first failure is raised and the rest cancelled; with "return" the exception stands in
    the place of its object. `max_in_flight` is another name of `workers`. Schemes may be mixed.
    """
    wanted = checked_uris(uris)
    limit = checked_workers(max_in_flight if max_in_flight is not None else workers)
    keep = checked_on_error(on_error)
    local = all(map(batch.is_local, wanted))
    task = batch.together(wanted, operations.get, str, limit, keep)
    return batch.run(task, local=local)


def iter_many(
    uris: Iterable[str],
    workers: int = 64,
    *,
    ordered: bool = True,
    max_bytes: int | None = None,
    on_error: OnError = "raise",
) -> Iterator[tuple[int, Any]]:
    """Yield (index, bytes) of many objects, fetched ahead of the consumer.

    At most `workers` objects, and about `max_bytes` bytes, are under way or unclaimed. In the order of `uris`, or as
    they arrive with `ordered=False`. A failure is raised in its place, and with `on_error="return"` the exception
    stands there. Closing the iterator stops the work.
    """
    refuse_one_uri(uris)
    limit, keep = checked_workers(workers), checked_on_error(on_error)
    most = config.current().max_in_flight_bytes if max_bytes is None else max_bytes
    return iter(
        batch.Ahead(uris, _get_job, pace=Pace(limit, limit), most_bytes=most, ordered=ordered, keep_errors=keep)
    )


def _get_job(uri: str) -> batch.Job:
    return operations.get(uri), batch.is_local(uri)


def put(uri: str, data: Data, *, if_none_match: bool = False, durable: bool = False) -> None:
    """Store an object from any C-contiguous buffer, whole or not at all; an existing one is replaced.

    With `if_none_match` an existing object is a `PreconditionFailedError`. With `durable` a file is on the disk when
    the call returns; object stores always answer so. The buffer must not change meanwhile.
    """
    blocking.run(operations.put(uri, data, if_none_match, durable))


def put_bytes(uri: str, data: Data, *, if_none_match: bool = False, durable: bool = False) -> None:
    """Store an object; the same as `put`."""
    put(uri, data, if_none_match=if_none_match, durable=durable)


def put_many(items: Iterable[tuple[str, Data]], workers: int = 64) -> None:
    """Store many objects, given as (uri, data), `workers` of them at once; the first failure is raised."""
    wanted = checked_items(items)
    task = put_together(wanted, checked_workers(workers))
    batch.run(task, local=batch.is_heavy(wanted))


def list(uri: str, recursive: bool = False, pattern: Pattern = None) -> builtins.list[str]:
    """Return the URIs of the objects whose URI starts with `uri`, in lexicographic order.

    Not recursive: one level, with sub-prefixes ending in `/`. `pattern` is a glob for the relative key, in which `*`
    also matches `/`, or a compiled `re.Pattern` that is searched in it. A missing prefix gives an empty list.

    Raises:
        BucketNotFoundError: there is no such bucket.
    """
    return builtins.list(list_iter(uri, recursive, pattern))


def list_iter(uri: str, recursive: bool = False, pattern: Pattern = None) -> Iterator[str]:
    """Yield what `list` returns, page by page, with one page in memory."""
    root = parse(uri).root
    pages = operations.entries(uri, recursive, pattern)
    while (page := blocking.run(next_page(pages))) is not None:
        for key, _ in page:
            yield root + key


def list_keys(uri: str, recursive: bool = False, pattern: Pattern = None) -> builtins.list[str]:
    """Return what `list` returns as keys relative to the prefix (to its last `/`)."""
    where = parse(uri)
    start = len(where.root) + operations.relative_start(where)
    return [each[start:] for each in list_iter(uri, recursive, pattern)]


def list_full_uris(uri: str, recursive: bool = False, pattern: Pattern = None) -> builtins.list[str]:
    """Return full URIs; the same as `list`."""
    return list(uri, recursive, pattern)


def list_objects(uri: str, recursive: bool = False, pattern: Pattern = None) -> builtins.list[str]:
    """Return full keys without scheme and container. Deprecated: use `list` or `list_keys`."""
    warnings.warn("list_objects is deprecated: use list or list_keys", DeprecationWarning, stacklevel=2)
    start = len(parse(uri).root)
    return [each[start:] for each in list_iter(uri, recursive, pattern)]


def get_object(uri: str) -> BytesView:
    """Return an object's bytes; the same as `get`."""
    return get(uri)


def stat(uri: str) -> dict[str, Any]:
    """Return what is known of an object without reading it.

    Keys: `size` (bytes), `last_modified` (RFC 3339), `etag`, `content_type`, `metadata` (dict), `version_id` and
    `storage_class`; None where the backend does not say.
    """
    return blocking.run(operations.stat(uri))


def stat_object(uri: str) -> dict[str, Any]:
    """Return what is known of an object; the same as `stat`."""
    return stat(uri)


def stat_many(uris: Iterable[str], workers: int = 64) -> builtins.list[dict[str, Any]]:
    """Return what `stat` returns for many objects, in the order of `uris`; the first failure is raised."""
    wanted = checked_uris(uris)
    task = batch.together(wanted, operations.stat, str, checked_workers(workers), False)
    return batch.run(task, local=all(map(batch.is_local, wanted)))


def get_many_stats(uris: Iterable[str], concurrency: int = 100) -> builtins.list[dict[str, Any]]:
    """Return what `stat` returns for many objects, `concurrency` at once.

    A later `get` learns an object's size from its own first answer, so it needs no stat before it and trusts none.
    """
    return stat_many(uris, concurrency)


def exists(uri: str) -> bool:
    """Tell whether an object is there. False means that it is not; what cannot be decided raises."""
    return blocking.run(operations.exists(uri))


def delete(uri: str, recursive: bool = False) -> None:
    """Remove an object; a missing one is success. Nothing in the key is a wildcard.

    With `recursive` everything below it is removed too, never following a symbolic link: `run` takes `run/1` with it
    and leaves `run2` alone.
    """
    blocking.run(operations.delete(uri, recursive))


def mkdir(uri: str) -> None:
    """Create a directory with its parents; on object stores, the empty marker object that stands for one."""
    blocking.run(operations.make_directory(uri))


def create_bucket(name: str) -> None:
    """Create a bucket, named by a URI such as `s3://name` or by a bare S3 name; one's own is left as it is."""
    blocking.run(operations.create_container(name))


def delete_bucket(name: str) -> None:
    """Remove an empty bucket, named as for `create_bucket`."""
    blocking.run(operations.delete_container(name))


def list_containers(uri: str = "s3://") -> builtins.list[str]:
    """Return the URIs of the buckets that the credentials can see."""
    return blocking.run(operations.list_containers(uri))


def copy(src: str, dst: str) -> None:
    """Copy an object: inside the service where both are on one, else through this process."""
    blocking.run(operations.copy(src, dst))


def configure(**settings: Any) -> None:
    """Change settings of this process; the names are those of `s3dlio.config.Settings`.

    Raises:
        TypeError: there is no such setting.
    """
    config.change(**settings)
    stores.forget()


def reset() -> None:
    """Forget settings, stores and idle connections; the environment is read anew on the next use."""
    config.forget()
    stores.forget()


async def next_page(pages: Any) -> Any:
    """Return the next page of an asynchronous listing, or None after the last one."""
    return await anext(pages, None)


def put_together(items: builtins.list[tuple[str, memoryview]], limit: int) -> Task[Any]:
    """Return the coroutine that stores each (uri, content), `limit` of them at once."""
    others = min(limit, len(items)) - 1

    def put_item(item: tuple[str, memoryview]) -> Any:
        return operations.put(item[0], item[1], others=others)

    return batch.together(items, put_item, lambda item: item[0], limit, False)


def checked_uris(uris: Iterable[str]) -> builtins.list[str]:
    """Return the URIs of a batch, each of them valid."""
    refuse_one_uri(uris)
    wanted = builtins.list(uris)
    for uri in wanted:
        parse_key(uri)
    return wanted


def refuse_one_uri(uris: object) -> None:
    """Refuse a str where many URIs are wanted: its characters are none."""
    if isinstance(uris, str):
        raise TypeError(f"uris must be a list of URIs, not the one URI {uris!r}")


def checked_items(items: Iterable[tuple[str, Data]]) -> builtins.list[tuple[str, memoryview]]:
    """Return the (uri, content) pairs of a batch, each of them valid."""
    wanted = [(uri, operations.readable(data)) for uri, data in items]
    for uri, _ in wanted:
        parse_key(uri)
    return wanted


def checked_workers(workers: int) -> int:
    """Return a number of objects to have under way."""
    operations.check_count("workers", workers)
    if workers == 0:
        raise ValueError("workers must be 1 or more, not 0")
    return workers


def checked_on_error(on_error: str) -> bool:
    """Return whether errors are to be kept as results."""
    if on_error not in ("raise", "return"):
        raise ValueError(f"on_error must be 'raise' or 'return', not {on_error!r}")
    return on_error == "return"
