"""Resuming: a state says what is left of an epoch, for any number of workers and ranks."""

import copy
import json
from collections.abc import Iterator
from itertools import islice
from typing import Any

import pytest
import torch.distributed
from torch.testing._internal.distributed.fake_pg import FakeStore
from torch.utils.data import DataLoader
from torchdata.stateful_dataloader import StatefulDataLoader

from s3dlio import operations
from s3dlio_torch import EpochSampler, ObjectStoreIterableDataset, ObjectStoreMapDataset
from tests.torch.storage import COUNT, Storage, numbers, refused
from tests.torch.test_datasets import workers

ALL = list(range(COUNT))
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*worker processes in total.*:UserWarning"),
    # What torchdata 0.11 does with the newest PyTorch.
    pytest.mark.filterwarnings("ignore:.*set_vital.*:UserWarning"),
]


def stream(storage: Storage, **options: Any) -> ObjectStoreIterableDataset:
    return ObjectStoreIterableDataset(storage.root, "*.bin", shuffle=True, seed=5, **options)


def loader_of(dataset: Any, start: str | None, count: int = 2, **options: Any) -> StatefulDataLoader[Any]:
    chosen: dict[str, Any] = {**workers(start), **options, "num_workers": count}
    return StatefulDataLoader(dataset, batch_size=3, **chosen)


def stopped(storage: Storage, start: str | None, batches: int, count: int = 2) -> tuple[list[int], dict[str, Any]]:
    """Take some batches of a loader; return their numbers and the loader's state, as a checkpoint would hold it."""
    loader = loader_of(stream(storage), start, count)
    taken = numbers(islice(loader, batches))
    state = copy.deepcopy(loader.state_dict())
    json.dumps(state["_snapshot"]["_worker_snapshots"] if count else state["fetcher_state"])
    return taken, state


class TestALoader:
    @pytest.mark.parametrize(
        ("start", "count", "batches"),
        [*((None, 0, taken) for taken in (0, 1, 5)), *(("fork", 2, taken) for taken in (0, 1, 5)), ("spawn", 2, 3)],
    )
    def test_goes_on_as_it_would_have(self, storage: Storage, start: str | None, count: int, batches: int) -> None:
        whole = numbers(loader_of(stream(storage), start, count))
        taken, state = stopped(storage, start, batches, count)
        resumed = loader_of(stream(storage), start, count)
        resumed.load_state_dict(state)
        assert taken == whole[: len(taken)]
        assert numbers(resumed) == whole[len(taken) :]

    @pytest.mark.parametrize("batches", [1, 2, 5])
    @pytest.mark.parametrize("then", [0, 1, 3])
    def test_is_continued_by_one_with_another_number_of_workers(self, folder: Storage, batches: int, then: int) -> None:
        taken, state = stopped(folder, "fork", batches)
        dataset = stream(folder)
        dataset.load_state_dict(state)
        resumed = loader_of(dataset, "fork" if then else None, then)
        assert sorted(taken + numbers(resumed)) == ALL
        dataset.set_epoch(1)
        assert sorted(numbers(resumed)) == ALL

    def test_without_workers_is_continued_by_one_with_them(self, folder: Storage) -> None:
        taken, state = stopped(folder, None, 4, 0)
        dataset = stream(folder)
        dataset.load_state_dict(state)
        assert sorted(taken + numbers(loader_of(dataset, "fork"))) == ALL

    def test_that_went_on_since_its_snapshot_is_refused_by_other_workers(self, folder: Storage) -> None:
        loader = loader_of(stream(folder), "fork", snapshot_every_n_steps=4)
        numbers(islice(loader, 5))
        with pytest.raises(ValueError, match="snapshot_every_n_steps=1"):
            stream(folder).load_state_dict(loader.state_dict())

    def test_of_other_workers_than_its_state_says_how_to_go_on(self, folder: Storage) -> None:
        _, state = stopped(folder, None, 2, 0)
        with pytest.raises(ValueError, match="no state of this dataset"):
            stream(folder).load_state_dict({"_snapshot": {}, "_steps_since_snapshot": 0})
        assert state["_sampler_iter_yielded"] == 2

    def test_begins_the_next_epoch_when_its_state_is_that_of_a_finished_one(self, folder: Storage) -> None:
        dataset = stream(folder)
        numbers(dataset)
        state = dataset.state_dict()
        assert state["position"] == COUNT
        resumed = stream(folder)
        resumed.load_state_dict(state)
        assert numbers(resumed) == []
        resumed.set_epoch(1)
        assert sorted(numbers(resumed)) == ALL

    @pytest.mark.parametrize(("start", "count"), [(None, 0), ("fork", 2)])
    def test_of_a_map_dataset_goes_on_too(self, folder: Storage, start: str | None, count: int) -> None:
        dataset = ObjectStoreMapDataset(folder.root, "*.bin")
        loader = loader_of(dataset, start, count)
        assert numbers(islice(loader, 3)) == ALL[:9]
        resumed = loader_of(dataset, start, count)
        resumed.load_state_dict(loader.state_dict())
        assert numbers(resumed) == ALL[9:]


