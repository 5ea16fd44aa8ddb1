"""Order: which sample stands where, decided by seed and epoch alone."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s3dlio.loading import Order, Permutation

SIZES = st.integers(1, 3000)
SEEDS = st.integers(-(2**80), 2**80)
EPOCHS = st.integers(0, 2**40)
PINNED = [4, 1, 5, 0, 2, 3, 7, 8, 6, 9]


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


class TestAnOrderOfBlocks:
    @settings(deadline=None)
    @given(n=SIZES, seed=SEEDS, epoch=EPOCHS, block=st.integers(2, 40), group=st.integers(1, 5))
    def test_has_every_sample_once(self, n: int, seed: int, epoch: int, block: int, group: int) -> None:
        found = Order(n, True, seed, block, group).indices(epoch, np.arange(n))
        assert sorted(found.tolist()) == list(range(n))

    @given(n=SIZES, block=st.integers(2, 40), group=st.integers(1, 5), data=st.data())
    def test_is_the_same_for_one_position_and_for_many(
        self, n: int, block: int, group: int, data: st.DataObject
    ) -> None:
        order = Order(n, True, 3, block, group)
        positions = data.draw(st.lists(st.integers(0, n - 1), min_size=1, max_size=20))
        assert [order.index(1, each) for each in positions] == order.indices(1, np.array(positions)).tolist()

    def test_takes_whole_runs_of_neighbours_from_storage_for_each_group(self) -> None:
        order = Order(10_000, True, 1, block=100, group=4)
        for first in range(0, 8000, 400):
            neighbours = np.sort(order.indices(0, np.arange(first, first + 400)))
            assert np.count_nonzero(np.diff(neighbours) != 1) <= 4

    def test_leaves_no_trace_of_the_old_order_within_a_group_and_between_them(self) -> None:
        mixed = Order(100_000, True, 1, block=100, group=16).indices(0, np.arange(100_000))
        assert abs(np.corrcoef(np.arange(100_000), mixed)[0, 1]) < 0.1
        assert abs(np.corrcoef(mixed[:-1], mixed[1:])[0, 1]) < 0.1

    def test_begins_its_blocks_elsewhere_in_another_epoch(self) -> None:
        order = Order(1000, True, 1, block=100)
        firsts = [int(order.indices(epoch, np.arange(100)).min()) % 100 for epoch in range(20)]
        assert len(set(firsts)) > 10

    def test_never_changes_between_releases(self) -> None:
        assert Order(10, True, 7, block=3, group=2).indices(0, np.arange(10)).tolist() == PINNED
