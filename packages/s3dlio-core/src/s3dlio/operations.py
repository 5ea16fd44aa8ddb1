"""What a verb does, as a coroutine: arguments checked before any I/O, then one store asked.

The sync verbs and their async twins both run these; neither has a word of its own about storage. Every path comes
through here, so this is where an operation is logged, if there is a log.
"""

from __future__ import annotations

import builtins
import re
from collections.abc import AsyncIterator, Callable
from fnmatch import translate
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from s3dlio import oplog, transfer
from s3dlio import uri as uris
from s3dlio.errors import InvalidUriError, NotFoundError
from s3dlio.relay import relay
from s3dlio.stores import store_for
from s3dlio.uri import Uri

if TYPE_CHECKING:
    import numpy as np
    from typing_extensions import Buffer

    Data: TypeAlias = Buffer | np.ndarray[Any, Any]  # until Python 3.12, arrays do not say that they are buffers

    from s3dlio.steps import Task
    from s3dlio.stores.store import Entry, ObjectInfo, Store

Pattern: TypeAlias = str | re.Pattern[str] | None
Listed: TypeAlias = "builtins.list[tuple[str, Entry | None]]"
"""A page of a listing: keys with what is known of them; a sub-prefix has no entry."""


def get(uri: str) -> Any:
    """Read an object; the coroutine returns a `BytesView`."""
    where = uris.parse_key(uri)
    task = transfer.read(store_for(where), where)
    return task if oplog.active is None else oplog.watch("GET", where, task, _length)


def get_range(uri: str, offset: int, length: int | None) -> Any:
    """Read a range; the coroutine returns a `BytesView`."""
    where = uris.parse_key(uri)
    check_count("offset", offset)
    if length is not None:
        check_count("length", length)
    task = transfer.read(store_for(where), where, offset, length)
    return task if oplog.active is None else oplog.watch("GET", where, task, _length)


def get_into(uri: str, buffer: Data, offset: int) -> Any:
    """Read into the caller's memory; the coroutine returns the number of bytes."""
    where = uris.parse_key(uri)
    check_count("offset", offset)
    task = transfer.read_into(store_for(where), where, offset, writable(buffer))
    return task if oplog.active is None else oplog.watch("GET", where, task, _count)


def get_placed(uri: str, allocate: Callable[[int], memoryview]) -> Any:
    """Read an object into the memory that `allocate` makes for its size in bytes; the coroutine returns that memory.

    An object that has to be read anew asks for memory again.
    """
    where = uris.parse_key(uri)
    task = _placed(store_for(where), where, transfer.Landing(0, None, allocate=allocate))
    return task if oplog.active is None else oplog.watch("GET", where, task, _length)


async def _placed(store: Store, where: Uri, landing: transfer.Landing) -> memoryview:
    return (await transfer.land(store, where, landing)).memory


def put(uri: str, data: Data, if_none_match: bool = False, durable: bool = False, others: int = 0) -> Any:
    """Store an object while `others` are stored too; the coroutine returns None."""
    where = uris.parse_key(uri)
    content = readable(data)
    task = transfer.write(store_for(where), where, content, if_none_match=if_none_match, durable=durable, others=others)
    return task if oplog.active is None else oplog.watch("PUT", where, task, lambda result: (1, len(content)))


def stat(uri: str) -> Task[dict[str, Any]]:
    """Ask what is known of an object; the coroutine returns a dict."""
    where = uris.parse_key(uri)
    task = _stat(where)
    return task if oplog.active is None else oplog.watch("STAT", where, task)


async def _stat(where: Uri) -> dict[str, Any]:
    return described(await store_for(where).stat(where))


def described(info: ObjectInfo) -> dict[str, Any]:
    """Return an `ObjectInfo` as the dict that `stat` gives."""
    return {
        "size": info.size,
        "last_modified": info.last_modified,
        "etag": info.etag,
        "content_type": info.content_type,
        "metadata": dict(info.metadata),
        "version_id": info.version_id,
        "storage_class": info.storage_class,
    }


def exists(uri: str) -> Task[bool]:
    """Ask whether an object is there; anything but a clear no raises."""
    where = uris.parse_key(uri)
    task = _exists(where)
    return task if oplog.active is None else oplog.watch("STAT", where, task)


async def _exists(where: Uri) -> bool:
    try:
        await store_for(where).stat(where)
    except NotFoundError:
        return False
    return True


def delete(uri: str, recursive: bool) -> Task[None]:
    """Remove an object, or with it everything below it."""
    where = uris.parse(uri) if recursive else uris.parse_key(uri)
    task = _delete(where, recursive)
    return task if oplog.active is None else oplog.watch("DELETE", where, task)


async def _delete(where: Uri, recursive: bool) -> None:
    store = store_for(where)
    if recursive:
        below = where.key if where.key.endswith("/") or not where.key else f"{where.key}/"
        await store.delete_tree(Uri(where.scheme, where.container, below))
    if where.key:
        await store.delete(where)


def make_directory(uri: str) -> Task[None]:
    """Create a directory or its marker."""
    where = uris.parse_key(uri)
    return make_directory_in(store_for(where), where)


def make_directory_in(store: Store, where: Uri) -> Task[None]:
    """Create a directory or its marker in a store of the caller's own choice."""
    task = store.make_directory(where)
    return task if oplog.active is None else oplog.watch("MKDIR", where, task)


def create_container(name: str) -> Task[None]:
    """Create a bucket."""
    where = container(name)
    task = store_for(where).create_container(where)
    return task if oplog.active is None else oplog.watch("CREATE_BUCKET", where, task)


