"""Listings: the URIs of a dataset, packed so that a million of them are one buffer.

Packed keys are shared with forked workers without being copied page by page, as a list of str would be, and
pickle for spawned ones in the bytes of the keys themselves.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Iterable, Iterator
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from s3dlio import verbs
from s3dlio.errors import NotFoundError
from s3dlio.uri import parse_key


class Listing:
    """An immutable sequence of URIs, in the order given."""

    __slots__ = ("_ends", "_text")

    def __init__(self, uris: Iterable[str]) -> None:
        text = bytearray()  # lone surrogates are file names that are not UTF-8
        ends = [0]
        for uri in uris:
            text += uri.encode(errors="surrogatepass")
            ends.append(len(text))
        self._text = bytes(text)
        self._ends: NDArray[np.int64] = np.array(ends, dtype=np.int64)

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

    def __len__(self) -> int:
        """Return the number of URIs."""
        return self._ends.size - 1

    def __getitem__(self, index: int) -> str:
        """Return one URI; a negative index counts from the end."""
        index, count = operator.index(index), len(self)
        if not -count <= index < count:
            raise IndexError(f"sample {index} of a dataset of {count}")
        place = index % count
        return self._text[self._ends[place] : self._ends[place + 1]].decode(errors="surrogatepass")

    def __iter__(self) -> Iterator[str]:
        """Iterate over the URIs."""
        return (self[index] for index in range(len(self)))


def list_samples(uri: str, pattern: str | re.Pattern[str] | None = None) -> Listing:
    """List the objects below `uri` that match `pattern`, recursively; directory markers are no samples.

    Raises:
        NotFoundError: there are none. A dataset that is empty by mistake must not train for zero steps.
    """
    found = (each for each in verbs.list_iter(uri, recursive=True, pattern=pattern) if not each.endswith("/"))
    first = next(found, None)
    if first is None:
        matching = "" if pattern is None else f" that matches {_shown(pattern)!r}"
        raise NotFoundError(f"no object below {uri}{matching}: check the prefix and the pattern", uri)
    return Listing(chain([first], found))


def _shown(pattern: str | re.Pattern[str]) -> str:
    return pattern if isinstance(pattern, str) else pattern.pattern
