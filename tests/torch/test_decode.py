"""Samples inside objects: arrays, archives and records, as tensors over the memory they were received in."""

import io
import struct
import tarfile
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

import s3dlio
from s3dlio.checksum import crc32c
from s3dlio.errors import IntegrityError
from s3dlio.formats import tfrecord
from s3dlio_torch import ObjectStoreIterableDataset, ObjectStoreMapDataset, collate
from tests.torch.storage import Storage
from tests.torch.test_datasets import workers

DATASETS = [ObjectStoreMapDataset, ObjectStoreIterableDataset]
quiet_fork = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


def saved(save: Any, *arrays: Any, **named: Any) -> bytes:
    """Return what NumPy writes."""
    content = io.BytesIO()
    save(content, *arrays, **named)
    return content.getvalue()


def archive(*numbers: int) -> bytes:
    """Return a tar archive with two members for each sample."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w", format=tarfile.USTAR_FORMAT) as file:
        for number in numbers:
            for extension, data in (("bin", bytes([number]) * 100), ("cls", str(number).encode())):
                info = tarfile.TarInfo(f"{number:04}.{extension}")
                info.size = len(data)
                file.addfile(info, io.BytesIO(data))
    return content.getvalue()


def frame(payload: bytes) -> bytes:
    """Return a TFRecord of a payload."""

    def masked(data: bytes) -> bytes:
        crc = crc32c(data)
        return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)

    length = struct.pack("<Q", len(payload))
    return length + masked(length) + payload + masked(payload)


def shards(storage: Storage) -> str:
    """Store three shards of records with payloads that tell their numbers, the first with an index; return where."""
    root = f"{storage.root}records/"
    for shard in range(3):
        frames = [frame(bytes([10 * shard + number]) * (number + 1)) for number in range(10)]
        s3dlio.put(f"{root}{shard}.tfrecord", b"".join(frames))
        if shard == 0:
            ends = np.cumsum([0, *map(len, frames)])
            ranges = np.stack([ends[:-1], np.diff(ends)], axis=1).astype(np.int64)
            s3dlio.put(f"{root}{shard}.tfrecord.index", tfrecord.build_index(ranges, "binary"))
    return root


class TestArrays:
    @pytest.mark.parametrize("dataset", DATASETS)
    def test_of_npy_objects_are_tensors(self, storage: Storage, dataset: Any) -> None:
        arrays = [np.full((2, 3), number, np.float32) for number in range(5)]
        s3dlio.put_many((f"{storage.root}npy/{i}.npy", saved(np.save, array)) for i, array in enumerate(arrays))
        batches = list(DataLoader(dataset(f"{storage.root}npy/", decode="npy"), batch_size=5))
        assert torch.equal(batches[0], torch.from_numpy(np.stack(arrays)))

    @quiet_fork
    @pytest.mark.parametrize("start", [None, "fork"])
    def test_of_npz_objects_are_dicts_of_tensors(self, storage: Storage, start: str | None) -> None:
        for number in range(4):
            content = saved(np.savez, x=np.full(8, number, np.float32), y=np.int64(number))
            s3dlio.put(f"{storage.root}npz/{number}.npz", content)
        dataset = ObjectStoreMapDataset(f"{storage.root}npz/", "*.npz", decode="npz")
        loader: DataLoader[Any] = DataLoader(dataset, batch_size=4, **workers(start))
        (batch,) = loader
        assert batch["x"].shape == (4, 8)
        assert batch["y"].tolist() == [0, 1, 2, 3]

    def test_share_the_memory_that_received_them_and_may_be_written_to(self, folder: Storage) -> None:
        s3dlio.put(f"{folder.root}npy/0.npy", saved(np.save, np.zeros(1000, np.float32)))
        sample = ObjectStoreMapDataset(f"{folder.root}npy/", decode="npy")[0]
        sample += 1
        assert sample.untyped_storage().data_ptr() % 64 == 0

    def test_stay_arrays_when_bytes_are_asked_for(self, folder: Storage) -> None:
        s3dlio.put(f"{folder.root}npy/0.npy", saved(np.save, np.zeros(10)))
        dataset = ObjectStoreMapDataset(f"{folder.root}npy/", decode="npy", return_type="bytes")
        assert isinstance(dataset[0], np.ndarray)

    def test_of_text_stay_arrays(self, folder: Storage) -> None:
        s3dlio.put(f"{folder.root}npy/0.npy", saved(np.save, np.array(["one", "two"])))
        assert ObjectStoreMapDataset(f"{folder.root}npy/", decode="npy")[0].tolist() == ["one", "two"]

    def test_in_another_byte_order_are_the_same_numbers(self, folder: Storage) -> None:
        s3dlio.put(f"{folder.root}npy/0.npy", saved(np.save, np.arange(5, dtype=">i4")))
        assert ObjectStoreMapDataset(f"{folder.root}npy/", decode="npy")[0].tolist() == [0, 1, 2, 3, 4]

    def test_that_are_no_arrays_raise_in_the_loop_with_their_uri(self, storage: Storage) -> None:
        dataset = ObjectStoreIterableDataset(storage.root, "*.bin", decode="npy")
        with pytest.raises(IntegrityError, match=storage.uris[0]):
            list(dataset)

    def test_of_python_objects_are_never_unpickled(self, folder: Storage) -> None:
        s3dlio.put(f"{folder.root}npy/0.npy", saved(np.save, np.array([{}], object), allow_pickle=True))
        with pytest.raises(ValueError, match=r"0\.npy"):
            ObjectStoreMapDataset(f"{folder.root}npy/", decode="npy")[0]


class TestArchives:
    def test_hold_samples_that_are_found_by_index(self, storage: Storage) -> None:
        s3dlio.put(f"{storage.root}tar/a.tar", archive(0, 1, 2))
        s3dlio.put(f"{storage.root}tar/b.tar", archive(3, 4))
        dataset = ObjectStoreMapDataset(f"{storage.root}tar/", decode="tar")
        assert len(dataset) == 5
        assert [bytes(dataset[index]["cls"].numpy()) for index in (4, 0, -2)] == [b"4", b"0", b"3"]
        assert dataset[2]["__key__"] == "0002"
        assert dataset[2]["bin"].tolist() == [2] * 100

    @quiet_fork
    @pytest.mark.parametrize("start", [None, "fork"])
    def test_are_streamed_and_shuffled(self, storage: Storage, start: str | None) -> None:
        s3dlio.put(f"{storage.root}tar/a.tar", archive(*range(12)))
        s3dlio.put(f"{storage.root}tar/b.tar", archive(*range(12, 20)))
        dataset = ObjectStoreIterableDataset(f"{storage.root}tar/", shuffle=True, seed=3, decode="tar")
        loader: DataLoader[Any] = DataLoader(dataset, batch_size=4, collate_fn=collate, **workers(start))
        batches = list(loader)
        samples = [int(row[0]) for batch in batches for row in batch["bin"]]
        assert all(isinstance(batch["bin"], torch.Tensor) for batch in batches)
        assert sorted(samples) == list(range(20))
        assert samples != list(range(20))


class TestRecords:
    def test_are_found_by_index(self, storage: Storage) -> None:
        dataset = ObjectStoreMapDataset(shards(storage), decode="tfrecord")
        assert len(dataset) == 30
        assert [dataset[index].tolist() for index in (0, 12, -1)] == [[0], [12] * 3, [29] * 10]
        assert len(dataset.uris) == 3

    @pytest.mark.parametrize("shuffle", [False, True])
    def test_are_streamed_and_resumed(self, storage: Storage, shuffle: bool) -> None:
        def records() -> ObjectStoreIterableDataset:
            return ObjectStoreIterableDataset(shards(storage), shuffle=shuffle, decode="tfrecord")

        whole = [int(sample[0]) for sample in records()]
        assert sorted(whole) == list(range(30))
        stopped = records()
        samples = iter(stopped)
        assert [int(next(samples)[0]) for _ in range(11)] == whole[:11]
        resumed = records()
        resumed.load_state_dict(stopped.state_dict())
        assert [int(sample[0]) for sample in resumed] == whole[11:]

    def test_that_are_damaged_raise_with_uri_and_place(self, storage: Storage) -> None:
        root = shards(storage)
        content = s3dlio.get(f"{root}1.tfrecord")
        content[12 + 0] ^= 1
        s3dlio.put(f"{root}1.tfrecord", content)
        dataset = ObjectStoreMapDataset(root, decode="tfrecord")
        with pytest.raises(IntegrityError, match=r"1\.tfrecord"):
            dataset[10]
        assert dataset[11].tolist() == [11] * 2


class TestAManifest:
    @pytest.mark.parametrize("dataset", DATASETS)
    def test_gives_the_dataset_back_without_a_listing(self, storage: Storage, dataset: Any) -> None:
        manifest = f"{storage.root}manifest"
        dataset(storage.root, "*.bin").save_manifest(manifest)
        again = dataset.from_manifest(manifest)
        assert again.uris == storage.uris
        assert [int(sample[0]) for sample in again] == list(range(len(storage.uris)))

    def test_of_records_spares_their_index(self, storage: Storage) -> None:
        root = shards(storage)
        ObjectStoreMapDataset(root, decode="tfrecord").save_manifest(f"{storage.root}manifest")
        again = ObjectStoreMapDataset.from_manifest(f"{storage.root}manifest")
        assert again[12].tolist() == [12] * 3
        with pytest.raises(ValueError, match="'tfrecord' records"):
            ObjectStoreMapDataset.from_manifest(f"{storage.root}manifest", decode="tar")


def test_a_format_that_is_none_is_refused_before_anything_is_listed() -> None:
    with pytest.raises(ValueError, match="decode='jpeg'"):
        ObjectStoreMapDataset("s3://no-such-bucket/", decode="jpeg")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
