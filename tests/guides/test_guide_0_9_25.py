"""Each call of the 0.9.25 guide about storing, reading, batches and PyTorch, spelled as that guide spells it."""

from __future__ import annotations

import asyncio
import logging
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

import s3dlio
from s3dlio import S3IterableDataset, S3MapDataset
from tests.guides.data import S3NPZDataset, archive, fill, first_half, samples
from tests.servers.environment import S3Bucket

quiet_fork = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")  # of any fork beside threads, in 3.12


class TestQuickStart:
    def test_the_basic_operations(self, base: str, tmp_path: Path, logger: logging.Logger) -> None:
        s3dlio.init_logging("info")
        assert logger.isEnabledFor(logging.INFO)
        assert not logger.isEnabledFor(logging.DEBUG)

        s3dlio.put(f"{base}data.bin", b"Hello, World!")
        s3dlio.put(f"file://{tmp_path}/local.bin", b"Local data")

        data = s3dlio.get(f"{base}data.bin")
        assert str(data) == "b'Hello, World!'"

        fill(f"{base}prefix/", "a", "b")
        objects = s3dlio.list(f"{base}prefix/")
        assert list(objects) == [f"{base}prefix/a", f"{base}prefix/b"]

        metadata = s3dlio.stat(f"{base}data.bin")
        assert f"Size: {metadata['size']} bytes" == "Size: 13 bytes"
        assert f"Last modified: {metadata['last_modified']}".startswith("Last modified: 20")

        s3dlio.delete(f"{base}data.bin")
        assert not s3dlio.exists(f"{base}data.bin")


class TestCoreStorageOperations:
    def test_put(self, base: str, tmp_path: Path) -> None:
        s3dlio.put(f"{base}key", b"data")
        (tmp_path / "local_file.bin").write_bytes(b"from a file")
        with open(tmp_path / "local_file.bin", "rb") as f:
            data = f.read()
            s3dlio.put(f"{base}key", data)
        assert s3dlio.get(f"{base}key") == b"from a file"

        async def main() -> None:
            await s3dlio.put_async(f"{base}key", b"async data")

        asyncio.run(main())
        assert s3dlio.get(f"{base}key") == b"async data"

    def test_get(self, base: str) -> None:
        content = np.random.default_rng(1).bytes(6000)
        s3dlio.put(f"{base}key", content)
        assert bytes(s3dlio.get(f"{base}key")) == content
        assert bytes(s3dlio.get_range(f"{base}key", offset=1024, length=4096)) == content[1024:5120]

        async def main() -> None:
            fill(base, "key1", "key2")
            data = await s3dlio.get_many_async([f"{base}key1", f"{base}key2"])
            assert data == [b"key1", b"key2"]

        asyncio.run(main())

    def test_list(self, base: str) -> None:
        fill(f"{base}prefix/", "file1.dat", "file2.dat")
        objects = s3dlio.list(f"{base}prefix/")
        assert objects == [f"{base}prefix/file1.dat", f"{base}prefix/file2.dat"]

    def test_stat(self, base: str) -> None:
        fill(base, "key1", "longer")
        metadata = s3dlio.stat(f"{base}key1")
        assert metadata["size"] == 4
        assert metadata["last_modified"]
        assert metadata["etag"]

        async def main() -> None:
            stats = await s3dlio.stat_many_async([f"{base}key1", f"{base}longer"])
            assert [each["size"] for each in stats] == [4, 6]

        asyncio.run(main())

    def test_exists(self, base: str) -> None:
        if not s3dlio.exists(f"{base}config.json"):
            s3dlio.put(f"{base}config.json", b"{}")
        assert s3dlio.exists(f"{base}config.json")

        async def main() -> bool:
            return await s3dlio.exists_async(f"{base}config.json")

        assert asyncio.run(main()) is True

    def test_delete(self, base: str) -> None:
        fill(f"{base}prefix/", "a", "b", "c")
        objects = s3dlio.list(f"{base}prefix/")
        for uri in objects:
            s3dlio.delete(uri)
        assert s3dlio.list(f"{base}prefix/") == []


