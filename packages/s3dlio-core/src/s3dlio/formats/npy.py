"""The .npy format: one array, its dtype and shape in a header before its bytes.

The array lies in the memory of the file. Nothing is unpickled, and a shape counts only if its bytes are there.
"""

from __future__ import annotations

import io
import math
import struct
import sys
import tokenize
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.lib import format as npy_format

from s3dlio.formats import damaged, flat, unsupported

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from typing_extensions import Buffer

    from s3dlio.errors import IntegrityError

_LENGTHS: dict[tuple[int, ...], struct.Struct] = {  # by version
    (1, 0): struct.Struct("<H"),
    (2, 0): struct.Struct("<I"),
    (3, 0): struct.Struct("<I"),
}
_LARGEST_HEADER = 64 << 10
_MOST_DIMENSIONS = 64  # of any array of NumPy 2
_UNREADABLE = (  # what parsing a hostile literal or dtype may end in; MemoryError is the parser's word for too deep
    ArithmeticError,
    AttributeError,
    LookupError,
    MemoryError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    tokenize.TokenError,
)


def decode(data: Buffer, name: str, *, member: str = "") -> NDArray[Any]:
    """Return the array in `data`, the content of a .npy file, without a copy.

    The array is writable if `data` is, and keeps its memory. It is a copy only where the bytes lie at an address
    that its dtype cannot be read from. As with `np.load`, bytes behind the array are ignored. `name` is the URI for
    messages; `member` tells which member of that file `data` is, if offsets count from the start of one.

    Raises:
        IntegrityError: not a .npy file, or a damaged or truncated one.
        ValueError: a version or a dtype that is not read; those with Python objects never are.
    """
    memory, file = flat(data), _File(name, f"array {member!r}: " if member else "")
    start, text = _header(memory, file)
    try:
        # The versions differ in the length, which is checked already, and in the encoding.
        header = io.BytesIO(struct.pack("<I", len(text)) + text)
        shape, fortran, dtype = npy_format.read_array_header_2_0(header, max_header_size=len(text))
    except _UNREADABLE as problem:
        raise file.damaged(0, f"the .npy header cannot be parsed: {type(problem).__name__}") from problem
    if dtype.hasobject:
        what = f"dtype {dtype} holds Python objects, and nothing is unpickled: save numbers or text instead"
        raise file.unsupported(0, what)
    array = _laid(memory, start, shape, dtype, "F" if fortran else "C", file)
    return array if array.flags.aligned else array.copy("K")


@dataclass(frozen=True, slots=True)
class _File:
    name: str
    label: str

    def damaged(self, offset: int, what: str) -> IntegrityError:
        return damaged(self.name, offset, self.label + what)

    def unsupported(self, offset: int, what: str) -> ValueError:
        return unsupported(self.name, offset, self.label + what)


def _header(memory: memoryview, file: _File) -> tuple[int, bytes]:
    """Return where the array starts, and its header as ASCII or Latin-1."""
    magic, version = bytes(memory[:6]), tuple(memory[6:8])
    if magic != npy_format.MAGIC_PREFIX:
        raise file.damaged(0, f"no .npy file: it starts with {magic!r}")
    kind = _LENGTHS.get(version)
    if kind is None and len(version) == 2:
        raise file.unsupported(6, f".npy version {version[0]}.{version[1]}: 1.0, 2.0 and 3.0 are read")
    start = 8 + kind.size if kind else 8
    if kind is None or len(memory) < start:
        raise file.damaged(6, "the file is cut off: it ends inside the .npy header")
    (length,) = kind.unpack_from(memory, 8)
    if length > _LARGEST_HEADER:
        raise file.damaged(8, f"the .npy header claims {length} bytes, more than {_LARGEST_HEADER}")
    if length > len(memory) - start:
        raise file.damaged(
            8, f"the file is cut off: the .npy header has {length} bytes, {len(memory) - start} are left"
        )
    text = bytes(memory[start : start + length])
    if version == (3, 0):  # UTF-8, and the reader takes Latin-1: inside a literal, an escape says the same
        try:
            text = text.decode("utf-8").encode("ascii", "backslashreplace")
        except UnicodeDecodeError as problem:
            raise file.damaged(start, "the .npy header is not UTF-8") from problem
    return start + length, text


def _laid(
    memory: memoryview, start: int, shape: tuple[int, ...], dtype: np.dtype[Any], order: Literal["C", "F"], file: _File
) -> NDArray[Any]:
    """Return the array that lies in memory, if there is as much of it as it claims."""
    if len(shape) > _MOST_DIMENSIONS or not all(0 <= each <= sys.maxsize for each in shape):
        raise file.damaged(0, "the .npy header tells a shape that no array has")
    claimed, left = math.prod(shape) * dtype.itemsize, len(memory) - start
    if claimed > left:
        what = f"the file is cut off: shape {shape} of {dtype} takes {claimed} bytes, and {left} are there"
        raise file.damaged(start, what)
    try:
        return np.ndarray(shape, dtype, memory, start, order=order)
    except (TypeError, ValueError) as problem:
        raise file.damaged(0, f"the .npy header tells shape {shape} of {dtype}: {problem}") from problem
