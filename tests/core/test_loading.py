"""Order, shards, listings and reading ahead: every sample once, in an order that seed and epoch decide."""

import pickle
import threading
from itertools import chain, pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s3dlio import config
from s3dlio.errors import InvalidUriError, NotFoundError
from s3dlio.loading import Listing, Order, Permutation, Shard, list_samples, read_ahead
from s3dlio.loading.reader import uris_in_order

SIZES = st.integers(1, 3000)
SEEDS = st.integers(-(2**80), 2**80)
EPOCHS = st.integers(0, 2**40)


def shuffled(n: int, seed: int = 0, epoch: int = 0) -> list[int]:
    return [int(index) for index in Order(n, True, seed).indices(epoch, np.arange(n))]


class TestAPermutation:
    @given(n=SIZES, key=st.binary(max_size=40))
    def test_has_every_element_once(self, n: int, key: bytes) -> None:
        assert sorted(Permutation(n, key).at(np.arange(n)).tolist()) == list(range(n))

    @given(n=SIZES, key=st.binary(max_size=40), data=st.data())
    def test_is_the_same_for_one_position_and_for_many(self, n: int, key: bytes, data: st.DataObject) -> None:
        permutation = Permutation(n, key)
        positions = data.draw(st.lists(st.integers(0, n - 1), min_size=1, max_size=20))
        assert [permutation[each] for each in positions] == permutation.at(np.array(positions)).tolist()

    @pytest.mark.parametrize("n", [2, 3, 4])
    def test_of_few_elements_can_be_any_and_none_is_preferred(self, n: int) -> None:
        seen: dict[tuple[int, ...], int] = {}
        for key in range(4800):
            found = tuple(Permutation(n, str(key).encode()).at(np.arange(n)).tolist())
            seen[found] = seen.get(found, 0) + 1
        expected = 4800 / {2: 2, 3: 6, 4: 24}[n]
        assert len(seen) == {2: 2, 3: 6, 4: 24}[n]
        assert all(0.7 * expected < count < 1.3 * expected for count in seen.values())

    def test_of_many_elements_leaves_no_trace_of_the_old_order(self) -> None:
        mixed = Permutation(100_000, b"key").at(np.arange(100_000))
        assert abs(np.corrcoef(np.arange(100_000), mixed)[0, 1]) < 0.01
        assert abs(np.corrcoef(mixed[:-1], mixed[1:])[0, 1]) < 0.01

    def test_needs_an_element(self) -> None:
        with pytest.raises(ValueError, match="not 0"):
            Permutation(0, b"")

    @pytest.mark.parametrize("position", [-1, 5])
    def test_knows_its_bounds(self, position: int) -> None:
        with pytest.raises(IndexError, match=str(position)):
            Permutation(5, b"")[position]


class TestAnOrder:
    @given(n=SIZES, seed=SEEDS, epoch=EPOCHS)
    def test_is_the_same_for_the_same_seed_and_epoch(self, n: int, seed: int, epoch: int) -> None:
        assert shuffled(n, seed, epoch) == shuffled(n, seed, epoch)

    @given(n=st.integers(50, 3000), seed=SEEDS, epoch=EPOCHS)
    def test_differs_between_epochs_and_between_seeds(self, n: int, seed: int, epoch: int) -> None:
        assert shuffled(n, seed, epoch) != shuffled(n, seed, epoch + 1)
        assert shuffled(n, seed, epoch) != shuffled(n, seed + 1, epoch)

    @given(n=SIZES, epoch=EPOCHS)
    def test_is_as_listed_without_shuffling(self, n: int, epoch: int) -> None:
        assert Order(n).indices(epoch, np.arange(n)).tolist() == list(range(n))

    def test_never_changes_between_releases(self) -> None:
        """A run that resumes with a newer release must continue in the order it began with."""
        assert shuffled(10, seed=7, epoch=0) == [9, 4, 1, 3, 8, 6, 2, 0, 5, 7]
        assert Order(1_000_003, True, 7).index(3, 500_000) == 53_410

    def test_knows_its_bounds(self) -> None:
        with pytest.raises(IndexError, match="5 samples"):
            Order(5).index(0, 5)


