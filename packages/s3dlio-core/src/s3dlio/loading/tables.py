"""Tables: how the objects that were listed become samples, and how that is kept for another run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import compress, repeat
from typing import cast

from s3dlio import verbs
from s3dlio.loading import manifest
from s3dlio.loading.columns import Arrays, Columns
from s3dlio.loading.decoding import RECORDS, Format, checked_format
from s3dlio.loading.indexing import INDEXES, indexed
from s3dlio.loading.listing import Listing
from s3dlio.loading.reading import Objects, Table
from s3dlio.loading.records import Records
from s3dlio.stores import store_for
from s3dlio.uri import parse


def table_of(listing: Listing, decode: Format | None = None) -> Table:
    """Return the samples of objects: the objects themselves, or the records inside of them.

    Records are found by an index beside each object, or by reading it once; objects that are such indexes are left
    out.
    """
    checked_format(decode)
    if len(listing):
        store_for(parse(listing[0]))  # its modules are loaded once, before worker processes are forked
    if decode not in RECORDS:
        return Objects(listing, decode)
    shards = _without_indexes(listing)
    return Records(shards, indexed(shards, decode), decode)


def _without_indexes(listing: Listing) -> Listing:
    keep = [not uri.endswith(INDEXES) for uri in listing]
    return listing if all(keep) else Listing.below(listing.root, compress(_keys(listing, listing.root), keep))


def _keys(listing: Listing, root: str) -> Iterator[tuple[str, int | None]]:
    """Yield the rest of each URI behind a root, and the size of the object if it is known."""
    sizes = repeat(None) if listing.sizes is None else map(int, listing.sizes)
    return zip((uri[len(root) :] for uri in listing), sizes, strict=False)


def save_manifest(uri: str, table: Table) -> None:
    """Store which samples a table has, as one object."""
    listing = _with_plain_root(table.listing)
    arrays, words = dict(listing.columns.arrays), {"root": listing.root}
    if isinstance(table, Records):
        arrays |= table.columns.arrays
        words["decode"] = str(table.decode)
    verbs.put(uri, manifest.written(arrays, words))


def _with_plain_root(listing: Listing) -> Listing:
    """Return a listing whose root is valid Unicode, as words must be; a key need not be."""
    try:
        listing.root.encode()
    except UnicodeEncodeError:
        return Listing.below("", _keys(listing, ""))
    return listing


def load_manifest(uri: str, decode: Format | None = None) -> Table:
    """Return the table that `save_manifest` stored.

    Raises:
        IntegrityError: the object is no manifest, or a damaged one.
        ValueError: the manifest is of records of another format than `decode`.
    """
    checked_format(decode)
    arrays, words = manifest.read(verbs.get(uri), uri)
    listing = Listing.of_columns(words["root"], _of(arrays, manifest.LISTED))
    if "decode" not in words:
        return table_of(listing, decode)
    of = cast("Format", words["decode"])
    if decode not in (None, of):
        raise ValueError(f"{uri} is a manifest of {of!r} records, and decode={decode!r} was asked for")
    return Records(listing, _of(arrays, manifest.RECORDED), of)


def _of(arrays: Arrays, names: Iterable[str]) -> Columns:
    return Columns({name: arrays[name] for name in names if name in arrays})
