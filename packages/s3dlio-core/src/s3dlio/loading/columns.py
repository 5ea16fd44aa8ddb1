"""Columns: named arrays that processes share.

A process that is forked has them already. One that `multiprocessing` spawns, or a fork server forks, gets a file
descriptor of memory that both map, so that a table of many gigabytes exists once on a machine. Any other pickle
holds the bytes.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import weakref
from collections.abc import Mapping
from multiprocessing import reduction
from multiprocessing.context import get_spawning_popen
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Arrays: TypeAlias = Mapping[str, NDArray[Any]]
Layout: TypeAlias = tuple[tuple[str, str, int, int], ...]
"""Name, dtype, offset in bytes and number of elements of each array."""

_SHARED_FROM = 256 << 10  # bytes: what is smaller is pickled sooner than mapped
_ALIGNMENT = 64


class Columns:
    """Named one-dimensional arrays, never changed."""

    __slots__ = ("__weakref__", "_arrays", "_memory")

    def __init__(self, arrays: Arrays) -> None:
        self._arrays = dict(arrays)
        self._memory: int | None = None

    def __getitem__(self, name: str) -> NDArray[Any]:
        """Return one array."""
        return self._arrays[name]

    def __contains__(self, name: object) -> bool:
        """Tell whether there is an array of that name."""
        return name in self._arrays

    @property
    def arrays(self) -> Arrays:
        """All arrays by their names."""
        return self._arrays

    def __reduce__(self) -> tuple[Any, ...]:
        """Share the memory with a process that is being started; else pack the bytes."""
        size = sum(array.nbytes for array in self._arrays.values())
        if size < _SHARED_FROM or get_spawning_popen() is None or not hasattr(os, "memfd_create"):
            return Columns, (self._arrays,)
        memory, layout, length = self.shared()
        return _mapped, (reduction.DupFd(memory), layout, length)

    def shared(self) -> tuple[int, Layout, int]:
        """Return the descriptor of memory that holds the arrays, how they lie in it, and its length in bytes."""
        layout, length = _laid_out(self._arrays)
        if self._memory is None:
            self._memory = _written(self._arrays, layout, length)
            weakref.finalize(self, os.close, self._memory)
        return self._memory, layout, length


def _laid_out(arrays: Arrays) -> tuple[Layout, int]:
    places: list[tuple[str, str, int, int]] = []
    end = 0
    for name, array in arrays.items():
        places.append((name, array.dtype.str, end, array.size))
        end += -(-array.nbytes // _ALIGNMENT) * _ALIGNMENT
    return tuple(places), end


def _written(arrays: Arrays, layout: Layout, length: int) -> int:
    """Return the descriptor of new memory that holds the arrays, and that nobody can cut short or change."""
    memory = os.memfd_create("s3dlio-columns", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(memory, length)
    with mmap.mmap(memory, length) as content:
        for name, array in _arrays_in(content, layout).items():
            array[:] = arrays[name]
            del array
    fcntl.fcntl(memory, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE)
    return memory


def _mapped(memory: Any, layout: Layout, length: int) -> Columns:
    descriptor: int = memory.detach()
    try:
        content = mmap.mmap(descriptor, length, access=mmap.ACCESS_READ)
    finally:
        os.close(descriptor)
    return Columns(_arrays_in(content, layout))


def _arrays_in(content: mmap.mmap, layout: Layout) -> dict[str, NDArray[Any]]:
    return {name: np.frombuffer(content, dtype, count, offset) for name, dtype, offset, count in layout}
