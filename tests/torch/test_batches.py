"""Batches: many samples fetched at the same time, in one tensor where they are of one size."""

from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader

import s3dlio
from s3dlio.errors import NotFoundError
from s3dlio.loading import PyLoaderOptions
from s3dlio_torch import ObjectStoreIterableDataset, ObjectStoreMapDataset, collate
from tests.torch.storage import COUNT, Storage, doubled, numbers
from tests.torch.test_datasets import workers

ALL = list(range(COUNT))
quiet_fork = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


def batched(storage: Storage, **options: Any) -> ObjectStoreIterableDataset:
    return ObjectStoreIterableDataset(storage.root, "*.bin", batch_size=5, **options)


def in_one_memory(batch: torch.Tensor) -> bool:
    """Tell whether the rows of a batch lie one behind the other in storage that holds no more."""
    return batch.is_contiguous() and batch.untyped_storage().nbytes() == batch.nbytes


class TestBatchesOfAStream:
    def test_are_tensors_whose_rows_were_received_in_place(self, storage: Storage) -> None:
        batches = list(batched(storage))
        assert [tuple(batch.shape) for batch in batches] == [(5, 8)] * 4 + [(3, 8)]
        assert numbers(batches) == ALL
        for batch in batches:
            assert in_one_memory(batch)
            batch.add_(1)

    def test_belong_to_their_holder_alone(self, folder: Storage) -> None:
        batches = list(batched(folder))
        assert len({batch.data_ptr() for batch in batches}) == 5
        batches[0] += 100
        assert numbers(batched(folder)) == ALL

    @quiet_fork
    @pytest.mark.parametrize("start", [None, "fork", "spawn"])
    def test_go_through_a_loader_as_they_are(self, storage: Storage, start: str | None) -> None:
        loader: DataLoader[Any] = DataLoader(batched(storage, shuffle=True), batch_size=None, **workers(start))
        batches = list(loader)
        assert sorted(numbers(batches)) == ALL
        assert {batch.shape[1] for batch in batches} == {8}

    def test_lack_the_last_small_one_when_it_is_dropped(self, folder: Storage) -> None:
        assert [len(batch) for batch in batched(folder, drop_last=True)] == [5] * 4

    def test_of_samples_of_other_sizes_are_lists(self, folder: Storage) -> None:
        s3dlio.put(folder.uris[2], bytes([2]) * 3)
        first, *others = batched(folder)
        assert [len(sample) for sample in first] == [8, 8, 3, 8, 8]
        assert all(isinstance(batch, torch.Tensor) for batch in others)

    def test_of_what_a_transform_makes_are_collated(self, folder: Storage) -> None:
        assert numbers(batched(folder, transform=doubled)) == [2 * number for number in ALL]

    def test_come_with_their_uris_when_asked(self, folder: Storage) -> None:
        uris, batch = next(iter(batched(folder, with_uri=True)))
        assert list(uris) == folder.uris[:5]
        assert batch.shape == (5, 8)

    def test_are_lists_of_bytes_when_asked(self, folder: Storage) -> None:
        batch = next(iter(batched(folder, return_type="bytes")))
        assert [bytes(sample) for sample in batch] == [bytes([number]) * 8 for number in range(5)]

    def test_of_empty_objects_are_empty(self, folder: Storage) -> None:
        s3dlio.put_many((f"{folder.root}empty/{number}", b"") for number in range(4))
        (batch,) = ObjectStoreIterableDataset(f"{folder.root}empty/", batch_size=4)
        assert batch.shape == (4, 0)

    def test_must_have_a_sample(self, folder: Storage) -> None:
        with pytest.raises(ValueError, match="batch_size=0"):
            ObjectStoreIterableDataset(folder.root, batch_size=0)

    def test_raise_what_is_missing_by_its_uri(self, storage: Storage) -> None:
        dataset = batched(storage)
        s3dlio.delete(storage.uris[11])
        with pytest.raises(NotFoundError, match=storage.uris[11]):
            list(dataset)


class TestABatchOfTheMapDataset:
    @quiet_fork
    @pytest.mark.parametrize("start", [None, "fork", "spawn"])
    def test_is_one_tensor_when_asked(self, storage: Storage, start: str | None) -> None:
        dataset = ObjectStoreMapDataset(storage.root, "*.bin", contiguous=True)
        loader: DataLoader[Any] = DataLoader(dataset, batch_size=5, collate_fn=collate, **workers(start))
        batches = list(loader)
        assert [tuple(batch.shape) for batch in batches] == [(5, 8)] * 4 + [(3, 8)]
        assert numbers(batches) == ALL

    def test_is_not_copied_on_its_way(self, folder: Storage) -> None:
        samples = ObjectStoreMapDataset(folder.root, "*.bin", contiguous=True).__getitems__([3, 1, 2])
        batch = collate(samples)
        assert [sample.data_ptr() for sample in samples] == [row.data_ptr() for row in batch]
        assert in_one_memory(batch)

    def test_is_stacked_by_a_loader_that_knows_nothing_of_this(self, folder: Storage) -> None:
        dataset = ObjectStoreMapDataset(folder.root, "*.bin", contiguous=True)
        assert numbers(DataLoader(dataset, batch_size=5)) == ALL

    def test_of_samples_of_other_sizes_is_a_list(self, folder: Storage) -> None:
        s3dlio.put(folder.uris[2], bytes([2]) * 3)
        dataset = ObjectStoreMapDataset(folder.root, "*.bin", contiguous=True)
        batch = collate(dataset.__getitems__([1, 2, 3]))
        assert [len(sample) for sample in batch] == [8, 3, 8]

    @pytest.mark.parametrize("options", [{"transform": doubled}, {"with_uri": True}, {"decode": "npy"}])
    def test_cannot_be_one_tensor_of_what_is_not_plain_bytes(self, folder: Storage, options: dict[str, Any]) -> None:
        with pytest.raises(ValueError, match="contiguous=True"):
            ObjectStoreMapDataset(folder.root, contiguous=True, **options)


