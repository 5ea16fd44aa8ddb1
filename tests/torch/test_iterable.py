"""The iterable dataset: each sample once over all consumers, in an order that can be resumed."""

import pickle
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import torch.distributed
from torch.testing._internal.distributed.fake_pg import FakeStore
from torch.utils.data import DataLoader

import s3dlio
from s3dlio import config
from s3dlio.errors import NotFoundError
from s3dlio_torch import ObjectStoreIterableDataset, S3IterableDataset
from tests.torch.storage import COUNT, Storage, doubled, numbers
from tests.torch.test_datasets import workers

ALL = list(range(COUNT))
quiet_fork = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


def shuffled(storage: Storage, seed: int = 5) -> ObjectStoreIterableDataset:
    return ObjectStoreIterableDataset(storage.root, "*.bin", shuffle=True, seed=seed)


def two_epochs(dataset: ObjectStoreIterableDataset, start: str | None) -> list[list[int]]:
    """Return what one loader, whose workers persist, yields in two epochs."""
    options: dict[str, Any] = workers(start) | {"persistent_workers": start is not None}
    loader: DataLoader[Any] = DataLoader(dataset, batch_size=4, **options)
    epochs: list[list[int]] = []
    for epoch in range(2):
        dataset.set_epoch(epoch)
        epochs.append(numbers(loader))
    return epochs


class TestAnEpoch:
    def test_is_in_the_order_of_the_listing_unless_shuffled(self, storage: Storage) -> None:
        assert numbers(ObjectStoreIterableDataset(storage.root, "*.bin")) == ALL

    def test_is_the_same_for_the_same_seed_and_another_for_another(self, storage: Storage) -> None:
        first = numbers(shuffled(storage))
        assert sorted(first) == ALL
        assert first == numbers(shuffled(storage))
        assert first != numbers(shuffled(storage, seed=6))

    def test_has_an_order_of_its_own(self, folder: Storage) -> None:
        dataset = shuffled(folder)
        first = numbers(dataset)
        dataset.set_epoch(1)
        second = numbers(dataset)
        dataset.set_epoch(0)
        assert first == numbers(dataset)
        assert sorted(second) == ALL
        assert second != first

    def test_cannot_be_negative(self, folder: Storage) -> None:
        with pytest.raises(ValueError, match="-1"):
            shuffled(folder).set_epoch(-1)

    def test_yields_the_same_with_any_read_ahead(self, folder: Storage) -> None:
        for prefetch in (1, 2, 100):
            assert numbers(ObjectStoreIterableDataset(folder.root, "*.bin", prefetch=prefetch)) == ALL
        assert numbers(ObjectStoreIterableDataset(folder.root, "*.bin", num_workers=4)) == ALL
        with pytest.raises(ValueError, match="prefetch=0"):
            ObjectStoreIterableDataset(folder.root, prefetch=0)


class TestWorkers:
    @quiet_fork
    @pytest.mark.parametrize("start", [None, "fork", "spawn"])
    def test_share_the_samples_in_every_epoch_they_live_through(self, storage: Storage, start: str | None) -> None:
        first, second = two_epochs(shuffled(storage), start)
        assert sorted(first) == sorted(second) == ALL
        assert first != second

    def test_share_them_under_a_fork_server(self, folder: Storage) -> None:
        """On files, because a fork server keeps the environment, and so the endpoint, of its first use."""
        first, second = two_epochs(shuffled(folder), "forkserver")
        assert sorted(first) == sorted(second) == ALL
        assert first != second

    @quiet_fork
    def test_each_have_every_sample_without_sharding(self, folder: Storage) -> None:
        dataset = ObjectStoreIterableDataset(folder.root, "*.bin", enable_sharding=False)
        loader: DataLoader[Any] = DataLoader(dataset, batch_size=4, **workers("fork"))
        assert sorted(numbers(loader)) == sorted(ALL + ALL)

    @quiet_fork
    @pytest.mark.parametrize("start", [None, "fork"])
    def test_raise_a_missing_sample_in_the_training_loop_with_its_uri(
        self, storage: Storage, start: str | None
    ) -> None:
        dataset = ObjectStoreIterableDataset(storage.root, "*.bin")
        s3dlio.delete(storage.uris[11])
        loader: DataLoader[Any] = DataLoader(dataset, batch_size=4, **workers(start))
        with pytest.raises(NotFoundError, match=storage.uris[11]):
            list(loader)


@pytest.fixture
def second_of_three() -> Iterator[None]:
    """Make this process rank 1 of 3, as far as torch.distributed says."""
    torch.distributed.init_process_group(backend="fake", rank=1, world_size=3, store=FakeStore())
    yield
    torch.distributed.destroy_process_group()


class TestRanks:
    @pytest.mark.usefixtures("second_of_three")
    def test_share_the_samples(self, folder: Storage) -> None:
        assert numbers(ObjectStoreIterableDataset(folder.root, "*.bin")) == ALL[1::3]

    @quiet_fork
    @pytest.mark.usefixtures("second_of_three")
    @pytest.mark.parametrize("start", ["fork", "spawn"])
    def test_reach_the_workers_of_a_rank(self, folder: Storage, start: str) -> None:
        dataset = ObjectStoreIterableDataset(folder.root, "*.bin")
        loader: DataLoader[Any] = DataLoader(dataset, batch_size=4, **workers(start))
        assert sorted(numbers(loader)) == ALL[1::3]

    @pytest.mark.usefixtures("second_of_three")
    def test_in_step_resume_where_all_of_them_stood(self, folder: Storage) -> None:
        dataset = ObjectStoreIterableDataset(folder.root, "*.bin")
        samples = iter(dataset)
        assert numbers([next(samples), next(samples)]) == [1, 4]
        state = dataset.state_dict()
        assert state["position"] == 6
        dataset.load_state_dict(state)
        assert numbers(dataset) == [7, 10, 13, 16, 19, 22]


