"""Order: which sample stands at which position of an epoch.

The answer is a function of the number of samples, the seed and the epoch alone: nothing is stored, so a
position can be looked up in any process, and an order never changes between releases.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from math import isqrt
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Indices: TypeAlias = NDArray[np.int64]
_Words: TypeAlias = NDArray[np.uint64]

_ROUNDS = 12  # four mix a large domain; one of a few samples needs more to reach every permutation
_SHIFT = np.uint64(32)
_MULTIPLIERS = (np.uint64(0xD6E8FEB86659FD93), np.uint64(0xFF51AFD7ED558CCD))  # odd, half of the bits set


class Permutation:
    """A pseudorandom permutation of `range(n)` chosen by `key`, in constant memory.

    A Feistel network over the digits of an index in two nearly equal radices: each round adds to one digit a
    keyed hash of the other, which can be undone and so is one to one. The radices cover slightly more than
    `n`; an index that lands outside goes through the network again until it is inside, which keeps the whole
    one to one.
    """

    __slots__ = ("_high", "_keys", "_low", "n")

    def __init__(self, n: int, key: bytes) -> None:
        if n < 1:
            raise ValueError(f"a permutation needs at least one element, not {n}")
        high = isqrt(n - 1) + 1
        self.n = n
        self._high = np.uint64(high)
        self._low = np.uint64(-(-n // high))
        self._keys = np.frombuffer(hashlib.shake_256(key).digest(8 * _ROUNDS), dtype="<u8").astype(np.uint64)

    def __getitem__(self, position: int) -> int:
        """Return the element at one position."""
        if not 0 <= position < self.n:
            raise IndexError(f"position {position} is outside of a permutation of {self.n}")
        return int(self.at(np.array([position]))[0])

    def at(self, positions: Indices) -> Indices:
        """Return the elements at many positions, each in `range(n)`."""
        words = self._pass(positions.astype(np.uint64))
        while (outside := np.flatnonzero(words >= np.uint64(self.n))).size:
            words[outside] = self._pass(words[outside])
        return words.astype(np.int64)

    def _pass(self, words: _Words) -> _Words:
        high, low = np.divmod(words, self._low)
        for turn, key in enumerate(self._keys):
            if turn % 2:
                low = (low + _hash(high, key) % self._low) % self._low
            else:
                high = (high + _hash(low, key) % self._high) % self._high
        return high * self._low + low


def _hash(words: _Words, key: np.uint64) -> _Words:
    mixed = words ^ key
    for multiplier in _MULTIPLIERS:
        mixed = (mixed ^ (mixed >> _SHIFT)) * multiplier
    return mixed ^ (mixed >> _SHIFT)


@dataclass(frozen=True, slots=True)
class Order:
    """The order of `n` samples in an epoch: as listed, or with `shuffle` a permutation by seed and epoch.

    Samples that lie side by side in large objects are shuffled in two steps, so that each read still brings many:
    `block` consecutive samples stay together, blocks are permuted, and the samples of each `group` blocks that then
    follow each other are permuted among themselves. Where the blocks begin changes with the epoch.
    """

    n: int
    shuffle: bool = False
    seed: int = 0
    block: int = 1
    group: int = 1

    def index(self, epoch: int, position: int) -> int:
        """Return the index of the sample at one position of an epoch."""
        return int(self.indices(epoch, np.array([position]))[0])

    def indices(self, epoch: int, positions: Indices) -> Indices:
        """Return the indices of the samples at many positions of an epoch.

        Raises:
            IndexError: a position that is not in `range(n)`.
        """
        if not positions.size:
            return positions
        first, last = positions.min(), positions.max()
        if first < 0 or last >= self.n:
            raise IndexError(f"positions {first} to {last} are not all within {self.n} samples")
        if not self.shuffle:
            return positions
        if self.block == 1:
            return self._permutation(self.n, epoch).at(positions)
        return self._by_blocks(epoch, positions)

    def _by_blocks(self, epoch: int, positions: Indices) -> Indices:
        blocks = self.n // self.block
        found = np.empty_like(positions)
        units = np.minimum(positions // (self.block * self.group), -(-blocks // self.group))
        units[positions >= blocks * self.block] = -1  # the rest that is no block
        for unit in np.unique(units):
            here = units == unit
            found[here] = self._in_unit(epoch, int(unit), blocks, positions[here])
        shift = int.from_bytes(hashlib.sha256(f"{self.seed} {epoch} shift".encode()).digest()[:8], "little")
        return (found + shift % self.n) % self.n

    def _in_unit(self, epoch: int, unit: int, blocks: int, positions: Indices) -> Indices:
        """Return the indices, before the shift, of positions that belong to one group of blocks, or to the rest."""
        whole = blocks * self.block
        start = whole if unit < 0 else unit * self.block * self.group
        size = self.n - whole if unit < 0 else min(self.block * self.group, whole - start)
        mixed = start + self._permutation(size, epoch, f" unit {unit}").at(positions - start)
        if unit < 0:
            return mixed
        return self._permutation(blocks, epoch, " blocks").at(mixed // self.block) * self.block + mixed % self.block

    def _permutation(self, n: int, epoch: int, of: str = "") -> Permutation:
        return Permutation(n, f"{self.seed} {epoch}{of}".encode())
