"""A .npy file: the array NumPy would load, in the memory of the file, and nothing of what a hostile one asks for."""

import io
import mmap
import pickle
import struct
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from s3dlio.buffer import BytesView, lease
from s3dlio.errors import IntegrityError
from s3dlio.formats import npy

URI = "s3://bucket/array.npy"
DTYPES = ["?", "i1", "<u2", ">i4", "<f2", "<f4", ">f8", "<c16", "S5", "<U3", "<M8[ns]", "<m8[s]"]
RECORD = np.dtype([("a", "<f4", (2, 3)), ("b", "u1"), ("c", [("d", ">i8")])])


def saved(array: Any, version: tuple[int, int] | None = None) -> bytes:
    """Return the file that NumPy writes."""
    file = io.BytesIO()
    np.lib.format.write_array(file, np.asanyarray(array), version)
    return file.getvalue()


def with_header(text: bytes, content: bytes = b"", version: int = 1, claimed: int | None = None) -> bytes:
    """Return a file with any header."""
    length = len(text) if claimed is None else claimed
    return b"\x93NUMPY" + bytes([version, 0]) + struct.pack("<H" if version == 1 else "<I", length) + text + content


def telling(shape: str, descr: str = "'<f4'", content: bytes = b"") -> bytes:
    """Return a file whose header tells this shape and dtype."""
    return with_header(f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}}}\n".encode(), content)


def leased(content: bytes) -> BytesView:
    """Return a leased view with this content."""
    view = lease(len(content))
    view.memoryview()[:] = content
    return view


EACH_DTYPE: Any = st.sampled_from([*DTYPES, RECORD])


def same(one: "np.ndarray[Any, Any]", other: "np.ndarray[Any, Any]") -> bool:
    """Tell whether two arrays are of one dtype, shape and order, and of the same bytes."""
    forms = [(each.dtype, each.shape, each.flags.c_contiguous, each.flags.f_contiguous) for each in (one, other)]
    return forms[0] == forms[1] and one.tobytes() == other.tobytes()


@given(array=arrays.arrays(EACH_DTYPE, arrays.array_shapes(min_dims=0, min_side=0)))
def test_an_array_is_the_one_that_numpy_loads(array: "np.ndarray[Any, Any]") -> None:
    file = saved(array)
    assert same(npy.decode(file, URI), np.load(io.BytesIO(file)))


@given(array=arrays.arrays(st.sampled_from(DTYPES), arrays.array_shapes(min_dims=2)))
def test_fortran_order_is_kept(array: "np.ndarray[Any, Any]") -> None:
    file = saved(np.asfortranarray(array))
    assert same(npy.decode(file, URI), np.load(io.BytesIO(file)))


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_every_version_is_read(version: tuple[int, int]) -> None:
    array = np.arange(6).astype([("field", "<f4")])
    assert same(npy.decode(saved(array, version), URI), array)


@pytest.mark.parametrize("field", ["größe", "長さ", "a\\é'\"", "\U0001f600"])
@pytest.mark.filterwarnings("ignore:Stored array in format 3.0")
def test_names_of_fields_may_be_any_text(field: str) -> None:
    array = np.arange(6).astype([(field, "<f4")])
    assert same(npy.decode(saved(array), URI), array)


def on_disk(content: bytes) -> mmap.mmap:
    with tempfile.TemporaryFile() as file:
        file.write(content)
        file.flush()
        return mmap.mmap(file.fileno(), 0)


@pytest.mark.parametrize("memory", [bytes, bytearray, memoryview, leased, on_disk])
def test_the_array_shares_the_memory_of_the_file(memory: Callable[[bytes], Any]) -> None:
    array = np.arange(1000, dtype="<i2").reshape(10, 100)
    data = memory(saved(array))
    decoded = npy.decode(data, URI)
    assert same(decoded, array)
    assert np.shares_memory(decoded, np.frombuffer(data, np.uint8))
    assert decoded.flags.writeable is not memoryview(data).readonly


def test_writing_to_the_array_writes_to_the_file() -> None:
    data = bytearray(saved(np.zeros(3, "<u1")))
    npy.decode(data, URI)[:] = 7
    assert data.endswith(b"\x07\x07\x07")


@pytest.mark.parametrize("shift", range(8))
def test_bytes_that_lie_askew_are_copied(shift: int) -> None:
    array = np.asfortranarray(np.arange(12, dtype="<f8").reshape(3, 4))
    data = memoryview(leased(bytes(shift) + saved(array)))[shift:]
    decoded = npy.decode(data, URI)
    assert same(decoded, array)
    assert decoded.flags.aligned
    assert np.shares_memory(decoded, np.frombuffer(data, np.uint8)) is (shift == 0)


