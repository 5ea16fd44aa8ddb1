"""A .npz file: the arrays NumPy would load, in the memory of the file if they are stored, and no bomb goes off."""

import io
import resource
import struct
import time
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from s3dlio.buffer import BytesView, lease
from s3dlio.errors import IntegrityError
from s3dlio.formats import npz

URI = "s3://bucket/arrays.npz"
Save = Callable[..., None]
STORED, DEFLATED = zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED

each_save = pytest.mark.parametrize("save", [np.savez, np.savez_compressed])


def saved(save: Save, **named: Any) -> bytes:
    """Return the file that NumPy writes."""
    file = io.BytesIO()
    save(file, **named)
    return file.getvalue()


def npy_file(array: Any) -> bytes:
    """Return an array as a .npy file."""
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def zipped(*members: tuple[str, bytes], method: int = STORED) -> bytes:
    """Return an archive with any members."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return file.getvalue()


def leased(content: bytes) -> BytesView:
    """Return a leased view with this content."""
    view = lease(len(content))
    view.memoryview()[:] = content
    return view


def patched(data: bytes, at: int, value: bytes) -> bytes:
    """Return data with some bytes replaced."""
    return data[:at] + value + data[at + len(value) :]


def central(data: bytes) -> int:
    """Return where the first entry of the directory is."""
    return data.index(b"PK\x01\x02")


def outcome(data: bytes) -> str | list[Any]:
    """Return the values of the arrays, or the typed error."""
    try:
        return [each.tolist() for each in npz.decode(data, URI).values()]
    except (IntegrityError, ValueError) as error:
        return str(error)


@each_save
@given(named=st.dictionaries(
    st.text("abcäö_/ .", min_size=1, max_size=5).filter(lambda name: name != "file"),
    arrays.arrays(st.sampled_from(["<f4", ">i8", "S3", "?"]), arrays.array_shapes(min_dims=0, min_side=0)),
    max_size=4,
))  # fmt: skip
@settings(max_examples=60)
def test_the_arrays_are_those_that_numpy_loads(save: Save, named: dict[str, Any]) -> None:
    file = saved(save, **named)
    decoded = npz.decode(leased(file), URI)
    with np.load(io.BytesIO(file)) as expected:
        assert list(decoded) == expected.files
        for name in decoded:
            assert decoded[name].dtype == expected[name].dtype
            assert decoded[name].shape == expected[name].shape
            assert decoded[name].tobytes() == expected[name].tobytes()


def test_stored_arrays_share_the_memory_of_the_file_where_they_are_aligned() -> None:
    data = leased(saved(np.savez, a=np.arange(100, dtype="u1"), b=np.arange(50, dtype="<f8")))
    decoded = npz.decode(data, URI)
    assert np.shares_memory(decoded["a"], np.asarray(data))
    assert decoded["a"].flags.writeable
    assert decoded["b"].flags.aligned
    assert not npz.decode(bytes(data), URI)["a"].flags.writeable


def test_deflated_arrays_are_aligned_and_writable() -> None:
    decoded = npz.decode(saved(np.savez_compressed, a=np.arange(500_000, dtype="<f4")), URI)["a"]
    assert decoded.ctypes.data % 64 == 0
    assert decoded.flags.writeable
    assert np.array_equal(decoded, np.arange(500_000, dtype="<f4"))


@each_save
def test_one_array_is_decoded_alone(save: Save) -> None:
    data = bytearray(saved(save, a=np.random.default_rng(0).random(1000), b=np.ones(3)))
    data[2000] ^= 1  # inside a, which nobody asks for
    assert npz.decode(data, URI, "b")["b"].tolist() == [1, 1, 1]
    with pytest.raises(IntegrityError, match=r"arrays\.npz: byte \d+: member 'a\.npy' "):
        npz.decode(data, URI)
    with pytest.raises(KeyError, match="no array 'c'; it has a, b"):
        npz.decode(data, URI, "c")


def test_an_archive_written_to_a_pipe_is_read() -> None:
    file = io.BytesIO()

    class Pipe(io.RawIOBase):
        def writable(self) -> bool:
            return True

        def write(self, data: Any, /) -> int:
            return file.write(data)

    with zipfile.ZipFile(Pipe(), "w", DEFLATED) as archive:
        archive.writestr("a.npy", npy_file([1, 2]))
    assert npz.decode(file.getvalue(), URI)["a"].tolist() == [1, 2]


def test_an_archive_without_arrays_is_read() -> None:
    assert npz.decode(saved(np.savez), URI) == {}
    with pytest.raises(KeyError, match="it has none"):
        npz.decode(saved(np.savez), URI, "a")


@each_save
def test_S6_a_file_cut_off_anywhere_is_an_error(save: Save) -> None:
    file = saved(save, a=np.arange(5), b=np.ones((2, 2)))
    for end in range(len(file)):
        with pytest.raises(IntegrityError, match=r"arrays\.npz: byte 0: ") as caught:
            npz.decode(file[:end], URI)
        assert caught.value.uri == URI


@each_save
def test_a_flipped_bit_gives_a_typed_error_or_changes_no_array(save: Save) -> None:
    file = saved(save, a=np.arange(5))
    for at in range(len(file)):
        found = outcome(patched(file, at, bytes([file[at] ^ 0x10])))
        assert URI in found if isinstance(found, str) else found in ([[0, 1, 2, 3, 4]], [])


@pytest.mark.parametrize("method", [STORED, DEFLATED])
def test_S4_objects_are_never_unpickled(tmp_path: Path, method: int) -> None:
    trace = tmp_path / "trace"

    class Canary:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (trace,)

    data = zipped(("a.npy", npy_file(np.array([Canary()], "O"))), method=method)
    with pytest.raises(ValueError, match=r"arrays\.npz: byte 0: array 'a': dtype object holds Python objects"):
        npz.decode(data, URI)
    assert not trace.exists()


def declaring(content: bytes, size: int) -> bytes:
    """Return an archive with one deflated member that declares a size which is not its own."""
    data = zipped(("a.npy", content), method=DEFLATED)
    return patched(data, central(data) + 24, struct.pack("<I", size))


@pytest.mark.parametrize(("size", "declared"), [(200_000_000, 100), (9_999_999, 9_999_998)])
def test_S5_a_member_inflates_to_no_more_than_declared(size: int, declared: int) -> None:
    bomb = declaring(bytes(size), declared)
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    with pytest.raises(IntegrityError, match="is longer than declared"):
        npz.decode(bomb, URI)
    assert time.process_time() - start < 0.1
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 << 10  # KiB


def test_S5_a_member_that_inflates_to_less_than_declared_is_an_error() -> None:
    with pytest.raises(IntegrityError, match="inflates to 1000 bytes where 1001 are declared"):
        npz.decode(declaring(bytes(1000), 1001), URI)


def test_S5_a_size_that_deflate_cannot_reach_is_refused_before_inflating() -> None:
    with pytest.raises(IntegrityError, match="cannot inflate to 4294967294"):
        npz.decode(declaring(bytes(1_000_000), 0xFFFFFFFE), URI)


def test_S5_the_arrays_inflate_to_no_more_than_the_limit_in_total() -> None:
    data = saved(np.savez_compressed, a=np.zeros(1000), b=np.zeros(1000))
    assert len(npz.decode(data, URI, limit=2 * (8000 + 128))) == 2
    assert len(npz.decode(data, URI, "a", limit=8000 + 128)) == 1
    with pytest.raises(ValueError, match="inflate to 16256 bytes, more than the limit of 16255"):
        npz.decode(data, URI, limit=2 * (8000 + 128) - 1)


def test_S5_members_that_overlap_are_refused() -> None:
    data = zipped(("a.npy", npy_file([1])), ("b.npy", npy_file([1])))
    second = data.index(b"PK\x01\x02", central(data) + 1)
    quoted = patched(data, second + 42, bytes(4))  # the directory has it at the place of the first one
    with pytest.raises(IntegrityError, match=r"member 'b\.npy' has another header"):
        npz.decode(quoted, URI)
    longer = patched(data, central(data) + 20, struct.pack("<II", 300, 300))
    with pytest.raises(IntegrityError, match=r"members 'a\.npy' and 'b\.npy' overlap"):
        npz.decode(longer, URI)
    into = patched(data, second + 20, struct.pack("<II", 300, 300))
    with pytest.raises(IntegrityError, match="runs into the directory"):
        npz.decode(into, URI)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_an_array_that_is_there_twice_is_an_error() -> None:
    with pytest.raises(IntegrityError, match="array 'a' is there twice"):
        npz.decode(zipped(("a.npy", npy_file([1])), ("a.npy", npy_file([2]))), URI)


@pytest.mark.parametrize("name", ["a.txt", "folder/", ".npz", "a.NPY"])
def test_a_member_that_is_no_array_is_named(name: str) -> None:
    with pytest.raises(ValueError, match=f"byte 0: member '{name}' is no .npy file"):
        npz.decode(zipped((name, b"text")), URI)


def test_members_that_need_a_password_or_another_method_are_named() -> None:
    data = zipped(("a.npy", npy_file([1])))
    locked = patched(patched(data, 6, b"\x01"), central(data) + 8, b"\x01")
    with pytest.raises(ValueError, match=r"byte 0: member 'a\.npy' is encrypted"):
        npz.decode(locked, URI)
    with pytest.raises(ValueError, match=r"byte 0: member 'a\.npy' is compressed by method 14"):
        npz.decode(zipped(("a.npy", npy_file([1])), method=zipfile.ZIP_LZMA), URI)


def test_a_wrong_crc_is_an_error_of_the_member() -> None:
    data = zipped(("a.npy", npy_file([1])))
    crc = zlib.crc32(npy_file([1])) ^ 1
    with pytest.raises(IntegrityError, match=r"byte 35: member 'a\.npy' does not have its CRC-32"):
        npz.decode(patched(data, central(data) + 16, struct.pack("<I", crc)), URI)


def test_a_member_that_is_no_npy_file_inside_is_an_error() -> None:
    with pytest.raises(IntegrityError, match=r"array 'a': no \.npy file: it starts with b'text'"):
        npz.decode(zipped(("a.npy", b"text")), URI)


@pytest.mark.parametrize("data", [b"", b"PK", bytes(1000), b"PK\x05\x06" + b"\xff" * 18])
def test_what_is_no_archive_is_an_error(data: bytes) -> None:
    with pytest.raises(IntegrityError, match=r"arrays\.npz: byte 0: no \.npz file"):
        npz.decode(data, URI)


@given(st.binary(max_size=300), st.integers(0, 600))
def test_S6_any_bytes_in_the_directory_give_arrays_or_a_typed_error(noise: bytes, at: int) -> None:
    file = saved(np.savez, a=np.arange(5), b=np.ones(2))
    start = central(file) + at % (len(file) - central(file))
    data = patched(file, start, noise[: len(file) - start])
    found = outcome(data)
    assert not isinstance(found, str) or URI in found
