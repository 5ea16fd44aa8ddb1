"""What a verb does, as a coroutine: arguments checked before any I/O, then one store asked.

The sync verbs and their async twins both run these; neither has a word of its own about storage.
"""

from __future__ import annotations

import builtins
import re
from collections.abc import AsyncIterator, Callable
from fnmatch import translate
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from s3dlio import transfer
from s3dlio import uri as uris
from s3dlio.errors import InvalidUriError, NotFoundError
from s3dlio.relay import relay
from s3dlio.stores import store_for
from s3dlio.uri import Uri

if TYPE_CHECKING:
    import numpy as np
    from typing_extensions import Buffer

    Data: TypeAlias = Buffer | np.ndarray[Any, Any]  # until Python 3.12, arrays do not say that they are buffers

    from s3dlio.stores.store import Entry, ObjectInfo

Pattern: TypeAlias = str | re.Pattern[str] | None
Listed: TypeAlias = "builtins.list[tuple[str, Entry | None]]"
"""A page of a listing: keys with what is known of them; a sub-prefix has no entry."""


def get(uri: str) -> Any:
    """Read an object; the coroutine returns a `BytesView`."""
    where = uris.parse_key(uri)
    return transfer.read(store_for(where), where)


def get_range(uri: str, offset: int, length: int | None) -> Any:
    """Read a range; the coroutine returns a `BytesView`."""
    where = uris.parse_key(uri)
    check_count("offset", offset)
    if length is not None:
        check_count("length", length)
    return transfer.read(store_for(where), where, offset, length)


def get_into(uri: str, buffer: Data, offset: int) -> Any:
    """Read into the caller's memory; the coroutine returns the number of bytes."""
    where = uris.parse_key(uri)
    check_count("offset", offset)
    return transfer.read_into(store_for(where), where, offset, writable(buffer))


def put(uri: str, data: Data, if_none_match: bool = False, durable: bool = False) -> Any:
    """Store an object; the coroutine returns None."""
    where = uris.parse_key(uri)
    return transfer.write(store_for(where), where, readable(data), if_none_match=if_none_match, durable=durable)


async def stat(uri: str) -> dict[str, Any]:
    """Return what is known of an object."""
    where = uris.parse_key(uri)
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


async def exists(uri: str) -> bool:
    """Tell whether an object is there; anything but a clear no raises."""
    where = uris.parse_key(uri)
    try:
        await store_for(where).stat(where)
    except NotFoundError:
        return False
    return True


async def delete(uri: str, recursive: bool) -> None:
    """Remove an object, or with it everything below it."""
    where = uris.parse(uri) if recursive else uris.parse_key(uri)
    store = store_for(where)
    if recursive:
        below = where.key if where.key.endswith("/") or not where.key else f"{where.key}/"
        await store.delete_tree(Uri(where.scheme, where.container, below))
    if where.key:
        await store.delete(where)


async def make_directory(uri: str) -> None:
    """Create a directory or its marker."""
    where = uris.parse_key(uri)
    await store_for(where).make_directory(where)


async def create_container(name: str) -> None:
    """Create a bucket."""
    where = container(name)
    await store_for(where).create_container(where)


async def delete_container(name: str) -> None:
    """Remove an empty bucket."""
    where = container(name)
    await store_for(where).delete_container(where)


async def list_containers(uri: str) -> builtins.list[str]:
    """Return the containers that the credentials can see, as URIs."""
    scheme = uri.partition("://")[0]
    where = Uri({"gcs": "gs", "azure": "az"}.get(scheme, scheme), "", "")
    return [f"{where.scheme}://{name}" for name in await store_for(where).list_containers()]


async def copy(source: str, target: str) -> None:
    """Copy one object: inside the backend where both are in one, else through this process."""
    origin, goal = uris.parse_key(source), uris.parse_key(target)
    if origin.scheme == goal.scheme:
        await store_for(origin).copy(origin, goal)
        return
    await relay(store_for(origin), origin, store_for(goal), goal)


async def entries(uri: str, recursive: bool, pattern: Pattern) -> AsyncIterator[Listed]:
    """Yield pages of (key, entry) in lexicographic order; a sub-prefix has no entry."""
    where = uris.parse(uri)
    start = relative_start(where)
    wanted = matcher(pattern)
    async for page in store_for(where).pages(where, recursive=recursive):
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
