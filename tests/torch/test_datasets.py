"""The map dataset: samples by index, batches at once, errors that name the URI."""

import gc
import pickle
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader

import s3dlio
from s3dlio.errors import NotFoundError
from s3dlio_torch import ObjectStoreMapDataset, S3MapDataset
from s3dlio_torch.tensors import as_tensor
from tests.torch.storage import COUNT, Storage, doubled, numbers, refused


def workers(start: str | None) -> dict[str, Any]:
    """Return the DataLoader's options for two workers of a kind, or for none."""
    return {"num_workers": 2, "multiprocessing_context": start} if start else {}


class TestATensor:
    def test_is_the_received_buffer_itself(self, folder: Storage) -> None:
        data = s3dlio.get(folder.uris[3])
        tensor = as_tensor(data)
        assert tensor.dtype is torch.uint8
        assert tensor.data_ptr() == data.ctypes.data
        tensor[0] = 99
        assert data[0] == 99

    def test_keeps_the_buffer_alive(self, folder: Storage) -> None:
        tensor = as_tensor(s3dlio.get(folder.uris[3]))
        gc.collect()
        others = [s3dlio.get(uri) for uri in folder.uris]
        assert tensor.tolist() == [3] * 8
        assert tensor.data_ptr() not in {other.ctypes.data for other in others}

    def test_of_an_empty_object_is_empty(self, folder: Storage) -> None:
        s3dlio.put(f"{folder.root}empty.bin", b"")
        sample = ObjectStoreMapDataset(folder.root, "empty.bin")[0]
        assert sample.shape == (0,)
        assert sample.dtype is torch.uint8


class TestSamples:
    def test_are_the_objects_of_the_prefix_in_order(self, storage: Storage) -> None:
        dataset = ObjectStoreMapDataset(storage.root, "*.bin")
        assert dataset.uris == storage.uris
        assert len(dataset) == COUNT
        assert numbers(dataset[index] for index in range(COUNT)) == list(range(COUNT))

    def test_count_from_the_end_with_a_negative_index(self, storage: Storage) -> None:
        dataset = ObjectStoreMapDataset(storage.root, "*.bin")
        assert torch.equal(dataset[-1], dataset[COUNT - 1])
        assert torch.equal(dataset[-COUNT], dataset[0])

    @pytest.mark.parametrize("index", [COUNT, -COUNT - 1])
    def test_end_where_the_dataset_ends(self, folder: Storage, index: int) -> None:
        dataset = ObjectStoreMapDataset(folder.root, "*.bin")
        with pytest.raises(IndexError, match=str(index)):
            dataset[index]

    def test_are_iterated_over_as_any_sequence_is(self, folder: Storage) -> None:
        assert numbers(ObjectStoreMapDataset(folder.root, "*.bin")) == list(range(COUNT))

    def test_come_as_bytes_when_asked(self, folder: Storage) -> None:
        sample = ObjectStoreMapDataset(folder.root, "*.bin", return_type="bytes")[2]
        assert isinstance(sample, s3dlio.BytesView)
        assert sample == bytes([2]) * 8

    def test_come_with_their_uri_when_asked(self, folder: Storage) -> None:
        uri, sample = ObjectStoreMapDataset(folder.root, "*.bin", doubled, with_uri=True)[2]
        assert uri == folder.uris[2]
        assert sample.tolist() == [4] * 8

    def test_of_a_batch_arrive_in_the_order_of_the_indices(self, storage: Storage) -> None:
        dataset = ObjectStoreMapDataset(storage.root, "*.bin", doubled)
        assert numbers(dataset.__getitems__([5, 0, -1, 5])) == [10, 0, 2 * (COUNT - 1), 10]

    def test_of_given_uris_keep_their_order(self, folder: Storage) -> None:
        dataset = ObjectStoreMapDataset.from_uris(reversed(folder.uris), transform=doubled)
        assert dataset.uris == folder.uris[::-1]
        assert numbers([dataset[0]]) == [2 * (COUNT - 1)]

    def test_of_a_prefix_are_the_same_by_either_constructor(self, folder: Storage) -> None:
        assert ObjectStoreMapDataset.from_prefix(folder.root, "*.bin").uris == folder.uris


class TestADataLoader:
    @pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")  # Python 3.12 warns of any fork beside threads
    @pytest.mark.parametrize("start", [None, "fork", "spawn"])
    def test_stacks_every_sample_once(self, storage: Storage, start: str | None) -> None:
        dataset = ObjectStoreMapDataset(storage.root, "*.bin", doubled)
        loader: DataLoader[Any] = DataLoader(dataset, batch_size=5, shuffle=True, **workers(start))
        batches = list(loader)
        assert [tuple(batch.shape) for batch in batches] == [(5, 8)] * 4 + [(3, 8)]
        assert sorted(numbers(batches)) == [2 * number for number in range(COUNT)]

    @pytest.mark.parametrize("start", [None, "fork"])
    @pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
    def test_raises_what_a_missing_sample_raised_with_its_uri(self, storage: Storage, start: str | None) -> None:
        dataset = ObjectStoreMapDataset(storage.root, "*.bin")
        s3dlio.delete(storage.uris[11])
        loader: DataLoader[Any] = DataLoader(dataset, batch_size=5, **workers(start))
        with pytest.raises(NotFoundError, match=storage.uris[11]):
            list(loader)


class TestADatasetRefuses:
    @pytest.mark.parametrize("pattern", [None, "*.bin"])
    def test_a_prefix_without_samples_at_once(self, storage: Storage, pattern: str | None) -> None:
        with pytest.raises(NotFoundError, match="nothing/"):
            ObjectStoreMapDataset(f"{storage.root}nothing/", pattern)

    def test_an_object_that_has_gone_by_its_uri(self, storage: Storage) -> None:
        dataset = ObjectStoreMapDataset(storage.root, "*.bin")
        s3dlio.delete(storage.uris[4])
        with pytest.raises(NotFoundError) as caught:
            dataset[4]
        assert caught.value.uri == storage.uris[4]

    def test_a_form_that_no_sample_has(self, folder: Storage) -> None:
        with pytest.raises(ValueError, match="return_type='numpy'"):
            ObjectStoreMapDataset(folder.root, return_type="numpy")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        with pytest.raises(TypeError, match="transform"):
            ObjectStoreMapDataset(folder.root, transform=7)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

    def test_nothing_of_what_a_transform_raises_but_says_on_which_object(self, folder: Storage) -> None:
        dataset = ObjectStoreMapDataset(folder.root, "*.bin", refused)
        with pytest.raises(LookupError, match="cannot decode") as caught:
            dataset[4]
        assert folder.uris[4] in "".join(caught.value.__notes__)


def test_a_dataset_pickles_without_reading_anything(storage: Storage) -> None:
    dataset = ObjectStoreMapDataset(storage.root, "*.bin", doubled)
    pickled = pickle.dumps(dataset)
    assert len(pickled) < len("".join(storage.uris)) + 8 * COUNT + 5000
    assert numbers([pickle.loads(pickled)[3]]) == [6]


def test_the_former_name_works_warns_and_is_the_same_kind(folder: Storage) -> None:
    with pytest.warns(DeprecationWarning, match="ObjectStoreMapDataset") as caught:
        dataset = S3MapDataset(uri=folder.root, pattern="*.bin", transform=doubled)
    assert caught[0].filename == __file__
    assert isinstance(dataset, ObjectStoreMapDataset)
    assert numbers([dataset[3]]) == [6]
