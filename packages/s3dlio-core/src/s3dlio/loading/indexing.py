"""Indexing: where the records of an object are, from an index beside it, or from one pass over the object.

An index that is there is trusted to be of its object; every record is checked when it is decoded.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from s3dlio import verbs
from s3dlio.errors import IntegrityError, NotFoundError
from s3dlio.formats import tar, tfrecord
from s3dlio.http import blocking
from s3dlio.loading.columns import Columns
from s3dlio.loading.decoding import Format
from s3dlio.loading.listing import Listing
from s3dlio.source import Source
from s3dlio.steps import Offload, Together
from s3dlio.uri import parse_key

Ranges: TypeAlias = NDArray[np.int64]
"""Offset and length of each record, in bytes: shape (n, 2)."""

INDEXES = (".idx", ".index")
_AT_ONCE = 8  # objects that are read for their records


def indexed(listing: Listing, decode: Format) -> Columns:
    """Return the records of all objects: `shard`, the number of the object, `offset` and `length`.

    Raises:
        IntegrityError: an object, or its index, is damaged; the message names it and the place.
        ValueError: there is no record.
    """
    uris = list(listing)
    found: list[Ranges | None] = [None] * len(uris)
    for place, ranges in _from_indexes(uris, decode):
        _refuse_another(listing, place, ranges, decode)
        found[place] = ranges
    without = [place for place, ranges in enumerate(found) if ranges is None]
    for place, ranges in zip(without, _scanned([uris[place] for place in without], decode), strict=True):
        found[place] = ranges
    return _columns([ranges for ranges in found if ranges is not None])


def _from_indexes(uris: Sequence[str], decode: Format) -> Iterator[tuple[int, Ranges]]:
    """Yield the place of each object that has an index, and what that says."""
    names = [_candidates(uri, decode) for uri in uris]
    without = set(range(len(uris)))
    for turn in range(max(map(len, names), default=0)):
        asked = [place for place in sorted(without) if turn < len(names[place])]
        answers = verbs.get_many([names[place][turn][0] for place in asked], on_error="return")
        for place, answer in zip(asked, answers, strict=True):
            if isinstance(answer, NotFoundError):
                continue
            if isinstance(answer, Exception):
                raise answer
            without.remove(place)
            ranges = _parsed(answer, names[place][turn])
            if ranges is not None:
                yield place, ranges


def _candidates(uri: str, decode: Format) -> list[tuple[str, tfrecord.IndexKind | None]]:
    """Return where an index may be, and its kind; None is that of archives."""
    return [(name, None) for name in tar.index_names(uri)] if decode == "tar" else [*tfrecord.index_names(uri)]


def _parsed(data: Any, candidate: tuple[str, tfrecord.IndexKind | None]) -> Ranges | None:
    name, kind = candidate
    if kind is not None:
        return tfrecord.parse_index(data, kind, name)
    try:
        return tar.parse_index(data, name)
    except ValueError:  # one that does not tell where samples begin: the archive does
        return None


def _refuse_another(listing: Listing, place: int, ranges: Ranges, decode: Format) -> None:
    """Refuse an index that does not fit the size of its object, where that is known."""
    if listing.sizes is None:
        return
    end, size = int(ranges[-1].sum()) if len(ranges) else 0, int(listing.sizes[place])
    if end > size or (decode == "tfrecord" and end != size):
        uri = listing[place]
        text = f"the index of {uri} ends at byte {end}, and the object at {size}: make the index anew"
        raise IntegrityError(text, uri)


def _scanned(uris: Sequence[str], decode: Format) -> list[Ranges]:
    async def every() -> list[Ranges]:
        return await Together((_one(uri) for uri in uris), _AT_ONCE)

    async def _one(uri: str) -> Ranges:
        ranges: Ranges = await Offload(partial(_scan, uri, decode))
        return ranges

    found: list[Ranges] = blocking.run(every())
    return found


def _scan(uri: str, decode: Format) -> Ranges:
    source = Source(parse_key(uri))
    ranges: Ranges = (tar if decode == "tar" else tfrecord).scan(source.read, source.size, uri)
    return ranges


def _columns(found: list[Ranges]) -> Columns:
    every = np.concatenate(found) if found else np.empty((0, 2), np.int64)
    if not len(every):
        raise ValueError("there is no record in any of the objects")
    shards = np.repeat(np.arange(len(found), dtype=np.uint32), [len(ranges) for ranges in found])
    return Columns({"shard": shards, "offset": every[:, 0].copy(), "length": every[:, 1].copy()})
