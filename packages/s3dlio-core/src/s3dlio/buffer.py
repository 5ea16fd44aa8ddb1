"""Buffers: aligned memory that is leased, filled in place, exported as `BytesView` and recycled.

A slab belongs to one lease at a time. The lease is the base of every view of it, so it dies, and gives the slab back,
exactly when the last view, memoryview, array or tensor over that memory has gone.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import pickle
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, SupportsIndex, cast

import numpy as np

from s3dlio import config
from s3dlio.errors import S3dlioError

if TYPE_CHECKING:
    from typing_extensions import Buffer

_UINT8 = np.dtype(np.uint8)
_ALIGNMENT = 64  # JAX and TensorFlow alias a buffer on the CPU only from this alignment on
_SMALLEST = 512
_PAGE = 4096
_OWN_MAPPING = 1 << 20  # from here on a slab is a mapping of its own, page aligned
_HUGE = 4 << 20  # from here on page faults cost more than anything else: ask for huge pages
_SMALL_KEPT = 32 << 20  # bytes kept in each class below _OWN_MAPPING
_RELEASED = 0xDB  # what released memory holds while it is watched
_WATCHED_KEPT = 64 << 20  # bytes that are watched: what is released gets so much time to be misused


def _large_kept() -> int:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min(1 << 30, memory // 4)


@dataclass(frozen=True, slots=True, eq=False)
class _Slab:
    address: int
    capacity: int
    mapping: Any = field(repr=False)  # keeps the memory mapped


def _capacity(size: int) -> int:
    """Round up to a size class: a power of two, and from 1 MiB on an eighth of one, so that little is wasted."""
    if size <= _SMALLEST:
        return _SMALLEST
    power = 1 << (size - 1).bit_length()
    if power <= _OWN_MAPPING:
        return power
    step = power >> 4
    return -(-size // step) * step


class Pool:
    """Free slabs by size class. Appending to and popping from a deque needs no lock, also not inside `__del__`."""

    def __init__(self, kept: int) -> None:
        self.kept = kept
        self.free: dict[int, deque[_Slab]] = {}

    def take(self, size: int) -> _Slab:
        """Return a slab of at least `size` bytes."""
        capacity = _capacity(size)
        try:
            return self.free[capacity].pop()
        except (KeyError, IndexError):
            return self._allocate(capacity)

    def _allocate(self, capacity: int) -> _Slab:
        free = self.free.setdefault(capacity, deque())
        if capacity >= _OWN_MAPPING:
            return _map(capacity, 1)[0]
        first, *others = _map(capacity, min(32, _OWN_MAPPING // capacity))
        free.extend(others)
        return first

    def give(self, slab: _Slab) -> None:
        """Take back a slab that nobody uses any more, and keep it as far as the bound allows."""
        try:
            free = self.free[slab.capacity]
        except KeyError:  # leased from the pool before this one
            free = self.free.setdefault(slab.capacity, deque())
        if slab.capacity < _OWN_MAPPING:
            if len(free) * slab.capacity < _SMALL_KEPT:
                free.append(slab)
            return
        if slab.capacity > self.kept:
            return
        free.append(slab)
        self._shrink(free)

    def _shrink(self, latest: deque[_Slab]) -> None:
        """Drop the oldest slabs until what is kept fits the bound, those of the class used last at the very end."""
        while True:
            large = [queue for size, queue in list(self.free.items()) if size >= _OWN_MAPPING]
            held = [(queue is not latest, len(queue) * queue[0].capacity, queue) for queue in large if queue]
            if sum(size for _, size, _ in held) <= self.kept:
                return
            _, _, stale = max(held, key=lambda entry: entry[:2])
            stale.popleft()


def _map(capacity: int, count: int) -> list[_Slab]:
    try:
        mapping = mmap.mmap(-1, capacity * count, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    except OSError as problem:
        raise S3dlioError(
            f"cannot get {capacity * count} bytes of memory for a buffer: {problem.strerror}"
        ) from problem
    if capacity >= _HUGE and hasattr(mmap, "MADV_HUGEPAGE"):
        mapping.madvise(mmap.MADV_HUGEPAGE)
    address = np.frombuffer(mapping, dtype=_UINT8).ctypes.data
    return [_Slab(address + index * capacity, capacity, mapping) for index in range(count)]


class WatchedPool(Pool):
    """A pool that shows who uses memory after its release.

    What is given back is filled with a pattern, so that a read shows it, and kept aside, so that a write does: the
    pattern is compared before the memory is leased again.
    """

    def __init__(self, kept: int) -> None:
        super().__init__(kept)
        self.aside: deque[_Slab] = deque()
        self.damage: list[str] = []

    def take(self, size: int) -> _Slab:
        """Return a slab, or raise what was found out about slabs that came back."""
        if self.damage:
            raise S3dlioError(self.damage.pop())
        return super().take(size)

    def give(self, slab: _Slab) -> None:
        """Take back a slab and put it aside."""
        ctypes.memset(slab.address, _RELEASED, slab.capacity)
        self.aside.append(slab)
        while sum(each.capacity for each in self.aside.copy()) > self.kept:
            self.bring_back()

    def bring_back(self) -> None:
        """Let the memory that has been aside for longest be leased again, if it is as it was left."""
        try:
            slab = self.aside.popleft()
        except IndexError:  # another thread was faster
            return
        memory: Any = (ctypes.c_ubyte * slab.capacity).from_address(slab.address)
        wrong = np.flatnonzero(np.frombuffer(memory, dtype=_UINT8) != _RELEASED)
        if not wrong.size:
            super().give(slab)
            return
        self.damage.append(  # this is called from `__del__`, where an exception reaches nobody
            f"memory was written to after its release: {wrong.size} bytes of a buffer of {slab.capacity} from byte "
            f"{wrong[0]} on; look for an address or an asynchronous copy that outlived its view"
        )


_pool: Pool = Pool(_large_kept())


def watch(on: bool) -> None:
    """Choose between the pool for work and the one that finds uses after release; views in use stay valid."""
    global _pool
    if on != isinstance(_pool, WatchedPool):
        _pool = WatchedPool(_WATCHED_KEPT) if on else Pool(_large_kept())


config.follow(lambda settings: watch(settings.debug_buffers))


@cache
def _lease_type(capacity: int) -> Any:
    """Return the class of leases of one size class: a C array that exports its memory natively and notices its end."""
    return type("Lease", (ctypes.c_ubyte * capacity,), {"__slots__": ("slab",), "__del__": _release})


def _release(lease: Any) -> None:
    _pool.give(lease.slab)


def lease(size: int) -> BytesView:
    """Return `size` writable bytes of pooled memory that nobody else uses; their content is arbitrary.

    The start is aligned to 64 bytes at least and to 4096 from 4 KiB on.
    """
    if size == 0:
        return np.ndarray.__new__(BytesView, 0, _UINT8)
    slab = _pool.take(size)
    holder = _lease_type(slab.capacity).from_address(slab.address)
    holder.slab = slab
    return np.ndarray.__new__(BytesView, size, _UINT8, holder)


class BytesView(np.ndarray[Any, np.dtype[np.uint8]]):
    """Bytes that were received in place: a writable buffer, private to its holder, which behaves like `bytes`.

    `memoryview`, `np.frombuffer`, `torch.frombuffer` and `jax.device_put` share its memory. Slices share it too.
    Comparison is by value with any bytes-like object, and an integer index gives an int. The memory returns to the
    pool when the last object over it has gone.
    """

    __hash__ = None  # mutable, like bytearray

    if TYPE_CHECKING:

        def __buffer__(self, flags: int, /) -> memoryview:
            """Export the bytes, as arrays do natively: NumPy's types say so only from Python 3.12 on."""
            ...

    def memoryview(self) -> memoryview:
        """Return a memoryview of the bytes, without a copy."""
        return memoryview(self)

    def to_bytes(self) -> bytes:
        """Return a copy as `bytes`."""
        return self.tobytes()

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """Decode the bytes to text."""
        return str(self.memoryview(), encoding, errors)

    def __getitem__(self, index: Any) -> Any:
        """Return an int for an integer index, and a view of the same memory for a slice."""
        item: Any = super().__getitem__(index)
        return int(item) if type(item) is np.uint8 else item

    def __iter__(self) -> Iterator[Any]:
        """Iterate over the bytes as ints."""
        return iter(self.memoryview())

    def __contains__(self, item: object) -> bool:
        """Tell whether a byte value or a run of bytes occurs in the view."""
        if isinstance(item, SupportsIndex):
            return item.__index__() in self.memoryview()
        return bytes(memoryview(cast("Buffer", item))) in self.tobytes()

    def __bool__(self) -> bool:
        """Tell whether there are any bytes."""
        return self.size > 0

    def __eq__(self, other: object) -> Any:
        """Compare by value with a bytes-like object."""
        try:
            theirs = memoryview(cast("Buffer", other))
        except TypeError:
            return NotImplemented
        return self.nbytes == theirs.nbytes and np.array_equal(_flat(self.memoryview()), _flat(theirs))

    def __ne__(self, other: object) -> Any:
        """Compare by value with a bytes-like object."""
        equal = self.__eq__(other)
        return equal if equal is NotImplemented else not equal

    def __repr__(self) -> str:
        """Show short views as the bytes they hold, longer ones by their length and start."""
        if self.dtype != _UINT8 or self.ndim != 1:
            return repr(np.asarray(self))
        if self.size <= _ALIGNMENT:
            return repr(self.tobytes())
        return f"<BytesView of {self.size} bytes: {self[:16].tobytes()!r}...>"

    __str__ = __repr__

    def __array_wrap__(self, array: Any, context: Any = None, return_scalar: bool = False) -> Any:
        """Give arithmetic plain arrays as results."""
        plain = np.asarray(array)
        return plain[()] if return_scalar else plain

    def __reduce_ex__(self, protocol: SupportsIndex) -> Any:
        """Pickle as a buffer: out of band without a copy from protocol 5 on."""
        if protocol.__index__() >= 5 and self.flags.c_contiguous:
            return _restore, (pickle.PickleBuffer(cast("Buffer", self)),)
        return _restore, (self.tobytes(),)


def _flat(memory: memoryview) -> np.ndarray[Any, np.dtype[np.uint8]]:
    data = memory if memory.c_contiguous else memory.tobytes()
    return np.frombuffer(data, dtype=_UINT8) if memory.nbytes else np.empty(0, _UINT8)


def _restore(data: Any) -> BytesView:
    """Rebuild a view over a buffer, or over a copy of it where the buffer is read-only or misaligned."""
    memory = memoryview(data).cast("B") if memoryview(data).nbytes else b""
    if not memory:
        return lease(0)
    array = np.frombuffer(memory, dtype=_UINT8)
    if array.flags.writeable and array.ctypes.data % _ALIGNMENT == 0:
        return array.view(BytesView)
    view = lease(array.size)
    np.copyto(view, array)
    return view