class TestASampleThatCannotBeRead:
    def test_is_skipped_counted_and_logged_when_asked(self, storage: Storage, caplog: pytest.LogCaptureFixture) -> None:
        dataset = ObjectStoreIterableDataset(storage.root, "*.bin", on_error="skip")
        s3dlio.delete(storage.uris[11])
        assert numbers(dataset) == [number for number in ALL if number != 11]
        assert dataset.stats().skipped == 1
        assert storage.uris[11] in caplog.text

    @quiet_fork
    @pytest.mark.parametrize("start", [None, "fork", "spawn"])
    def test_is_counted_in_the_workers_too(self, folder: Storage, start: str | None) -> None:
        stream = ObjectStoreIterableDataset(folder.root, "*.bin", on_error="skip")
        table = ObjectStoreMapDataset(folder.root, "*.bin", on_error="skip")
        s3dlio.delete(folder.uris[11])
        for dataset in (stream, table):
            loader: DataLoader[Any] = DataLoader(dataset, batch_size=4, **workers(start))
            assert sorted(numbers(loader)) == [number for number in ALL if number != 11]
            stats = dataset.stats()
            assert (stats.samples, stats.bytes, stats.skipped) == (COUNT - 1, 8 * (COUNT - 1), 1)

    def test_has_only_two_fates(self, folder: Storage) -> None:
        with pytest.raises(ValueError, match="on_error='ignore'"):
            ObjectStoreMapDataset(folder.root, on_error="ignore")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


class TestStats:
    def test_tell_where_the_time_went(self, storage: Storage) -> None:
        dataset = ObjectStoreIterableDataset(storage.root, "*.bin")
        list(dataset)
        stats = dataset.stats()
        assert (stats.samples, stats.bytes) == (COUNT, 8 * COUNT)
        assert min(stats.wait_seconds, stats.fetch_seconds, stats.use_seconds) > 0
        assert stats.bottleneck in ("storage", "consumer")

    def test_count_samples_by_index_and_in_batches(self, folder: Storage) -> None:
        dataset = ObjectStoreMapDataset(folder.root, "*.bin")
        _ = dataset[0], dataset.__getitems__([1, 2])
        assert (dataset.stats().samples, dataset.stats().bytes) == (3, 24)


class TestOptions:
    def test_are_those_of_a_dataset(self, folder: Storage) -> None:
        options = PyLoaderOptions().with_batch_size(5).shuffle(True, 7).drop_last(True)
        dataset = ObjectStoreIterableDataset(folder.root, "*.bin", options=options)
        same = ObjectStoreIterableDataset(folder.root, "*.bin", shuffle=True, seed=7, batch_size=5, drop_last=True)
        assert numbers(dataset) == numbers(same)

    def test_give_way_to_keywords(self, folder: Storage) -> None:
        options = PyLoaderOptions().with_batch_size(5).shuffle(True, 7)
        dataset = ObjectStoreIterableDataset(folder.root, "*.bin", batch_size=2, options=options)
        assert len(next(iter(dataset))) == 2

    def test_name_the_rank_where_no_process_group_does(self, folder: Storage) -> None:
        options = PyLoaderOptions().distributed_sampling(1, 3)
        assert numbers(ObjectStoreIterableDataset(folder.root, "*.bin", options=options)) == ALL[1::3]

    @quiet_fork
    def test_make_a_loader(self, folder: Storage) -> None:
        options = PyLoaderOptions().with_batch_size(5).num_workers(2).use_fork().persistent_workers(True)
        dataset = ObjectStoreMapDataset(folder.root, "*.bin")
        loader: DataLoader[Any] = DataLoader(dataset, **options.for_dataloader())
        assert numbers(loader) == numbers(loader) == ALL


def test_samples_in_the_order_of_their_arrival_are_all_there(storage: Storage) -> None:
    dataset = ObjectStoreIterableDataset(storage.root, "*.bin", in_order=False)
    assert sorted(numbers(dataset)) == ALL


@pytest.mark.filterwarnings("ignore:.*pin_memory.*:UserWarning")
@pytest.mark.parametrize("dataset", [ObjectStoreIterableDataset, ObjectStoreMapDataset])
def test_a_loader_may_pin_memory(folder: Storage, dataset: Any) -> None:
    loader: DataLoader[Any] = DataLoader(dataset(folder.root, "*.bin"), batch_size=5, pin_memory=True)
    assert numbers(loader) == ALL
