"""The awaitable twins of the verbs: the same operations, awaited in the caller's asyncio loop.

The work itself runs in the process's loop or I/O threads, so any number of asyncio loops may be used.
"""

from __future__ import annotations

import builtins
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from s3dlio import batch, operations, verbs
from s3dlio.operations import Pattern
from s3dlio.uri import parse

if TYPE_CHECKING:
    from s3dlio.buffer import BytesView
    from s3dlio.operations import Data


async def get_async(uri: str) -> BytesView:
    """Await `get`."""
    return await batch.awaited(operations.get(uri), local=batch.is_local(uri))


async def get_range_async(uri: str, offset: int, length: int | None = None) -> BytesView:
    """Await `get_range`."""
    return await batch.awaited(operations.get_range(uri, offset, length), local=batch.is_local(uri))


async def get_into_async(uri: str, buffer: Data, offset: int = 0) -> int:
    """Await `get_into`."""
    return await batch.awaited(operations.get_into(uri, buffer, offset), local=batch.is_local(uri))


async def get_many_async(
    uris: Iterable[str], workers: int = 64, *, max_in_flight: int | None = None, on_error: verbs.OnError = "raise"
) -> builtins.list[Any]:
    """Await `get_many`."""
    wanted = verbs.checked_uris(uris)
    limit = verbs.checked_workers(max_in_flight if max_in_flight is not None else workers)
    keep = verbs.checked_on_error(on_error)
    task = batch.together(wanted, operations.get, str, limit, keep)
    return await batch.awaited(task, local=all(map(batch.is_local, wanted)))


async def put_async(uri: str, data: Data, *, if_none_match: bool = False, durable: bool = False) -> None:
    """Await `put`."""
    await batch.awaited(operations.put(uri, data, if_none_match, durable), local=batch.is_local(uri))


async def put_bytes_async(uri: str, data: Data, *, if_none_match: bool = False, durable: bool = False) -> None:
    """Await `put_bytes`."""
    await put_async(uri, data, if_none_match=if_none_match, durable=durable)


async def put_many_async(items: Iterable[tuple[str, Data]], workers: int = 64) -> None:
    """Await `put_many`."""
    wanted = verbs.checked_items(items)
    limit = verbs.checked_workers(workers)
    task = verbs.put_together(wanted, limit)
    await batch.awaited(task, local=batch.is_heavy(wanted))


async def list_async(uri: str, recursive: bool = False, pattern: Pattern = None) -> builtins.list[str]:
    """Await `list`."""
    return await batch.awaited(_listed(uri, recursive, pattern), local=batch.is_local(uri))


async def _listed(uri: str, recursive: bool, pattern: Pattern) -> builtins.list[str]:
    root = parse(uri).root
    return [root + key async for page in operations.entries(uri, recursive, pattern) for key, _ in page]


async def stat_async(uri: str) -> dict[str, Any]:
    """Await `stat`."""
    return await batch.awaited(operations.stat(uri), local=batch.is_local(uri))


async def stat_many_async(uris: Iterable[str], workers: int = 64) -> builtins.list[dict[str, Any]]:
    """Await `stat_many`: the order of `uris` is kept."""
    wanted = verbs.checked_uris(uris)
    task = batch.together(wanted, operations.stat, str, verbs.checked_workers(workers), False)
    return await batch.awaited(task, local=all(map(batch.is_local, wanted)))


async def exists_async(uri: str) -> bool:
    """Await `exists`."""
    return await batch.awaited(operations.exists(uri), local=batch.is_local(uri))


async def delete_async(uri: str, recursive: bool = False) -> None:
    """Await `delete`."""
    await batch.awaited(operations.delete(uri, recursive), local=batch.is_local(uri))


async def mkdir_async(uri: str) -> None:
    """Await `mkdir`."""
    await batch.awaited(operations.make_directory(uri), local=batch.is_local(uri))


async def copy_async(src: str, dst: str) -> None:
    """Await `copy`."""
    local = batch.is_local(src) or batch.is_local(dst)
    await batch.awaited(operations.copy(src, dst), local=local)