def test_bytes_behind_the_array_are_ignored() -> None:
    file = saved(np.arange(3)) + b"more"
    assert same(npy.decode(file, URI), np.load(io.BytesIO(file)))


class Canary:
    """An object whose unpickling leaves a trace."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.trace,)


@pytest.mark.parametrize(
    "dtype", [np.dtype("O"), np.dtype([("a", "i4"), ("b", [("c", "O")])]), np.dtype([("d", "O", 2)])]
)
def test_S4_objects_are_never_unpickled(tmp_path: Path, dtype: "np.dtype[Any]") -> None:
    trace = tmp_path / "trace"
    array = np.empty(2, dtype)
    file = io.BytesIO()
    np.lib.format.write_array(file, array, allow_pickle=True)
    start = file.getvalue().index(b"\n") + 1
    data = file.getvalue()[:start] + pickle.dumps(np.array([Canary(trace)], "O")) + bytes(1000)
    with pytest.raises(ValueError, match=r"s3://bucket/array\.npy: byte 0: dtype .* holds Python objects"):
        npy.decode(data, URI)
    assert not trace.exists()
    pickle.loads(pickle.dumps(Canary(trace)))
    assert trace.exists()


def test_S4_text_of_variable_length_is_not_unpickled_either() -> None:
    with pytest.raises(ValueError, match="Python objects"):
        npy.decode(telling("(1,)", "'T'", bytes(64)), URI)


def test_S6_a_file_cut_off_anywhere_is_an_error() -> None:
    file = saved(np.arange(5, dtype="<i4"))
    for end in range(len(file)):
        with pytest.raises(IntegrityError, match=r"array\.npy: byte \d+: ") as caught:
            npy.decode(file[:end], URI)
        assert caught.value.uri == URI


@pytest.mark.parametrize(
    "shape",
    [
        "(1152921504606846976,)",
        "(4294967296, 4294967296)",
        "(-1,)",
        "(-1, -1)",
        "(0, -1)",
        f"({10**30},)",
        f"({10**30}, 0)",
        f"{(2**40,) * 60}",
        f"{(1,) * 65}",
        f"({'9' * 4000}, {'9' * 4000})",
        "(4611686018427387904, 0)",
    ],
)
def test_S6_a_shape_counts_only_if_its_bytes_are_there(shape: str) -> None:
    with pytest.raises(IntegrityError, match=r"byte \d+: "):
        npy.decode(telling(shape, content=bytes(64)), URI)


@pytest.mark.parametrize("claimed", [0xFFFFFFFF, 65537, 5000])
def test_S6_a_header_is_at_most_64_kib_and_in_the_file(claimed: int) -> None:
    with pytest.raises(IntegrityError, match="byte 8: "):
        npy.decode(with_header(b"{}", version=2, claimed=claimed), URI)
    large = with_header(b" " * 65537, bytes(64), version=2)
    with pytest.raises(IntegrityError, match="claims 65537 bytes"):
        npy.decode(large, URI)


@pytest.mark.parametrize(
    "header",
    [
        "-" * 60_000 + "1",
        "(" * 60_000,
        "1+" * 30_000 + "1",
        "a." * 30_000 + "a",
        "[" * 90,
        "{[]: 1}",
        "",
        "\0",
        "5",
        "{'descr': '<f4'}",
        "__import__('os').abort()",
        "'''",
        "{**{}}",
        "9" * 5000,
    ],
)
def test_S6_a_hostile_header_is_an_error(header: str) -> None:
    with pytest.raises(IntegrityError, match=r"byte 0: the \.npy header cannot be parsed"):
        npy.decode(with_header(header.encode()), URI)


@pytest.mark.parametrize("descr", ["'nonsense'", "5", "None", "[5]", "[('a',)]", "('<f4',)", "['']", "('<f4', -1)"])
def test_S6_a_hostile_dtype_is_an_error(descr: str) -> None:
    with pytest.raises(IntegrityError, match="byte "):
        npy.decode(telling("(3,)", descr), URI)


@given(st.binary(max_size=200), st.integers(1, 3))
def test_S6_any_header_gives_an_array_or_a_typed_error(text: bytes, version: int) -> None:
    try:
        npy.decode(with_header(text, version=version), URI)
    except IntegrityError as error:
        message = str(error)
    else:
        message = URI
    assert URI in message


def test_what_is_no_npy_file_is_named() -> None:
    with pytest.raises(IntegrityError, match=r"array\.npy: byte 0: no \.npy file: it starts with b'PK"):
        npy.decode(b"PK\x03\x04 and so on", URI)
    with pytest.raises(ValueError, match=r"byte 6: \.npy version 4\.0"):
        npy.decode(with_header(b"{}", version=4), URI)
