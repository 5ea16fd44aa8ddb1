"""Each call of the 0.9.50 guide about storing, reading, batches, threads and PyTorch, spelled as the guide does."""

from __future__ import annotations

import asyncio
import io
import logging
import os
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

import numpy
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

import s3dlio
from s3dlio import ObjectStoreIterableDataset, ObjectStoreMapDataset
from tests.guides.data import archive, fill, samples
from tests.servers.environment import S3Bucket

quiet_fork = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")  # of any fork beside threads, in 3.12


class TestQuickStart:
    def test_the_version_is_told(self) -> None:
        assert s3dlio.__version__

    @pytest.mark.parametrize("level", ["trace", "debug", "info", "warn", "error"])
    def test_logging_is_set_up(
        self, level: str, base: str, logger: logging.Logger, capsys: pytest.CaptureFixture[str]
    ) -> None:
        s3dlio.init_logging(level)
        logger.error("something went wrong")
        assert capsys.readouterr().err.endswith("ERROR s3dlio: something went wrong\n")
        s3dlio.put_bytes(f"{base}data.bin", b"Hello, World!")

    def test_an_unknown_level_is_refused(self) -> None:
        with pytest.raises(ValueError, match="loud"):
            s3dlio.init_logging("loud")

    def test_the_first_example(self, base: str, tmp_path: Path) -> None:
        s3dlio.put_bytes(f"{base}data.bin", b"Hello, World!")
        s3dlio.put_bytes(f"file://{tmp_path}/local.bin", b"Local data")
        assert (tmp_path / "local.bin").read_bytes() == b"Local data"

        data = s3dlio.get(f"{base}data.bin")
        assert len(data) == 13
        assert bytes(data) == b"Hello, World!"

        chunk = s3dlio.get_range(f"{base}data.bin", offset=0, length=5)
        assert bytes(chunk) == b"Hello"

        fill(f"{base}prefix/", "one")
        objects = s3dlio.list(f"{base}prefix/")
        assert objects == [f"{base}prefix/one"]

        metadata = s3dlio.stat(f"{base}data.bin")
        assert f"Size: {metadata['size']} bytes" == "Size: 13 bytes"

        if s3dlio.exists(f"{base}data.bin"):
            s3dlio.delete(f"{base}data.bin")
        assert not s3dlio.exists(f"{base}data.bin")

    @pytest.mark.xdist_group("moto")
    def test_buckets_of_one_endpoint_are_used_side_by_side(self, moto_s3: S3Bucket) -> None:
        for name in ("bucket-a", "bucket-b", "bucket-c"):
            s3dlio.create_bucket(name)
        s3dlio.put_bytes("s3://bucket-a/key1", b"data1")
        s3dlio.put_bytes("s3://bucket-b/key2", b"data2")
        s3dlio.put_bytes("s3://bucket-c/key3", b"data3")
        assert s3dlio.get("s3://bucket-c/key3") == b"data3"
        assert moto_s3.client.get_object(Bucket="bucket-b", Key="key2")["Body"].read() == b"data2"


