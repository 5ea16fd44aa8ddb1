"""Datasets and loaders without a framework: every way brings the same samples, and leaves nothing behind."""

import asyncio
import re
from collections.abc import Callable, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

import s3dlio
from s3dlio.buffer import BytesView
from s3dlio.errors import NotFoundError
from s3dlio.loading import ObjectLoader, Order, PyLoaderOptions, create_async_loader, create_dataset
from tests.core.oplog_lines import Log, logged

COUNT = 20

Batches = list[list[bytes]]


def content(number: int) -> bytes:
    return bytes([number]) * number


def filled(root: str) -> str:
    s3dlio.put_many((f"{root}{number:02}.bin", content(number)) for number in range(COUNT))
    return root


@pytest.fixture(params=["file", "s3"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A prefix of each scheme, with twenty objects that tell their number."""
    if request.param == "file":
        return filled(f"file://{tmp_path}/data/")
    return filled(request.getfixturevalue("moto_s3").uri("data/"))


@pytest.fixture
def folder(tmp_path: Path) -> str:
    """The same in a folder, for what does not depend on the storage."""
    return filled(f"file://{tmp_path}/data/")


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    with logged(tmp_path / "operations.tsv") as log:
        yield log


def taken(batches: list[list[BytesView]]) -> Batches:
    return [[bytes(each) for each in batch] for batch in batches]


def together(batches: Batches) -> list[bytes]:
    return [each for batch in batches for each in batch]


async def awaited(loader: ObjectLoader) -> Batches:
    return taken([batch async for batch in loader])


def by_for(loader: ObjectLoader) -> Batches:
    return taken([*loader])


def by_async_for(loader: ObjectLoader) -> Batches:
    return asyncio.run(awaited(loader))


def by_index(loader: ObjectLoader) -> Batches:
    return taken([loader[number] for number in range(len(loader))])


each_way = pytest.mark.parametrize("way", [by_for, by_async_for, by_index])
Way = Callable[[ObjectLoader], Batches]


class TestADataset:
    def test_is_the_sequence_of_its_objects(self, root: str) -> None:
        dataset = create_dataset(root)
        assert len(dataset) == COUNT
        assert dataset.uris == [f"{root}{number:02}.bin" for number in range(COUNT)]
        assert [bytes(dataset[number]) for number in range(COUNT)] == [content(number) for number in range(COUNT)]
        assert [bytes(dataset[number - COUNT]) for number in range(COUNT)] == [bytes(dataset[n]) for n in range(COUNT)]
        assert type(dataset[1]) is BytesView

    @pytest.mark.parametrize("index", [COUNT, -COUNT - 1])
    def test_ends_where_it_ends(self, folder: str, index: int) -> None:
        with pytest.raises(IndexError, match=f"sample {index} of a dataset of {COUNT}"):
            create_dataset(folder)[index]

    def test_is_iterated_again_and_again(self, root: str) -> None:
        dataset = create_dataset(root)
        for _ in range(2):
            assert [bytes(each) for each in dataset] == [content(number) for number in range(COUNT)]

    def test_gives_its_uris_as_a_list_of_the_callers_own(self, folder: str) -> None:
        dataset = create_dataset(folder)
        dataset.uris.clear()
        assert len(dataset.uris) == COUNT

    def test_is_shuffled_by_a_seed(self, folder: str) -> None:
        def order(seed: int) -> list[bytes]:
            return [bytes(each) for each in create_dataset(folder, PyLoaderOptions().shuffle(True, seed))]

        assert order(1) == order(1) != order(2)
        assert sorted(order(1)) == [content(number) for number in range(COUNT)]
        assert order(1) != sorted(order(1))

    @pytest.mark.parametrize("shuffle", [False, True])
    def test_is_shared_by_ranks(self, root: str, shuffle: bool) -> None:
        options = PyLoaderOptions().shuffle(shuffle, 3)
        ranks = [[*create_dataset(root, options.distributed_sampling(rank, 3))] for rank in range(3)]
        assert [len(rank) for rank in ranks] == [7, 7, 6]
        assert sorted(bytes(each) for rank in ranks for each in rank) == [content(number) for number in range(COUNT)]

    @pytest.mark.parametrize("pattern", ["1?.bin", re.compile(r"^1\d")])
    def test_has_the_objects_that_match(self, root: str, pattern: str | re.Pattern[str]) -> None:
        dataset = create_dataset(root, pattern=pattern)
        assert dataset.uris == [f"{root}{number:02}.bin" for number in range(10, 20)]
        assert [bytes(each) for each in dataset] == [content(number) for number in range(10, 20)]

    def test_of_nothing_is_not_found(self, root: str) -> None:
        for ask in (create_dataset, create_async_loader):
            with pytest.raises(NotFoundError, match="missing/"):
                ask(f"{root}missing/")
            with pytest.raises(NotFoundError, match=r"\*\.npz"):
                ask(root, pattern="*.npz")

    def test_raises_at_an_object_that_is_gone_and_names_it(self, root: str) -> None:
        dataset = create_dataset(root)
        s3dlio.delete(dataset.uris[7])
        arrived: list[int] = []
        with pytest.raises(NotFoundError, match=dataset.uris[7]):
            arrived.extend(len(each) for each in dataset)
        assert arrived == list(range(7))
        with pytest.raises(NotFoundError, match=dataset.uris[7]):
            _ = dataset[7]

    def test_is_fetched_no_further_when_the_loop_is_left(self, folder: str, log: Log) -> None:
        for _ in create_dataset(folder, PyLoaderOptions().prefetch(3)):
            break
        assert len([op for op, _ in log.ops() if op == "GET"]) <= 4


class TestALoader:
    @each_way
    def test_brings_batches_of_32_unless_told_otherwise(self, root: str, way: Way) -> None:
        s3dlio.put_many((f"{root}more/{number:02}", b"") for number in range(20))
        loader = create_async_loader(root)
        assert [len(batch) for batch in way(loader)] == [32, 8]
        assert len(loader) == 2

    @each_way
    @pytest.mark.parametrize(
        ("size", "drop_last", "sizes"),
        [(6, False, [6, 6, 6, 2]), (6, True, [6, 6, 6]), (5, True, [5] * 4), (21, False, [20]), (21, True, [])],
    )
    def test_brings_every_object_but_a_dropped_rest(
        self, root: str, way: Way, size: int, drop_last: bool, sizes: list[int]
    ) -> None:
        loader = create_async_loader(root, PyLoaderOptions().with_batch_size(size).drop_last(drop_last))
        batches = way(loader)
        assert len(loader) == len(sizes)
        assert [len(batch) for batch in batches] == sizes
        assert together(batches) == [content(number) for number in range(sum(sizes))]

    def test_has_batches_from_its_end(self, root: str) -> None:
        loader = create_async_loader(root, PyLoaderOptions().with_batch_size(6))
        assert taken([loader[-1]]) == [[content(18), content(19)]]
        assert taken([loader[-4]]) == taken([loader[0]])
        for index in (4, -5):
            with pytest.raises(IndexError, match=f"batch {index} of 4"):
                _ = loader[index]

    @pytest.mark.parametrize("shard", [None, (1, 3)])
    def test_brings_the_same_epoch_each_way(self, root: str, shard: tuple[int, int] | None) -> None:
        options = PyLoaderOptions().with_batch_size(3).shuffle(True, 5).prefetch(4)
        loader = create_async_loader(root, options.distributed_sampling(*shard) if shard else options)
        epochs: list[Batches] = []
        for epoch in (0, 1, 0):
            loader.set_epoch(epoch)
            epochs.append(by_for(loader))
            assert by_for(loader) == by_async_for(loader) == by_index(loader) == epochs[-1]
        assert epochs[0] == epochs[2] != epochs[1]
        assert len(set(together(epochs[0]))) == (7 if shard else COUNT)

    @pytest.mark.parametrize("drop_last", [False, True])
    @each_way
    def test_is_shared_by_ranks(self, folder: str, way: Way, drop_last: bool) -> None:
        options = PyLoaderOptions().with_batch_size(4).drop_last(drop_last).shuffle(True, 5)
        loaders = [create_async_loader(folder, options.distributed_sampling(rank, 3)) for rank in range(3)]
        shares = [way(loader) for loader in loaders]
        assert [len(share) for share in shares] == [len(loader) for loader in loaders]
        every = [each for share in shares for each in together(share)]
        assert len(every) == len(set(every)) == (12 if drop_last else COUNT)

    def test_has_the_objects_that_match(self, root: str) -> None:
        assert by_for(create_async_loader(root, pattern="0[12].bin")) == [[content(1), content(2)]]

    @pytest.mark.parametrize("epoch", [-1, -5])
    def test_counts_epochs_from_0(self, folder: str, epoch: int) -> None:
        with pytest.raises(ValueError, match=f"epoch {epoch}: epochs count from 0"):
            create_async_loader(folder).set_epoch(epoch)

    def test_raises_in_the_loop_what_a_batch_raised(self, root: str) -> None:
        loader = create_async_loader(root, PyLoaderOptions().with_batch_size(3))
        missing = f"{root}07.bin"
        s3dlio.delete(missing)
        arrived: list[int] = []

        async def loop() -> int:
            async for batch in loader:
                arrived.append(len(batch))
            return 0

        async def caught() -> int:
            with pytest.raises(NotFoundError, match=missing) as problem:
                await loop()
            assert problem.value.uri == missing
            return len(others())

        assert asyncio.run(caught()) == 0
        assert arrived == [3, 3]
        with pytest.raises(NotFoundError, match=missing):
            arrived.extend(len(batch) for batch in loader)
        assert arrived == [3, 3] * 2
        with pytest.raises(NotFoundError, match=missing):
            _ = loader[2]
        assert [len(loader[index]) for index in (1, 3)] == [3, 3]

    def test_looks_up_a_batch_without_going_through_those_before(
        self, folder: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("s3dlio.loading.cursor._CHUNK", 2)
        asked: list[int] = []
        indices = Order.indices

        def counting(order: Order, epoch: int, positions: Any) -> Any:
            asked.extend(positions.tolist())
            return indices(order, epoch, positions)

        monkeypatch.setattr(Order, "indices", counting)
        loader = create_async_loader(folder, PyLoaderOptions().with_batch_size(2))
        assert taken([loader[8]]) == [[content(16), content(17)]]
        assert asked == [16, 17]


def others() -> set[asyncio.Task[Any]]:
    """Return the tasks beside the one that asks."""
    return {task for task in asyncio.all_tasks() if task is not asyncio.current_task()}


@pytest.fixture
def stalled(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Batches that never arrive, but the first one; how many of them were cancelled."""
    cancelled = [0]
    asked = iter(range(COUNT))
    get_many = s3dlio.get_many_async

    async def stalling(uris: list[str]) -> list[Any]:
        if next(asked) == 0:
            return await get_many(uris)
        try:
            await asyncio.Event().wait()
        finally:
            cancelled[0] += 1
        return []

    monkeypatch.setattr("s3dlio.aio.get_many_async", stalling)
    return cancelled


class TestALoopInsideAsyncio:
    OPTIONS = PyLoaderOptions().with_batch_size(2).prefetch(6)

    def test_that_is_left_early_leaves_no_task_behind(self, folder: str, stalled: list[int]) -> None:
        async def left() -> set[asyncio.Task[Any]]:
            async for batch in create_async_loader(folder, self.OPTIONS):
                assert len(batch) == 2
                assert len(others()) == 3
                break
            async with asyncio.timeout(10):
                while others():
                    await asyncio.wait(others())
            return others()

        assert asyncio.run(left()) == set()
        assert stalled == [3]

    def test_that_is_closed_has_no_task_from_then_on(self, folder: str, stalled: list[int]) -> None:
        async def closed() -> int:
            async with aclosing(create_async_loader(folder, self.OPTIONS).__aiter__()) as batches:
                await anext(batches)
            return len(others())

        assert asyncio.run(closed()) == 0
        assert stalled == [3]

    def test_that_is_cancelled_stops_at_once(self, folder: str, stalled: list[int]) -> None:
        async def cancelled() -> int:
            arrived = asyncio.Event()

            async def loop() -> None:
                async for _ in create_async_loader(folder, self.OPTIONS):
                    arrived.set()

            task = asyncio.create_task(loop())
            await arrived.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            async with asyncio.timeout(10):
                while others():
                    await asyncio.wait(others())
            return len(others())

        assert asyncio.run(cancelled()) == 0
        assert stalled[0] >= 3

    def test_of_two_loaders_at_once_mixes_nothing_up(self, root: str) -> None:
        filled(f"{root}again/")
        plain = create_async_loader(root, self.OPTIONS, pattern="??.bin")
        shuffled = create_async_loader(f"{root}again/", self.OPTIONS.shuffle(True, 1))

        async def both() -> list[Batches]:
            return [*await asyncio.gather(awaited(plain), awaited(shuffled), awaited(plain))]

        assert asyncio.run(both()) == [by_for(plain), by_for(shuffled), by_for(plain)]

    def test_may_be_run_in_one_asyncio_after_another(self, root: str) -> None:
        loader = create_async_loader(root, self.OPTIONS)
        assert by_async_for(loader) == by_async_for(loader) == by_for(loader)

    def test_fetches_no_further_ahead_than_its_prefetch_and_a_batch(self, folder: str, log: Log) -> None:
        async def one() -> None:
            async with aclosing(create_async_loader(folder, self.OPTIONS).__aiter__()) as batches:
                await anext(batches)

        asyncio.run(one())
        assert len([op for op, _ in log.ops() if op == "GET"]) <= 8