class TestAStream:
    def test_of_batches_resumes_behind_the_last_one(self, storage: Storage) -> None:
        whole = numbers(stream(storage, batch_size=4))
        dataset = stream(storage, batch_size=4)
        assert numbers(islice(dataset, 3)) == whole[:12]
        state = dataset.state_dict()
        resumed = stream(storage, batch_size=6)
        resumed.load_state_dict(state)
        assert numbers(resumed) == whole[12:]

    def test_has_an_iterator_that_is_saved_and_resumed_itself(self, folder: Storage) -> None:
        whole = numbers(stream(folder))
        samples: Any = iter(stream(folder))
        numbers(islice(samples, 7))
        other: Any = iter(stream(folder))
        next(other)
        other.load_state_dict(samples.state_dict())
        assert numbers(other) == whole[7:]

    def test_whose_transform_failed_resumes_with_that_sample(self, folder: Storage) -> None:
        failing = stream(folder, transform=refused)
        with pytest.raises(LookupError):
            list(failing)
        assert failing.state_dict()["position"] == 0

    def test_in_order_of_arrival_resumes_with_what_had_not_come(self, folder: Storage) -> None:
        dataset = stream(folder, in_order=False)
        taken = numbers(islice(dataset, 9))
        resumed = stream(folder)
        resumed.load_state_dict(dataset.state_dict())
        assert sorted(taken + numbers(resumed)) == ALL

    def test_refuses_the_state_of_other_samples(self, folder: Storage) -> None:
        state = ObjectStoreIterableDataset(folder.root).state_dict()
        with pytest.raises(ValueError, match=f"of {COUNT + 1} samples, and the dataset has {COUNT}"):
            stream(folder).load_state_dict(state)


def counted(monkeypatch: pytest.MonkeyPatch, name: str) -> list[str]:
    """Return the list that is to hold the URIs that are asked for."""
    asked: list[str] = []
    ask = getattr(operations, name)

    def asking(uri: str, *rest: Any) -> Any:
        asked.append(uri)
        return ask(uri, *rest)

    monkeypatch.setattr(operations, name, asking)
    return asked