class TestCoreStorageOperations:
    def test_put_bytes(self, base: str, tmp_path: Path) -> None:
        s3dlio.put_bytes(f"{base}key", b"data")
        assert s3dlio.get(f"{base}key") == b"data"

        (tmp_path / "local_file.bin").write_bytes(b"from a file")
        with open(tmp_path / "local_file.bin", "rb") as f:
            s3dlio.put_bytes(f"{base}key", f.read())
        assert s3dlio.get(f"{base}key") == b"from a file"

        async def main() -> None:
            await s3dlio.put_bytes_async(f"{base}key", b"async data")

        asyncio.run(main())
        assert s3dlio.get(f"{base}key") == b"async data"

    def test_get(self, base: str) -> None:
        s3dlio.put_bytes(f"{base}key", b"data")
        data = s3dlio.get(f"{base}key")
        mv = memoryview(data)
        arr = numpy.frombuffer(data, dtype=np.uint8)
        raw = bytes(data)
        assert mv.tobytes() == b"data"
        assert arr.tolist() == list(b"data")
        assert raw == b"data"
        assert len(data) == 4

    def test_get_range(self, base: str) -> None:
        content = np.random.default_rng(0).bytes(8000)
        s3dlio.put_bytes(f"{base}key", content)
        chunk = s3dlio.get_range(f"{base}key", offset=1024, length=4096)
        tail = s3dlio.get_range(f"{base}key", offset=1024)
        assert bytes(chunk) == content[1024:5120]
        assert bytes(tail) == content[1024:]

    def test_list(self, base: str) -> None:
        fill(f"{base}prefix/", "file1.dat", "file2.dat", "arrays.npz", "sub/more.npz")
        uris = s3dlio.list(f"{base}prefix/")
        assert uris == [f"{base}prefix/{name}" for name in ("arrays.npz", "file1.dat", "file2.dat", "sub/")]

        uris = s3dlio.list(f"{base}prefix/", recursive=True)
        assert uris[-1] == f"{base}prefix/sub/more.npz"

        uris = s3dlio.list(f"{base}prefix/", pattern="*.npz")
        assert uris == [f"{base}prefix/arrays.npz"]

    def test_stat(self, base: str) -> None:
        fill(base, "key", "a", "bb")
        meta = s3dlio.stat(f"{base}key")
        assert meta["size"] == 3
        assert isinstance(meta["size"], int)
        assert datetime.fromisoformat(meta["last_modified"]).tzinfo is not None
        assert isinstance(meta["etag"], str)

        async def main() -> None:
            assert await s3dlio.stat_async(f"{base}key") == meta
            metas = await s3dlio.stat_many_async([f"{base}a", f"{base}bb"])
            assert [each["size"] for each in metas] == [1, 2]

        asyncio.run(main())

    def test_exists(self, base: str) -> None:
        assert not s3dlio.exists(f"{base}key")
        fill(base, "key")
        assert s3dlio.exists(f"{base}key")

        async def main() -> bool:
            return await s3dlio.exists_async(f"{base}key")

        assert asyncio.run(main()) is True

    def test_delete(self, base: str) -> None:
        fill(base, "key")
        s3dlio.delete(f"{base}key")
        assert s3dlio.list(base) == []

    def test_mkdir(self, base: str, tmp_path: Path) -> None:
        s3dlio.mkdir(f"file://{tmp_path}/output/subdir")
        assert (tmp_path / "output" / "subdir").is_dir()

        async def main() -> None:
            await s3dlio.mkdir_async(f"{base}prefix/")

        asyncio.run(main())
        assert s3dlio.list(base) == [f"{base}prefix/"]


class TestZeroCopyDataFlow:
    def test_arrays_and_tensors_share_the_memory_of_a_view(self, base: str) -> None:
        s3dlio.put_bytes(f"{base}model_weights.bin", np.arange(1000, dtype=np.float32))
        data = s3dlio.get(f"{base}model_weights.bin")

        mv = memoryview(data)
        weights = np.frombuffer(data, dtype=np.float32)
        tensor = torch.frombuffer(data, dtype=torch.float32)
        raw = bytes(data)

        assert weights.tolist() == tensor.tolist() == list(range(1000))
        assert weights.ctypes.data == tensor.data_ptr() == np.frombuffer(mv, np.uint8).ctypes.data
        tensor[0] = 7
        assert weights[0] == 7
        assert raw[:4] == bytes(4)


class TestBatchOperations:
    def test_put_many(self, base: str) -> None:
        items = [
            (f"{base}file1.bin", b"data1"),
            (f"{base}file2.bin", b"data2"),
            (f"{base}file3.bin", b"data3"),
        ]
        s3dlio.put_many(items)
        assert s3dlio.get_many([uri for uri, _ in items]) == [b"data1", b"data2", b"data3"]

        async def main() -> None:
            await s3dlio.put_many_async([(uri, b"again") for uri, _ in items])

        asyncio.run(main())
        assert s3dlio.get_many([uri for uri, _ in items]) == [b"again"] * 3

    def test_get_many(self, base: str) -> None:
        uris = fill(base, "file1", "file2", "file3")
        results = s3dlio.get_many(uris, workers=64)
        assert results == [b"file1", b"file2", b"file3"]

        async def main() -> None:
            results = await s3dlio.get_many_async(uris)
            assert results == [b"file1", b"file2", b"file3"]

        asyncio.run(main())

    def test_upload_and_download(self, base: str, tmp_path: Path) -> None:
        source, target = tmp_path / "data" / "files", tmp_path / "data" / "output"
        (source / "sub").mkdir(parents=True)
        (source / "one").write_bytes(b"1")
        (source / "sub" / "two").write_bytes(b"2")
        s3dlio.upload(
            src_uri=f"file://{source}/",
            dest_uri=f"{base}uploads/",
        )
        assert s3dlio.list_keys(f"{base}uploads/", recursive=True) == ["one", "sub/two"]
        s3dlio.download(
            src_uri=f"{base}uploads/",
            dest_dir=f"{target}/",
        )
        assert (target / "sub" / "two").read_bytes() == b"2"

    def test_mp_get(self, base: str) -> None:
        fill(f"{base}dataset/", *(f"data_{number}.bin" for number in range(20)))
        result = s3dlio.mp_get(uri=f"{base}dataset/", procs=2, jobs=16, num=20, template="data_{}.bin")
        assert (result["attempted"], result["succeeded"], result["failed"]) == (20, 20, 0)
        assert result["total_bytes"] == sum(len(f"data_{number}.bin") for number in range(20))
        assert f"Throughput: {result['throughput_mb_s']} MB/s".startswith("Throughput: ")


