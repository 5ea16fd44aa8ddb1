"""Shards, progress and cursors: every sample as often as promised, whoever takes it and whenever they stop."""

from collections import Counter
from collections.abc import Iterator
from itertools import islice

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s3dlio.loading import Cursor, Deal, Order, Progress, Shard, Start, State, Uneven, opened, together

COUNTS = st.integers(0, 300)
WORLDS = st.integers(1, 5)
WORKERS = st.integers(1, 4)
ORDERS = st.sampled_from([(1, 1), (1, 1), (7, 1), (4, 3)])
POLICIES: st.SearchStrategy[Uneven] = st.sampled_from(["keep", "drop", "pad", "wrap"])


def consumers(world: int, workers: int) -> list[Shard]:
    return [Shard(rank, world, worker, workers) for rank in range(world) for worker in range(workers)]


def cursors(start: Start, world: int, workers: int, uneven: Uneven) -> list[Cursor]:
    return [Cursor(start, shard, uneven) for shard in consumers(world, workers)]


def taken(cursor: Cursor, count: int | None = None) -> list[int]:
    """Take turns, all of them if no number is given; return the samples."""
    samples: list[int] = []
    for turn, index in islice(cursor.indices(), count):
        cursor.take(turn)
        samples.append(index)
    return samples


def promised(samples: Counter[int], n: int, world: int, uneven: Uneven) -> bool:
    """Tell whether an undisturbed epoch brought each sample as often as the policy promises."""
    rest = n % world
    if uneven == "keep" or not rest:
        return samples == Counter(range(n))
    if uneven == "drop":
        return max(samples.values(), default=1) == 1 and samples.total() == n - rest
    more = samples - Counter(range(n))
    return set(samples) == set(range(n)) and more.total() == world - rest


class TestAnEpoch:
    @settings(deadline=None)
    @given(n=COUNTS, world=WORLDS, workers=WORKERS, order=ORDERS, uneven=POLICIES, shuffle=st.booleans())
    def test_brings_each_sample_as_often_as_promised(
        self, n: int, world: int, workers: int, order: tuple[int, int], uneven: Uneven, shuffle: bool
    ) -> None:
        start = Start(Order(n, shuffle, 5, *order), 3)
        all_of_them = cursors(start, world, workers, uneven)
        assert promised(Counter(index for each in all_of_them for index in taken(each)), n, world, uneven)

    @settings(deadline=None)
    @given(n=COUNTS, world=WORLDS, workers=WORKERS, order=ORDERS, uneven=st.sampled_from(["drop", "pad", "wrap"]))
    def test_has_the_same_steps_on_every_rank(
        self, n: int, world: int, workers: int, order: tuple[int, int], uneven: Uneven
    ) -> None:
        start = Start(Order(n, True, 5, *order))
        turns = [[Cursor(start, Shard(rank, world, each, workers), uneven).turns for each in range(workers)]
                 for rank in range(world)]  # fmt: skip
        assert all(each == turns[0] for each in turns)

    def test_refuses_an_uneven_rest_when_asked_to(self) -> None:
        with pytest.raises(ValueError, match="10 samples cannot be shared equally by 3 ranks"):
            Deal(10, 3, uneven="error")
        assert Deal(12, 3, uneven="error").dealt == 12

    def test_that_is_padded_ends_with_its_last_sample_again(self) -> None:
        ranks = cursors(Start(Order(4)), 3, 1, "pad")
        assert [taken(each) for each in ranks] == [[0, 3], [1, 3], [2, 3]]

    def test_that_is_wrapped_ends_with_its_first_samples(self) -> None:
        ranks = cursors(Start(Order(4)), 3, 1, "wrap")
        assert [taken(each) for each in ranks] == [[0, 3], [1, 0], [2, 1]]

    def test_of_fewer_samples_than_ranks_wraps_as_often_as_it_must(self) -> None:
        ranks = cursors(Start(Order(2)), 5, 1, "wrap")
        assert [taken(each) for each in ranks] == [[0], [1], [0], [1], [0]]