class TestBackendSpecificFeatures:
    @pytest.mark.xdist_group("moto")
    def test_buckets(self, moto_s3: S3Bucket) -> None:
        s3dlio.create_bucket("my-bucket")
        assert s3dlio.list("s3://my-bucket/") == []
        s3dlio.delete_bucket("my-bucket")
        with pytest.raises(s3dlio.BucketNotFoundError, match="my-bucket"):
            s3dlio.list("s3://my-bucket/")

    @pytest.mark.xdist_group("moto")
    def test_list_objects_is_deprecated_and_gives_keys(self, moto_s3: S3Bucket) -> None:
        fill(moto_s3.uri("prefix/"), "a", "b")
        with pytest.deprecated_call():
            keys = s3dlio.list_objects(moto_s3.uri("prefix/"))
        assert keys == ["prefix/a", "prefix/b"]

    def test_mp_get(self, base: str) -> None:
        fill(f"{base}prefix/", *(f"obj_{number}.dat" for number in range(10)))
        result = s3dlio.mp_get(uri=f"{base}prefix/", procs=2, jobs=8, num=10, template="obj_{}.dat")
        assert result["total_bytes"] == 90
        assert f"Time: {result['duration_seconds']}s".startswith("Time: ")
        assert result["throughput_mb_s"] > 0
        assert result["ops_per_sec"] > 0


class TestZeroCopyAccess:
    def test_a_view_gives_a_memoryview_and_bytes(self, base: str) -> None:
        s3dlio.put(f"{base}key", np.arange(10, dtype=np.float32))
        view = s3dlio.get(f"{base}key")
        memview = view.memoryview()
        array = np.frombuffer(memview, dtype=np.float32)
        data = bytes(view)
        assert array.tolist() == list(range(10))
        assert array.ctypes.data == view.ctypes.data
        assert data == array.tobytes()


class TestPyTorchDatasets:
    @quiet_fork
    def test_the_datasets_by_their_former_names(self, base: str) -> None:
        samples(f"{base}training-data/", 40)
        with pytest.deprecated_call(match="ObjectStoreMapDataset"):
            mapped = S3MapDataset(
                uri=f"{base}training-data/",
                pattern="*.npz",
                transform=first_half,
            )
        with pytest.deprecated_call(match="ObjectStoreIterableDataset"):
            streamed = S3IterableDataset(
                uri=f"{base}training-data/",
                pattern="*.npz",
                shuffle=True,
                num_workers=4,
            )
        assert mapped[7].tolist() == [7] * 4
        sizes = [tuple(batch.shape) for batch in DataLoader(mapped, batch_size=32)]
        assert sizes == [(32, 4), (8, 4)]
        loader = DataLoader(streamed, batch_size=32, num_workers=2)
        assert sorted(int(number) for batch in loader for number in batch[:, 0]) == list(range(40))

    @pytest.mark.parametrize("rank", [0, 1])
    def test_each_rank_loads_a_shard_of_its_own(self, base: str, rank: int) -> None:
        samples(f"{base}shard_{rank}/", 3 + rank)
        with pytest.deprecated_call():
            dataset = S3IterableDataset(uri=f"{base}shard_{rank}/", pattern="*.npz", shuffle=True)
        assert sum(len(batch) for batch in DataLoader(dataset, batch_size=32)) == 3 + rank

    @quiet_fork
    def test_a_dataset_of_archives_written_by_hand(self, base: str) -> None:
        s3dlio.put_many((f"{base}train_{i:06d}.npz", archive(i)) for i in range(6))
        uris = [f"{base}train_{i:06d}.npz" for i in range(6)]
        dataset = S3NPZDataset(uris)
        loader = DataLoader(dataset, batch_size=4, num_workers=2)
        batches = list(loader)
        assert batches[0]["data"].shape == (4, 2, 4, 4, 3)
        assert torch.cat([batch["labels"] for batch in batches])[:, 0].tolist() == list(range(6))


