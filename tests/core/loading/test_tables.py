"""Tables and manifests: what a table was saved with is what it is opened with, or nothing is."""

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

import s3dlio
from s3dlio.errors import NotFoundError
from s3dlio.loading import (
    Format,
    Listing,
    Objects,
    Records,
    Table,
    Tally,
    list_samples,
    load_manifest,
    save_manifest,
    table_of,
)
from tests.core.loading.manifests import facts, made, parsed, refused
from tests.core.loading.shards import PAX, TFRECORD, USTAR, Kind, content, plain

each_format = pytest.mark.parametrize("kind", [PAX, TFRECORD], ids=["tar", "tfrecord"])


@pytest.fixture(params=["file", "s3"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A prefix of each scheme."""
    if request.param == "file":
        return f"file://{tmp_path}/"
    uri: str = request.getfixturevalue("moto_s3").uri()
    return uri


@pytest.fixture
def objects(root: str) -> Listing:
    s3dlio.put_many((f"{root}data/{number:02}.bin", bytes(number)) for number in range(5))
    return list_samples(f"{root}data/")


@pytest.fixture
def folder(tmp_path: Path) -> str:
    """A prefix of files, for what does not depend on the storage."""
    return f"file://{tmp_path}/"


def samples(table: Table) -> list[Any]:
    return [plain(table.decoded(index, data)) for index, data in enumerate(table.get(range(len(table)), Tally()))]


class TestATable:
    def test_is_of_objects_unless_their_format_holds_records(self, objects: Listing) -> None:
        for decode in (None, "npy", "npz"):
            table = table_of(objects, decode)
            assert (type(table), table.decode, len(table)) == (Objects, decode, 5)

    def test_of_an_unknown_format_is_refused(self, objects: Listing) -> None:
        with pytest.raises(ValueError, match="decode='csv': use one of 'npy', 'npz', 'tar', 'tfrecord', or None"):
            table_of(objects, "csv")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


class TestAManifest:
    def test_of_objects_is_opened_as_they_were(self, root: str, objects: Listing) -> None:
        save_manifest(f"{root}manifest", Objects(objects))
        loaded = load_manifest(f"{root}manifest")
        assert facts(loaded) == facts(Objects(objects))
        assert samples(loaded) == [bytes(number) for number in range(5)]

    def test_of_objects_of_unknown_sizes_is_so_too(self, root: str, objects: Listing) -> None:
        given = Listing.of([objects[3], objects[0]])
        save_manifest(f"{root}manifest", Objects(given))
        loaded = load_manifest(f"{root}manifest")
        assert facts(loaded) == facts(Objects(given))
        assert loaded.listing.sizes is None
        assert samples(loaded) == [bytes(3), b""]

    @each_format
    def test_of_records_is_opened_without_their_objects_being_read(self, root: str, kind: Kind) -> None:
        kind.put(f"{root}data/", 5, 2)
        table = table_of(list_samples(f"{root}data/"), kind.decode)
        save_manifest(f"{root}manifest", table)
        moved = s3dlio.get(f"{root}data/00.{kind.decode}")
        s3dlio.delete(f"{root}data/00.{kind.decode}")
        loaded = load_manifest(f"{root}manifest")
        assert facts(loaded) == facts(table)
        with pytest.raises(NotFoundError):
            loaded.one(0, Tally())
        s3dlio.put(f"{root}data/00.{kind.decode}", moved)
        assert samples(loaded) == [kind.sample(number) for number in range(10)]
        assert facts(load_manifest(f"{root}manifest", kind.decode)) == facts(table)

    def test_keeps_the_order_of_a_shuffled_epoch(self, folder: str) -> None:
        TFRECORD.put(f"{folder}data/", 50, 2)
        table = table_of(list_samples(f"{folder}data/"), "tfrecord")
        save_manifest(f"{folder}manifest", table)
        assert load_manifest(f"{folder}manifest").order(True, 5) == table.order(True, 5)

    @pytest.mark.parametrize("decode", ["tar", "tfrecord"])
    def test_of_objects_is_opened_for_their_records(self, root: str, decode: Format) -> None:
        kind = Kind(decode)
        kind.put(f"{root}data/", 5, 2, ".idx")
        save_manifest(f"{root}manifest", Objects(list_samples(f"{root}data/")))
        loaded = load_manifest(f"{root}manifest", decode)
        assert [uri.rpartition(".")[2] for uri in loaded.listing] == [decode] * 2
        assert samples(loaded) == [kind.sample(number) for number in range(10)]

    def test_of_objects_is_opened_for_their_arrays(self, folder: str) -> None:
        s3dlio.put(f"{folder}data/one.npy", b"")
        save_manifest(f"{folder}manifest", Objects(list_samples(f"{folder}data/")))
        assert load_manifest(f"{folder}manifest", "npy").decode == "npy"

    @pytest.mark.parametrize("decode", ["tfrecord", "npy"])
    def test_of_records_is_not_opened_for_another_format(self, folder: str, decode: Format) -> None:
        USTAR.put(f"{folder}data/", 2, 1)
        save_manifest(f"{folder}manifest", table_of(list_samples(f"{folder}data/"), "tar"))
        with pytest.raises(ValueError, match=f"manifest of 'tar' records, and decode='{decode}' was asked for"):
            load_manifest(f"{folder}manifest", decode)

    def test_that_is_missing_is_not_found(self, root: str) -> None:
        with pytest.raises(NotFoundError, match="manifest"):
            load_manifest(f"{root}manifest")

    @pytest.mark.parametrize("inside", [True, False], ids=["key", "prefix"])
    def test_keeps_file_names_that_are_not_utf8(self, tmp_path: Path, inside: bool) -> None:
        name = b"caf\xe9".decode(errors="surrogateescape")
        prefix = tmp_path / "data" if inside else tmp_path / name
        prefix.mkdir()
        for number in range(3):
            (prefix / f"{name}{number}é").write_bytes(content(number))
        table = Objects(list_samples(f"file://{prefix}/"))
        save_manifest(f"file://{tmp_path}/manifest", table)
        loaded = load_manifest(f"file://{tmp_path}/manifest")
        assert list(loaded.listing) == [f"file://{prefix}/{name}{number}é" for number in range(3)]
        assert facts(loaded)[4] == facts(table)[4]
        assert samples(loaded) == [content(number) for number in range(3)]
        parsed((tmp_path / "manifest").read_bytes())

    def test_of_no_objects_is_one_too(self, folder: str) -> None:
        save_manifest(f"{folder}manifest", Objects(Listing([])))
        assert len(load_manifest(f"{folder}manifest")) == 0

    @each_format
    def test_is_in_the_safetensors_format(self, folder: str, kind: Kind) -> None:
        kind.put(f"{folder}data/", 3, 2)
        table = table_of(list_samples(f"{folder}data/"), kind.decode)
        save_manifest(f"{folder}manifest", table)
        header, tensors = parsed(bytes(s3dlio.get(f"{folder}manifest")))
        words = header["__metadata__"]
        assert (words["format"], words["version"], words["root"]) == ("s3dlio-manifest", "1", f"{folder}data/")
        start, stop = header["offset"]["data_offsets"]
        assert isinstance(table, Records)
        assert np.frombuffer(tensors[start:stop], "<i8").tolist() == table.columns["offset"].tolist()
        assert header.keys() == {"__metadata__", "text", "ends", "sizes", "shard", "offset", "length"}

    def test_that_another_library_opens(self, folder: str) -> None:
        save_manifest(f"{folder}manifest", Objects(Listing.of([f"{folder}a", f"{folder}bc"])))
        tensors = safetensors.numpy.load(bytes(s3dlio.get(f"{folder}manifest")))
        assert tensors["ends"].size == 3


@pytest.fixture(params=["objects", "records"])
def small(request: pytest.FixtureRequest, folder: str) -> bytes:
    """A manifest of two samples."""
    TFRECORD.put(f"{folder}d/", 1, 2)
    save_manifest(
        f"{folder}m", table_of(list_samples(f"{folder}d/"), "tfrecord" if request.param == "records" else None)
    )
    return bytes(s3dlio.get(f"{folder}m"))


class TestADamagedManifest:
    @pytest.mark.parametrize("mask", [0x01, 0x20, 0x80, 0xFF])
    def test_with_any_flipped_byte_is_refused(self, folder: str, small: bytes, mask: int) -> None:
        """In its blanks too: the sum is that of every byte."""
        for at in range(len(small)):
            refused(f"{folder}m", small[:at] + bytes([small[at] ^ mask]) + small[at + 1 :])

    def test_that_is_cut_off_anywhere_is_refused(self, folder: str, small: bytes) -> None:
        for end in range(len(small)):
            refused(f"{folder}m", small[:end])

    def test_that_goes_on_is_refused(self, folder: str, small: bytes) -> None:
        refused(f"{folder}m", small + b"\0")

    @pytest.mark.parametrize("other", [b"\x89PNG\r\n\x1a\n" * 9, b"{}" * 9, bytes(99), struct.pack("<Q", 2) + b"{}"])
    def test_that_is_none_is_refused(self, folder: str, other: bytes) -> None:
        refused(f"{folder}m", other)

    def test_of_a_later_version_is_refused(self, folder: str, small: bytes) -> None:
        header, tensors = parsed(small)
        header["__metadata__"]["version"] = "2"
        refused(f"{folder}m", made(header, tensors), "its version is '2', not '1'")