@pytest.mark.xdist_group("moto")
class TestMultiBackendSupport:
    def test_the_environment_says_who_and_where(self, moto_s3: S3Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION", "AWS_ENDPOINT_URL"):
            monkeypatch.delenv(name)
        s3dlio.reset()
        monkeypatch.setitem(os.environ, "AWS_ACCESS_KEY_ID", "your_key")
        monkeypatch.setitem(os.environ, "AWS_SECRET_ACCESS_KEY", "your_secret")
        monkeypatch.setitem(os.environ, "AWS_REGION", "us-east-1")
        monkeypatch.setitem(os.environ, "AWS_ENDPOINT_URL", moto_s3.server.endpoint)
        s3dlio.put(moto_s3.uri("key"), b"content")
        assert moto_s3.client.get_object(Bucket=moto_s3.bucket, Key="key")["Body"].read() == b"content"

    def test_buckets_are_made_and_removed_by_name(self, moto_s3: S3Bucket) -> None:
        s3dlio.create_bucket("my-bucket")
        assert "my-bucket" in [each["Name"] for each in moto_s3.client.list_buckets()["Buckets"]]
        s3dlio.delete_bucket("my-bucket")
        assert "my-bucket" not in [each["Name"] for each in moto_s3.client.list_buckets()["Buckets"]]


class TestPyTorchDatasets:
    def test_the_map_dataset(self, base: str) -> None:
        samples(f"{base}train/", 5)
        dataset = ObjectStoreMapDataset(uri=f"{base}train/", pattern="*.npz")
        item = dataset[0]
        assert len(dataset) == 5
        assert item.dtype is torch.uint8
        assert item.tolist() == [0] * 8

    @quiet_fork
    @pytest.mark.parametrize("num_workers", [0, 2])
    def test_the_iterable_dataset_with_a_loader(self, base: str, num_workers: int) -> None:
        samples(f"{base}train/", 40)
        s3dlio.delete(f"{base}train/README.txt")
        dataset = ObjectStoreIterableDataset(uri=f"{base}train/", shuffle=True)
        loader = DataLoader(dataset, batch_size=32, num_workers=num_workers)
        seen = [int(number) for batch in loader for number in batch[:, 0]]
        assert sorted(seen) == list(range(40))
        assert seen != list(range(40))


class TestPerformanceAndThreading:
    def test_sixteen_threads_upload_at_once(self, base: str) -> None:
        data = b"payload"

        def upload_one(i: int) -> None:
            s3dlio.put_bytes(f"{base}obj_{i}.bin", data)

        with ThreadPoolExecutor(max_workers=16) as pool:
            list(pool.map(upload_one, range(100)))
        assert len(s3dlio.list(base)) == 100

    def test_sizes_are_asked_for_beforehand(self, base: str) -> None:
        fill(f"{base}dataset/", "a", "bb", "ccc")
        uris = s3dlio.list(f"{base}dataset/")
        s3dlio.get_many_stats(uris, concurrency=100)
        assert [bytes(s3dlio.get(uri)) for uri in uris] == [b"a", b"bb", b"ccc"]


class TestAdvancedFeatures:
    def test_an_npz_file_is_opened_from_the_bytes(self, base: str) -> None:
        s3dlio.put(f"{base}data.npz", archive(3))
        data = s3dlio.get(f"{base}data.npz")
        arrays = np.load(io.BytesIO(bytes(data)))
        assert arrays.files == ["data", "labels", "metadata"]
        assert arrays["labels"].tolist() == [3, 3]

    def test_the_convenience_names(self, base: str) -> None:
        fill(f"{base}prefix/", "file1.bin", "file2.bin")
        keys = s3dlio.list_keys(f"{base}prefix/")
        assert keys == ["file1.bin", "file2.bin"]
        uris = s3dlio.list_full_uris(f"{base}prefix/")
        assert uris == [f"{base}prefix/file1.bin", f"{base}prefix/file2.bin"]
        data = s3dlio.get_object(f"{base}prefix/file1.bin")
        assert data == b"file1.bin"
        meta = s3dlio.stat_object(f"{base}prefix/file1.bin")
        assert meta["size"] == 9