class TestShards:
    @given(
        n=st.integers(0, 500),
        world=st.integers(1, 5),
        workers=st.integers(1, 5),
        start=st.integers(0, 500),
    )
    def test_take_each_position_from_the_start_once(self, n: int, world: int, workers: int, start: int) -> None:
        shards = [Shard(rank, world, worker, workers) for rank in range(world) for worker in range(workers)]
        taken = sorted(chain.from_iterable(shard.positions(n, start) for shard in shards))
        assert taken == list(range(start, n))

    @given(n=st.integers(0, 500), world=st.integers(1, 5), workers=st.integers(1, 5), steps=st.integers(0, 40))
    def test_in_step_have_taken_a_prefix_and_resume_behind_it(
        self, n: int, world: int, workers: int, steps: int
    ) -> None:
        shards = [Shard(rank, world, worker, workers) for rank in range(world) for worker in range(workers)]
        reached = shards[0].reached(n, 0, steps)
        taken = sorted(chain.from_iterable(shard.positions(n)[:steps] for shard in shards))
        assert taken == list(range(reached))
        assert [list(each.positions(n, reached)) for each in shards] == [
            list(each.positions(n)[steps:]) for each in shards
        ]

    @pytest.mark.parametrize(("rank", "world", "worker", "workers"), [(2, 2, 0, 1), (0, 0, 0, 1), (0, 1, -1, 3)])
    def test_refuse_a_consumer_outside_of_the_world(self, rank: int, world: int, worker: int, workers: int) -> None:
        with pytest.raises(ValueError, match="count from 0"):
            Shard(rank, world, worker, workers)


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


def is_shared(thread: threading.Thread) -> bool:
    """Tell whether a thread is one of the process's own for I/O, which every read shares."""
    return thread.name.startswith("s3dlio-")


class TestReadingAhead:
    @settings(deadline=None, max_examples=20)
    @given(seed=SEEDS, start=st.integers(0, 20), prefetch=st.integers(1, 30))
    def test_yields_each_sample_with_its_uri_in_order(
        self, shared: Listing, seed: int, start: int, prefetch: int
    ) -> None:
        order = Order(len(shared), True, seed)
        arrived = list(read_ahead(shared, order, epoch=3, start=start, shard=Shard(), prefetch=prefetch))
        assert [uri for uri, _ in arrived] == list(uris_in_order(shared, order, 3, range(start, len(shared))))
        assert all(bytes(data) == Path(uri.removeprefix("file://")).read_bytes() for uri, data in arrived)

    def test_raises_at_a_missing_sample_and_names_it(self, folder: Path) -> None:
        listing = list_samples(f"file://{folder}/")
        lost = listing[7]
        Path(lost.removeprefix("file://")).unlink()
        arrived: list[str] = []
        reading = read_ahead(listing, Order(len(listing)), shard=Shard(), prefetch=4)
        with pytest.raises(NotFoundError, match=lost):
            arrived.extend(uri for uri, _ in reading)
        assert arrived == list(listing)[:7]

    def test_goes_no_further_ahead_than_it_may(self, folder: Path) -> None:
        seen: list[int] = []

        class Watched(Listing):
            __slots__ = ()

            def __getitem__(self, index: int) -> str:
                seen.append(index)
                return super().__getitem__(index)

        listing = Watched(list_samples(f"file://{folder}/"))
        reading = read_ahead(listing, Order(len(listing)), shard=Shard(), prefetch=3)
        for taken in range(1, 10):
            next(reading)
            assert max(seen) < taken + 3
        reading.close()
        assert max(seen) < 12

    def test_leaves_no_thread_of_its_own_when_dropped(self, folder: Path) -> None:
        listing = list_samples(f"file://{folder}/")
        order = Order(len(listing))
        before = {thread for thread in threading.enumerate() if not is_shared(thread)}
        for _ in range(50):
            reading = read_ahead(listing, order, shard=Shard(), prefetch=4)
            next(reading)
            del reading
        after = threading.enumerate()
        assert {thread for thread in after if not is_shared(thread)} <= before
        assert sum(thread.name.startswith("s3dlio-io-") for thread in after) <= config.current().worker_threads

    def test_of_a_million_samples_begins_without_going_through_them(self) -> None:
        """The order is computed as far as it is read."""
        looked_up: list[int] = []

        class Million(Listing):
            __slots__ = ()

            def __len__(self) -> int:
                return 1_000_000

            def __getitem__(self, index: int) -> str:
                looked_up.append(index)
                return f"file:///{index}"

        uris = uris_in_order(Million([]), Order(1_000_000, True), 0, range(1_000_000))
        assert next(uris).startswith("file:///")
        assert len(looked_up) == 1


@pytest.fixture(scope="class")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Listing:
    """Twenty files that no test changes."""
    root = tmp_path_factory.mktemp("shared")
    for index in range(20):
        (root / f"{index:02}").write_bytes(bytes([index]) * index)
    return list_samples(f"file://{root}/")