class TestASampler:
    def test_gives_a_map_dataset_the_order_of_the_stream(self, folder: Storage) -> None:
        dataset = ObjectStoreMapDataset(folder.root, "*.bin")
        loader: DataLoader[Any] = DataLoader(dataset, batch_size=3, sampler=EpochSampler(dataset, seed=5))
        assert numbers(loader) == numbers(stream(folder))

    def test_has_an_order_for_each_epoch(self) -> None:
        sampler = EpochSampler(range(50), seed=1)
        first = list(sampler)
        sampler.set_epoch(1)
        assert sorted(first) == sorted(sampler) == list(range(50))
        assert first != list(sampler)

    @pytest.mark.parametrize("uneven", ["drop", "pad", "wrap"])
    def test_gives_every_rank_as_many(self, uneven: Any) -> None:
        ranks = [EpochSampler(range(23), uneven=uneven, rank=rank, world=4) for rank in range(4)]
        assert len({len(rank) for rank in ranks}) == 1
        assert len({index for rank in ranks for index in rank}) == (20 if uneven == "drop" else 23)

    @pytest.mark.parametrize(("start", "count"), [(None, 0), ("fork", 2)])
    @pytest.mark.parametrize("batches", [0, 1, 4])
    def test_goes_on_in_the_loader_it_was_saved_with(
        self, folder: Storage, start: str | None, count: int, batches: int
    ) -> None:
        dataset = ObjectStoreMapDataset(folder.root, "*.bin")
        whole = numbers(loader_of(dataset, start, count, sampler=EpochSampler(dataset)))
        stopped = loader_of(dataset, start, count, sampler=EpochSampler(dataset))
        assert numbers(islice(stopped, batches)) == whole[: 3 * batches]
        resumed = loader_of(dataset, start, count, sampler=EpochSampler(dataset))
        resumed.load_state_dict(stopped.state_dict())
        assert numbers(resumed) == whole[3 * batches :]

    def test_goes_on_under_other_workers_and_ranks(self, folder: Storage) -> None:
        dataset = ObjectStoreMapDataset(folder.root, "*.bin")
        stopped = loader_of(dataset, "fork", 2, sampler=EpochSampler(dataset))
        taken = numbers(islice(stopped, 3))
        state = stopped.state_dict()
        for rank in range(3):
            sampler = EpochSampler(dataset, rank=rank, world=3)
            sampler.load_state_dict(state)
            taken += numbers(loader_of(dataset, None, 0, sampler=sampler))
        assert sorted(taken) == ALL

    @pytest.mark.parametrize("contiguous", [False, True])
    def test_has_its_dataset_read_ahead(
        self, storage: Storage, contiguous: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked = counted(monkeypatch, "get_placed" if contiguous else "get")
        dataset = ObjectStoreMapDataset(storage.root, "*.bin", contiguous=contiguous)
        loader: DataLoader[Any] = DataLoader(dataset, batch_size=5, sampler=EpochSampler(dataset, seed=5))
        batches = iter(loader)
        first = next(batches)
        assert sorted(asked) == storage.uris
        assert numbers([first, *batches]) == numbers(stream(storage))
        assert dataset.stats().samples == COUNT

    def test_stops_the_reading_when_the_loop_is_left(self, folder: Storage) -> None:
        dataset = ObjectStoreMapDataset(folder.root, "*.bin")
        for batch in DataLoader(dataset, batch_size=5, sampler=EpochSampler(dataset)):
            assert len(batch) == 5
            break
        assert numbers([dataset[3]]) == [3]
        assert sorted(numbers(DataLoader(dataset, batch_size=4, sampler=EpochSampler(dataset)))) == ALL

    def test_leaves_its_dataset_free_to_be_asked_anything(self, folder: Storage) -> None:
        dataset = ObjectStoreMapDataset(folder.root, "*.bin")
        for batch in DataLoader(dataset, batch_size=4, sampler=EpochSampler(dataset, shuffle=False)):
            assert numbers(dataset.__getitems__([22, 3])) == [22, 3]
            assert len(batch) in (4, 3)

    def test_refuses_what_is_no_rank_and_no_dataset(self) -> None:
        with pytest.raises(ValueError, match="rank=1, world=None"):
            EpochSampler(range(3), rank=1)
        with pytest.raises(ValueError, match="at least one sample"):
            EpochSampler([])
        with pytest.raises(ValueError, match="epoch -1"):
            EpochSampler(range(3)).set_epoch(-1)


@pytest.fixture
def second_of_four() -> Iterator[None]:
    """Make this process rank 1 of 4, as far as torch.distributed says."""
    torch.distributed.init_process_group(backend="fake", rank=1, world_size=4, store=FakeStore())
    yield
    torch.distributed.destroy_process_group()


@pytest.mark.usefixtures("second_of_four")
class TestUnevenShards:
    @pytest.mark.parametrize(("uneven", "steps"), [("keep", 6), ("drop", 5), ("pad", 6), ("wrap", 6)])
    def test_have_as_many_samples_as_promised(self, folder: Storage, uneven: Any, steps: int) -> None:
        assert len(numbers(ObjectStoreIterableDataset(folder.root, "*.bin", uneven=uneven))) == steps

    def test_are_refused_when_asked(self, folder: Storage) -> None:
        dataset = ObjectStoreIterableDataset(folder.root, "*.bin", uneven="error")
        with pytest.raises(ValueError, match="23 samples cannot be shared equally by 4 ranks"):
            list(dataset)

    def test_are_warned_of_where_nothing_is_said(self, folder: Storage, caplog: pytest.LogCaptureFixture) -> None:
        numbers(ObjectStoreIterableDataset(folder.root, "*.bin"))
        assert "3 of 4 ranks take one sample more" in caplog.text

    def test_must_be_one_of_the_policies(self, folder: Storage) -> None:
        with pytest.raises(ValueError, match="uneven='equal'"):
            ObjectStoreIterableDataset(folder.root, uneven="equal")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