class TestGenericDataLoaders:
    def test_a_dataset_and_an_async_loader_of_any_backend(self, base: str) -> None:
        fill(f"{base}data/", *(f"{number:03}" for number in range(40)))
        dataset = s3dlio.create_dataset(f"{base}data/")
        loader = s3dlio.create_async_loader(uri=f"{base}data/", options=s3dlio.PyLoaderOptions())
        batches: list[list[bytes]] = []

        async def main() -> None:
            async for batch in loader:
                batches.append([bytes(each) for each in batch])

        asyncio.run(main())
        assert [len(batch) for batch in batches] == [32, 8]
        assert [each for batch in batches for each in batch] == [bytes(each) for each in dataset]


class TestFilesOfOtherFormats:
    def test_an_npz_file_is_written_from_a_view_and_opened(
        self, base: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        s3dlio.put(f"{base}dataset.npz", archive(5))
        data_bytes = s3dlio.get(f"{base}dataset.npz")
        with open("dataset.npz", "wb") as f:
            f.write(data_bytes)
        data = np.load("dataset.npz")
        assert data.files == ["data", "labels", "metadata"]
        assert data["data"].shape == (2, 4, 4, 3)

    def test_an_index_of_records_is_unpacked_from_slices(self, base: str) -> None:
        s3dlio.put(f"{base}train_00000.tfrecord.index", struct.pack("<QQQQ", 0, 100, 100, 50))
        index_bytes = s3dlio.get(f"{base}train_00000.tfrecord.index")
        num_records = len(index_bytes) // 16
        records_info = []
        for i in range(num_records):
            offset, length = struct.unpack("<QQ", index_bytes[i * 16 : (i + 1) * 16])
            records_info.append((offset, length))
        assert records_info == [(0, 100), (100, 50)]

    def test_a_record_is_read_by_position_alone(self, base: str) -> None:
        s3dlio.put(f"{base}records", b"abcdefghij")
        offset, length = 2, 3
        assert s3dlio.get_range(f"{base}records", offset, offset + length) == b"cdefg"


class TestBatchOperations:
    def test_upload_and_download_by_their_older_arguments(self, base: str, tmp_path: Path) -> None:
        source, target = tmp_path / "files", tmp_path / "output"
        source.mkdir()
        for name in ("one.dat", "two.dat", "three.txt"):
            (source / name).write_text(name)
        s3dlio.upload(local_dir=f"{source}/", remote_uri=f"{base}uploads/", pattern="*.dat")
        assert s3dlio.list_keys(f"{base}uploads/") == ["one.dat", "two.dat"]
        fill(f"{base}uploads/", "four.txt")
        s3dlio.download(remote_uri=f"{base}uploads/", local_dir=f"{target}/", pattern="*.dat")
        assert sorted(path.name for path in target.iterdir()) == ["one.dat", "two.dat"]

    def test_many_objects_are_awaited(self, base: str) -> None:
        uris = fill(base, "file1", "file2", "file3")

        async def main() -> None:
            results = await s3dlio.get_many_async(uris)
            assert results == [b"file1", b"file2", b"file3"]

        asyncio.run(main())


class TestPerformanceOptimization:
    def test_sizes_are_asked_for_beforehand(self, base: str) -> None:
        fill(f"{base}dataset/", "a", "bb")
        uris = s3dlio.list(f"{base}dataset/")
        s3dlio.get_many_stats(uris, concurrency=100)
        for uri in uris:
            data = s3dlio.get(uri)
            assert uri.endswith(f"/{data.decode()}")

    def test_many_objects_are_read_in_parallel(self, base: str) -> None:
        fill(base, *(f"obj_{i}.dat" for i in range(100)))
        uris = [f"{base}obj_{i}.dat" for i in range(100)]
        results = s3dlio.get_many(uris, workers=64)
        assert results == [f"obj_{i}.dat".encode() for i in range(100)]


class TestFormerNames:
    def test_get_object_and_stat_object(self, base: str) -> None:
        fill(base, "key")
        assert s3dlio.get_object(f"{base}key") == s3dlio.get(f"{base}key") == b"key"
        assert s3dlio.stat_object(f"{base}key") == s3dlio.stat(f"{base}key")
