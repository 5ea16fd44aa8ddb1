"""Decoding: the formats that samples may have, and what one decodes to.

"npy" and "npz" are of a whole object. "tar", in the layout of WebDataset, and "tfrecord" are of records inside of
objects. Nothing here runs what an object brings along.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeAlias, get_args

from s3dlio.formats import npy, npz, tar, tfrecord

Format: TypeAlias = Literal["npy", "npz", "tar", "tfrecord"]
RECORDS: frozenset[Format] = frozenset({"tar", "tfrecord"})

_WHOLE: dict[str, Callable[[Any, str], Any]] = {"npy": npy.decode, "npz": npz.decode}


def checked_format(decode: str | None) -> str | None:
    """Return a format if it is one, or None."""
    if decode is not None and decode not in get_args(Format):
        raise ValueError(f"decode={decode!r}: use one of {', '.join(map(repr, get_args(Format)))}, or None for bytes")
    return decode


def decoded(decode: Format | None, data: Any, uri: str, offset: int = 0) -> Any:
    """Return what the bytes of a sample hold; `offset` is where they were in the object, for messages.

    An array for "npy", a dict of arrays for "npz", a dict of bytes for "tar", bytes for "tfrecord" and for None.

    Raises:
        IntegrityError: the bytes are damaged, or of another format.
        ValueError: they hold what is not read here.
    """
    if decode is None:
        return data
    if decode == "tar":
        return tar.sample(data, uri, offset=offset)
    if decode == "tfrecord":
        return tfrecord.payload(data, uri, offset=offset)
    return _WHOLE[decode](data, uri)