class TestAResumedEpoch:
    @pytest.mark.parametrize("taken", [0, 1, 8, COUNT])
    def test_continues_with_what_would_have_come_next(self, storage: Storage, taken: int) -> None:
        dataset = shuffled(storage)
        dataset.set_epoch(2)
        samples = iter(dataset)
        order = numbers(next(samples) for _ in range(taken))
        state = dataset.state_dict()
        order += numbers(samples)
        assert state == {"seed": 5, "epoch": 2, "samples": COUNT, "position": taken}

        resumed = shuffled(storage, seed=0)
        resumed.load_state_dict(state)
        assert numbers(resumed) == order[taken:]

    def test_is_followed_by_whole_ones(self, folder: Storage) -> None:
        dataset = shuffled(folder)
        dataset.load_state_dict({"seed": 5, "epoch": 2, "position": 20})
        dataset.set_epoch(2)
        assert len(numbers(dataset)) == 3
        assert sorted(numbers(dataset)) == ALL
        dataset.load_state_dict({"seed": 5, "epoch": 2, "position": 20})
        dataset.set_epoch(3)
        assert sorted(numbers(dataset)) == ALL

    @quiet_fork
    def test_reaches_the_workers(self, folder: Storage) -> None:
        whole = numbers(shuffled(folder))
        dataset = shuffled(folder)
        dataset.load_state_dict({"seed": 5, "epoch": 0, "position": 8})
        loader: DataLoader[Any] = DataLoader(dataset, batch_size=4, **workers("fork"))
        assert sorted(numbers(loader)) == sorted(whole[8:])

    def test_counts_what_a_loader_has_handed_out(self, folder: Storage) -> None:
        dataset = shuffled(folder)
        batches = iter(DataLoader(dataset, batch_size=4))
        next(batches)
        next(batches)
        assert dataset.state_dict()["position"] == 8

    @pytest.mark.parametrize(
        ("state", "complaint"),
        [
            ({"seed": 1, "epoch": 0}, "lacks position"),
            ({"seed": 1, "epoch": -1, "position": 0}, "epoch -1"),
            ({"seed": 1, "epoch": 0, "position": COUNT + 1}, f"{COUNT} samples"),
        ],
    )
    def test_refuses_a_state_that_does_not_fit(self, folder: Storage, state: dict[str, int], complaint: str) -> None:
        with pytest.raises(ValueError, match=complaint):
            shuffled(folder).load_state_dict(state)


class TestADataset:
    def test_without_samples_raises_at_once(self, storage: Storage) -> None:
        with pytest.raises(NotFoundError, match="nothing/"):
            ObjectStoreIterableDataset(f"{storage.root}nothing/")

    def test_forms_samples_as_the_map_dataset_does(self, folder: Storage) -> None:
        dataset = ObjectStoreIterableDataset(folder.root, "*.bin", transform=doubled, with_uri=True)
        samples = list(dataset)
        assert [uri for uri, _ in samples] == folder.uris
        assert numbers(sample for _, sample in samples) == [2 * number for number in ALL]

    def test_of_given_uris_lists_nothing(self, folder: Storage) -> None:
        dataset = ObjectStoreIterableDataset.from_uris(folder.uris[::-1], shuffle=False)
        assert dataset.uris == folder.uris[::-1]
        assert numbers(dataset) == ALL[::-1]

    def test_of_a_prefix_is_the_same_by_either_constructor(self, folder: Storage) -> None:
        dataset = ObjectStoreIterableDataset.from_prefix(folder.root, "*.bin", shuffle=True, seed=5)
        assert numbers(dataset) == numbers(shuffled(folder))

    def test_pickles_with_its_epoch_and_position(self, storage: Storage) -> None:
        dataset = shuffled(storage)
        dataset.load_state_dict({"seed": 5, "epoch": 4, "position": 20})
        copy = pickle.loads(pickle.dumps(dataset))
        assert copy.state_dict() == {"seed": 5, "epoch": 4, "samples": COUNT, "position": 20}
        assert numbers(copy) == numbers(dataset)

    def test_that_is_abandoned_leaves_no_thread_of_its_own(self, storage: Storage) -> None:
        dataset = shuffled(storage)
        numbers(dataset)
        before = set(threading.enumerate())
        for _ in range(20):
            next(iter(dataset))
        new = set(threading.enumerate()) - before
        assert all(thread.name.startswith("s3dlio-io-") for thread in new)
        assert len(new) < config.current().worker_threads

    def test_by_its_former_name_works_and_warns(self, folder: Storage) -> None:
        with pytest.warns(DeprecationWarning, match="ObjectStoreIterableDataset") as caught:
            dataset = S3IterableDataset(uri=folder.root, pattern="*.bin", shuffle=True, num_workers=4)
        assert caught[0].filename == __file__
        assert isinstance(dataset, ObjectStoreIterableDataset)
        assert sorted(numbers(dataset)) == ALL


def test_both_datasets_are_at_the_front_door() -> None:
    assert s3dlio.ObjectStoreIterableDataset is ObjectStoreIterableDataset
    assert s3dlio.S3IterableDataset is S3IterableDataset
