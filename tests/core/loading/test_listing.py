"""Listings: the objects of a dataset, packed, shared and found."""

import multiprocessing
import pickle
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3dlio.errors import InvalidUriError, NotFoundError
from s3dlio.loading import Listing, list_samples


class TestAListing:
    @given(uris=st.lists(st.text(max_size=8)))
    def test_is_the_sequence_it_was_made_of(self, uris: list[str]) -> None:
        listing = Listing(uris)
        assert list(listing) == uris
        assert list(pickle.loads(pickle.dumps(listing))) == uris
        assert [listing[each - len(uris)] for each in range(len(uris))] == uris

    def test_pickles_in_little_more_than_its_keys(self) -> None:
        uris = [f"s3://bucket/train/{index:012}" for index in range(10_000)]
        assert len(pickle.dumps(Listing(uris))) < len("".join(uris)) + 8 * len(uris) + 1000

    def test_keeps_file_names_that_are_not_utf8(self) -> None:
        uri = "file:///tmp/" + b"\xff\xfe".decode(errors="surrogateescape")
        assert list(Listing([uri])) == [uri]

    @pytest.mark.parametrize("index", [-3, 2])
    def test_knows_its_bounds(self, index: int) -> None:
        with pytest.raises(IndexError, match=rf"{index} of a dataset of 2"):
            Listing(["a", "b"])[index]

    def test_of_given_uris_refuses_one_str_none_and_what_is_no_uri(self) -> None:
        with pytest.raises(TypeError, match="not one str"):
            Listing.of("s3://bucket/key")
        with pytest.raises(ValueError, match="at least one"):
            Listing.of([])
        with pytest.raises(InvalidUriError, match="no scheme"):
            Listing.of(["key"])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twenty files in two folders, a file of another kind and an empty folder."""
    for index in range(20):
        path = tmp_path / f"part{index % 2}" / f"{index:02}.bin"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(bytes([index]) * 10)
    (tmp_path / "notes.txt").write_text("notes")
    (tmp_path / "empty").mkdir()
    return tmp_path


class TestListingSamples:
    def test_finds_objects_at_every_depth_in_order_and_no_folders(self, folder: Path) -> None:
        found = list(list_samples(f"file://{folder}/"))
        assert len(found) == 21
        assert all(first < second for first, second in pairwise(found))
        assert not [uri for uri in found if uri.endswith("/")]

    def test_selects_by_pattern(self, folder: Path) -> None:
        assert list(list_samples(f"file://{folder}/", "*.txt")) == [f"file://{folder}/notes.txt"]

    @pytest.mark.parametrize("pattern", [None, "*.npz"])
    def test_raises_at_once_when_there_is_nothing(self, folder: Path, pattern: str | None) -> None:
        uri = f"file://{folder}/empty/"
        with pytest.raises(NotFoundError, match="empty/") as caught:
            list_samples(uri, pattern)
        assert caught.value.uri == uri
        assert pattern is None or pattern in str(caught.value)

    def test_knows_the_sizes_that_were_listed(self, folder: Path) -> None:
        sizes = list_samples(f"file://{folder}/").sizes
        assert sizes is not None
        assert sizes.tolist() == [5] + [10] * 20

    def test_knows_no_sizes_of_given_uris(self) -> None:
        assert Listing.of(["s3://bucket/key"]).sizes is None

    def test_keeps_what_all_uris_begin_with_once(self, folder: Path) -> None:
        listing = list_samples(f"file://{folder}/part0/")
        assert listing.root == f"file://{folder}/part0/"
        assert listing[0] == f"file://{folder}/part0/00.bin"
        assert listing.columns["text"].size == len("00.bin") * 10


def anonymous_memory(listing: Listing) -> tuple[str, bool]:
    """Return a URI of a listing that came from another process, and whether its keys are in shared memory."""
    start = listing.columns["text"].ctypes.data
    for line in Path("/proc/self/maps").read_text().splitlines():
        first, last = (int(end, 16) for end in line.split()[0].split("-"))
        if first <= start < last:
            return listing[-1], "s3dlio-columns" in line
    raise AssertionError("the keys are nowhere")


class TestAListingOfManyObjects:
    def test_costs_little_more_than_its_keys(self) -> None:
        keys = [(f"{index:012}", 7) for index in range(100_000)]
        listing = Listing.below("s3://bucket/train/", keys)
        size = sum(array.nbytes for array in listing.columns.arrays.values())
        assert size <= 100_000 * (12 + 4 + 8) + 4

    @pytest.mark.parametrize("method", ["spawn", "forkserver"])
    def test_is_mapped_by_started_processes_and_not_copied(self, method: str) -> None:
        listing = Listing.below("s3://bucket/train/", [(f"{index:012}", 7) for index in range(100_000)])
        with multiprocessing.get_context(method).Pool(1, initializer=_keep, initargs=(listing,)) as pool:
            assert pool.apply(_kept_memory) == ("s3://bucket/train/000000099999", True)

    def test_is_copied_by_any_other_pickle(self) -> None:
        listing = Listing.below("s3://bucket/train/", [(f"{index:012}", 7) for index in range(100_000)])
        copy = pickle.loads(pickle.dumps(listing))
        assert copy[-1] == listing[-1]
        assert np.array_equal(copy.columns["sizes"], listing.columns["sizes"])


_kept: list[Listing] = []


def _keep(listing: Listing) -> None:
    _kept.append(listing)


def _kept_memory() -> tuple[str, bool]:
    return anonymous_memory(_kept[0])