def delete_container(name: str) -> Task[None]:
    """Remove an empty bucket."""
    where = container(name)
    task = store_for(where).delete_container(where)
    return task if oplog.active is None else oplog.watch("DELETE_BUCKET", where, task)


def list_containers(uri: str) -> Task[builtins.list[str]]:
    """Ask for the containers that the credentials can see; the coroutine returns their URIs."""
    scheme = uri.partition("://")[0]
    where = Uri({"gcs": "gs", "azure": "az"}.get(scheme, scheme), "", "")
    task = _list_containers(where)
    return task if oplog.active is None else oplog.watch("LIST_BUCKETS", where, task, lambda found: (len(found), 0))


async def _list_containers(where: Uri) -> builtins.list[str]:
    return [f"{where.scheme}://{name}" for name in await store_for(where).list_containers()]


def copy(source: str, target: str) -> Task[int]:
    """Copy one object; the coroutine returns the bytes that went through this process.

    They are none inside one backend.
    """
    origin, goal = uris.parse_key(source), uris.parse_key(target)
    if origin.scheme != goal.scheme:
        return carry(store_for(origin), origin, store_for(goal), goal)
    task = _copy_inside(store_for(origin), origin, goal)
    return task if oplog.active is None else oplog.watch("COPY", goal, task, _count)


async def _copy_inside(store: Store, source: Uri, target: Uri) -> int:
    await store.copy(source, target)
    return 0


def carry(origin: Store, source: Uri, goal: Store, target: Uri) -> Task[int]:
    """Move the bytes of one object from store to store; the coroutine returns how many there were.

    In the log it is the GET of a download or the PUT of an upload, whichever side is far away, or else a COPY.
    """
    task = relay(origin, source, goal, target)
    if oplog.active is None:
        return task
    if source.is_local == target.is_local:
        return oplog.watch("COPY", target, task, _count)
    op, far = ("GET", source) if target.is_local else ("PUT", target)
    return oplog.watch(op, far, task, _count)


def _length(view: Any) -> tuple[int, int]:
    return 1, len(view)


def _count(moved: int) -> tuple[int, int]:
    return 1, moved


async def entries(uri: str, recursive: bool, pattern: Pattern) -> AsyncIterator[Listed]:
    """Yield pages of (key, entry) in lexicographic order; a sub-prefix has no entry."""
    where = uris.parse(uri)
    start = relative_start(where)
    wanted = matcher(pattern)
    pages = store_for(where).pages(where, recursive=recursive)
    async for page in pages if oplog.active is None else oplog.watch_pages(where, pages):
        found: Listed = [(entry[0], entry) for entry in page.entries]
        if page.prefixes:
            found += [(prefix, None) for prefix in page.prefixes]
            found.sort(key=lambda each: each[0])
        yield found if wanted is None else [each for each in found if wanted(each[0][start:])]


def relative_start(where: Uri) -> int:
    """Return where the relative part of listed keys begins: behind the last slash of the prefix."""
    return where.key.rfind("/") + 1


@lru_cache(maxsize=64)
def _glob(pattern: str) -> Callable[[str], Any]:
    return re.compile(translate(pattern)).match


def matcher(pattern: Pattern) -> Callable[[str], Any] | None:
    """Return the test that a pattern is: a glob must match the whole relative key, a compiled pattern is searched."""
    if pattern is None:
        return None
    if isinstance(pattern, str):
        return _glob(pattern)
    if isinstance(pattern, re.Pattern):  # pyright: ignore[reportUnnecessaryIsInstance]  # callers without types
        return pattern.search
    raise TypeError(f"pattern must be a glob such as '*.npz' or a compiled re.Pattern, not {pattern!r}")


def container(name: str) -> Uri:
    """Return the container that a URI or a bare S3 bucket name names."""
    if not isinstance(name, str):  # pyright: ignore[reportUnnecessaryIsInstance]  # callers without types
        raise TypeError(f"a bucket is named by a str, not {type(name).__name__}: {name!r:.200}")
    where = uris.parse(name if "://" in name else f"s3://{name}")
    if where.key and not where.is_local:
        raise InvalidUriError(f"{name!r} names an object: give the bucket alone", name)
    return where


def check_count(name: str, value: object) -> None:
    """Refuse what is no number of bytes.

    Raises:
        TypeError: not an int.
        ValueError: negative.
    """
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} must be an int, in bytes, not {value!r}")
    if value < 0:
        raise ValueError(f"{name} must be 0 or more, not {value}")


def readable(data: Data) -> memoryview:
    """Return the bytes of a C-contiguous buffer, without a copy."""
    try:
        memory = memoryview(cast("Buffer", data))
    except (TypeError, ValueError) as problem:  # ValueError: an array of a dtype that no buffer can describe
        kind = type(data).__name__
        raise TypeError(f"data must be a buffer such as bytes or an array, not {kind}: {problem}") from None
    if not memory.c_contiguous:
        raise ValueError("data must be C-contiguous: pass numpy.ascontiguousarray(data)")
    if memory.format == "B" and memory.ndim == 1:
        return memory
    return memory.cast("B") if memory.nbytes else memoryview(b"" if memory.readonly else bytearray())


def writable(buffer: Data) -> memoryview:
    """Return the bytes of a writable C-contiguous buffer."""
    memory = readable(buffer)
    if memory.readonly:
        raise ValueError("buffer is read-only: pass a bytearray, a writable array or a tensor's numpy()")
    return memory