class TestAResumedEpoch:
    @settings(deadline=None, max_examples=300)
    @given(
        n=COUNTS,
        order=ORDERS,
        world=WORLDS,
        workers=WORKERS,
        then=st.tuples(WORLDS, WORKERS),
        uneven=POLICIES,
        steps=st.lists(st.integers(0, 60), min_size=4, max_size=4),
    )
    def test_brings_each_remaining_sample_once_to_any_other_number_of_consumers(
        self,
        n: int,
        order: tuple[int, int],
        world: int,
        workers: int,
        then: tuple[int, int],
        uneven: Uneven,
        steps: list[int],
    ) -> None:
        """Ranks are in step; the workers of a rank need not be."""
        start = Start(Order(n, True, 9, *order), 1)
        first = cursors(start, world, workers, uneven)
        before = Counter(index for each in first for index in taken(each, steps[each.shard.worker]))
        state = together(each.state() if workers == 1 else each.own_state() for each in first[:workers])
        if any(each.left for each in first):
            after = _rest(state, start.order, then)
            assert set(before) | set(after) == set(range(n))
            assert not set(before) & set(after)
            assert max(after.values(), default=1) == 1

    @settings(deadline=None)
    @given(n=COUNTS, order=ORDERS, world=WORLDS, workers=WORKERS, stops=st.lists(st.integers(0, 40), max_size=6))
    def test_may_be_interrupted_again_and_again(
        self, n: int, order: tuple[int, int], world: int, workers: int, stops: list[int]
    ) -> None:
        start = Start(Order(n, True, 9, *order), 1)
        seen: Counter[int] = Counter()
        for number, stop in enumerate([*stops, n]):
            all_of_them = cursors(start, world + number % 3, workers + number % 2, "keep")
            seen.update(index for each in all_of_them for index in taken(each, stop))
            start = opened(together(each.own_state() for each in all_of_them), start.order)
        assert seen == Counter(range(n))

    @settings(deadline=None)
    @given(n=COUNTS, world=WORLDS, workers=WORKERS, uneven=POLICIES, order=ORDERS, stop=st.integers(0, 50))
    def test_goes_on_for_each_consumer_with_what_would_have_come_next(
        self, n: int, world: int, workers: int, uneven: Uneven, order: tuple[int, int], stop: int
    ) -> None:
        start = Start(Order(n, True, 2, *order), 4)
        for shard in consumers(world, workers):
            whole, stopped = Cursor(start, shard, uneven), Cursor(start, shard, uneven)
            expected = taken(whole)
            taken(stopped, stop)
            resumed = Cursor(Start(Order(n, True, 0, *order)), shard, "keep")
            resumed.load(stopped.own_state())
            assert taken(resumed) == expected[stop:]

    @settings(deadline=None)
    @given(n=COUNTS, world=WORLDS, workers=WORKERS, seed=st.integers(0, 99), data=st.data())
    def test_misses_nothing_that_was_taken_in_the_order_of_arrival(
        self, n: int, world: int, workers: int, seed: int, data: st.DataObject
    ) -> None:
        start = Start(Order(n, True, seed))
        all_of_them = cursors(start, world, workers, "keep")
        before: set[int] = set()
        for each in all_of_them:
            turns = list(each.indices())
            for turn, index in data.draw(st.lists(st.sampled_from(turns), unique=True) if turns else st.just([])):
                each.take(turn)
                before.add(index)
        state = together(each.own_state() for each in all_of_them)
        assert _rest(state, start.order, (2, 2)) == Counter(set(range(n)) - before)

    def test_that_was_over_has_nothing_left(self) -> None:
        cursor = Cursor(Start(Order(10)), Shard(1, 4), "drop")
        taken(cursor)
        assert cursor.state()["position"] == 10

    def test_is_two_numbers_and_a_seed_when_ranks_are_in_step(self) -> None:
        cursor = Cursor(Start(Order(100, True, 8), 3), Shard(1, 4))
        taken(cursor, 5)
        assert cursor.state() == {"seed": 8, "epoch": 3, "samples": 100, "position": 20}


def _rest(state: State, order: Order, then: tuple[int, int]) -> Counter[int]:
    """Return what as many ranks and workers as `then` get of the epoch that a state is of."""
    return Counter(index for each in cursors(opened(state, order), *then, "keep") for index in taken(each))


def worker_states() -> Iterator[State]:
    for shard in consumers(1, 2):
        cursor = Cursor(Start(Order(10)), shard)
        taken(cursor, 2)
        yield cursor.state()


class TestAState:
    def test_of_one_worker_is_refused_by_another(self) -> None:
        first, _ = worker_states()
        with pytest.raises(ValueError, match="load the state into the dataset before"):
            Cursor(Start(Order(10)), Shard(0, 1, 0, 3)).load(first)

    def test_of_one_worker_does_not_tell_where_the_epoch_stands(self) -> None:
        first, _ = worker_states()
        with pytest.raises(ValueError, match="1 states are not those of the 2 workers"):
            together([first])

    def test_of_another_epoch_does_not_mix_in(self) -> None:
        first, second = worker_states()
        with pytest.raises(ValueError, match="not of one epoch"):
            together([first, {**second, "epoch": 1}])

    def test_of_other_samples_is_refused(self) -> None:
        with pytest.raises(ValueError, match="of 10 samples, and the dataset has 11"):
            opened({"seed": 1, "epoch": 0, "samples": 10, "position": 3}, Order(11))

    def test_in_order_of_arrival_needs_those_of_every_rank(self) -> None:
        cursor = Cursor(Start(Order(10)), Shard(0, 2))
        cursor.take(3)
        with pytest.raises(ValueError, match="give the states of every rank"):
            cursor.state()


class TestProgress:
    @given(n=st.integers(0, 60), data=st.data())
    def test_tells_what_is_left_and_where(self, n: int, data: st.DataObject) -> None:
        progress, left = Progress(), list(range(n))
        for _ in range(3):
            start = data.draw(st.integers(0, len(left)))
            stop = data.draw(st.integers(start, len(left)))
            progress = progress.with_taken([(start, stop)])
            del left[start:stop]
            assert progress.left(n) == len(left)
            assert progress.positions(np.arange(len(left))).tolist() == left

    def test_refuses_ranges_out_of_order(self) -> None:
        with pytest.raises(ValueError, match="ascending"):
            Progress(5, ((4, 6),))


@pytest.mark.parametrize(("rank", "world", "worker", "workers"), [(2, 2, 0, 1), (0, 0, 0, 1), (0, 1, -1, 3)])
def test_a_shard_outside_of_the_world_is_refused(rank: int, world: int, worker: int, workers: int) -> None:
    with pytest.raises(ValueError, match="count from 0"):
        Shard(rank, world, worker, workers)
