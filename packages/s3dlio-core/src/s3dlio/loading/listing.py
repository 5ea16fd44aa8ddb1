"""Listings: the objects of a dataset, packed so that a million of them are a few arrays.

What all URIs have in common is kept once, so an object costs the rest of its key and 12 to 16 bytes. Workers share
a listing instead of copying it.
"""

from __future__ import annotations

import operator
import re
from array import array
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from s3dlio import operations
from s3dlio.errors import NotFoundError
from s3dlio.http import blocking
from s3dlio.loading.columns import Columns
from s3dlio.uri import parse, parse_key
from s3dlio.verbs import next_page

_SHORT = 1 << 32  # bytes of keys that 4 bytes can count


class Listing:
    """An immutable sequence of URIs, in the order given, with their sizes in bytes where those are known."""

    __slots__ = ("_ends", "_root", "_text", "columns")

    def __init__(self, uris: Iterable[str]) -> None:
        self._adopt("", _packed((uri, None) for uri in uris))

    def _adopt(self, root: str, columns: Columns) -> None:
        self._root = root
        self.columns = columns
        self._text = memoryview(columns["text"].data)
        self._ends: NDArray[Any] = columns["ends"]

    @classmethod
    def below(cls, root: str, keys: Iterable[tuple[str, int | None]]) -> Listing:
        """Pack what a listing of `root` gave: the rest of each URI behind it, with the size of the object."""
        return cls.of_columns(root, _packed(keys))

    @classmethod
    def of_columns(cls, root: str, columns: Columns) -> Listing:
        """Make the listing that these columns hold: `text`, `ends`, and `sizes` unless those are unknown."""
        listing = cls.__new__(cls)
        listing._adopt(root, columns)
        return listing

    @classmethod
    def of(cls, uris: Iterable[str]) -> Listing:
        """Pack URIs that the caller chose.

        Raises:
            TypeError: one URI in place of many, or something that is not a str among them.
            ValueError: there are none.
            InvalidUriError: one of them cannot name an object.
        """
        if isinstance(uris, str):
            raise TypeError(f"expected many URIs, not one str: write [{uris!r}]")
        listing = cls(str(parse_key(uri)) for uri in uris)
        if not len(listing):
            raise ValueError("a dataset needs at least one URI, and none was given")
        return listing

    @property
    def root(self) -> str:
        """What each URI begins with, kept once."""
        return self._root

    @property
    def sizes(self) -> NDArray[np.int64] | None:
        """The sizes in bytes that were listed. They may plan a read, never decide it."""
        return self.columns.arrays.get("sizes")

    def __len__(self) -> int:
        """Return the number of URIs."""
        return self._ends.size - 1

    def __getitem__(self, index: int) -> str:
        """Return one URI; a negative index counts from the end."""
        index, count = operator.index(index), len(self)
        if not -count <= index < count:
            raise IndexError(f"sample {index} of a dataset of {count}")
        place = index % count
        key = self._text[self._ends[place] : self._ends[place + 1]]
        return self._root + str(key, "utf-8", "surrogatepass")

    def __iter__(self) -> Iterator[str]:
        """Iterate over the URIs."""
        return (self[index] for index in range(len(self)))

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the columns, which workers share."""
        return Listing.of_columns, (self._root, self.columns)


def list_samples(uri: str, pattern: str | re.Pattern[str] | None = None) -> Listing:
    """List the objects below `uri` that match `pattern`, recursively; directory markers are no samples.

    Raises:
        NotFoundError: there are none. A dataset that is empty by mistake must not train for zero steps.
    """
    where = parse(uri)
    start = operations.relative_start(where)
    found = _objects(uri, pattern, start)
    first = next(found, None)
    if first is None:
        matching = "" if pattern is None else f" that matches {_shown(pattern)!r}"
        raise NotFoundError(f"no object below {uri}{matching}: check the prefix and the pattern", uri)
    return Listing.below(where.root + where.key[:start], chain([first], found))


def _objects(uri: str, pattern: str | re.Pattern[str] | None, start: int) -> Iterator[tuple[str, int]]:
    pages = operations.entries(uri, True, pattern)
    while (page := blocking.run(next_page(pages))) is not None:
        for key, entry in page:
            if entry is not None and not key.endswith("/"):
                yield key[start:], entry[1]


def _packed(keys: Iterable[tuple[str, int | None]]) -> Columns:
    text, ends, sizes = bytearray(), array("q", [0]), array("q")
    for key, size in keys:
        text += key.encode(errors="surrogatepass")  # lone surrogates are file names that are not UTF-8
        ends.append(len(text))
        if size is not None:
            sizes.append(size)
    columns: dict[str, NDArray[Any]] = {
        "text": np.frombuffer(text, np.uint8),
        "ends": np.array(ends, np.uint32 if len(text) < _SHORT else np.int64),
    }
    if len(sizes) == len(ends) - 1 and len(sizes):
        columns["sizes"] = np.array(sizes, np.int64)
    return Columns(columns)


def _shown(pattern: str | re.Pattern[str]) -> str:
    return pattern if isinstance(pattern, str) else pattern.pattern
