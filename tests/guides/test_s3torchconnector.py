"""The examples of both guides for the stand-in of s3torchconnector, on every backend there is."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

import s3dlio
from s3dlio.compat.s3torchconnector import (
    S3Checkpoint,
    S3Client,
    S3ClientConfig,
    S3Item,
    S3IterableDataset,
    S3MapDataset,
)
from s3dlio_compat.s3torchconnector.uris import parse_s3_uri
from tests.servers.environment import S3Bucket


@pytest.fixture
def train(base: str) -> str:
    s3dlio.put_many([(f"{base}train/{number}.bin", bytes([number]) * 4) for number in range(3)])
    return f"{base}train/"


def test_an_iterable_dataset_gives_items_with_their_bytes(train: str) -> None:
    dataset = S3IterableDataset.from_prefix(train, region="us-east-1")
    seen: list[bytes] = []
    for item in dataset:
        assert f"{item.bucket}{item.key}".endswith(f"{len(seen)}.bin")
        data = item.read()
        assert torch.frombuffer(bytearray(data), dtype=torch.uint8).tolist() == [len(seen)] * 4
        seen.append(data)
    assert len(seen) == 3


def test_a_map_dataset_gives_random_access(train: str) -> None:
    dataset = S3MapDataset.from_prefix(train, region="us-east-1")
    assert dataset[0].read() == bytes(4)
    assert dataset[-1].read() == bytes([2]) * 4
    assert len(dataset) == 3


def test_a_checkpoint_is_saved_and_loaded(base: str) -> None:
    model = nn.Linear(3, 2)
    checkpoint: Any = S3Checkpoint(region="us-east-1")
    with checkpoint.writer(f"{base}model.pt") as writer:
        torch.save(model.state_dict(), writer)
    with checkpoint.reader(f"{base}model.pt") as reader:
        state_dict = torch.load(reader, weights_only=True)
    assert torch.equal(state_dict["weight"], model.weight)


def test_a_client_puts_gets_ranges_and_lists(moto_s3: S3Bucket) -> None:
    client = S3Client(
        region="us-east-1",
        endpoint=moto_s3.server.endpoint,
        s3client_config=S3ClientConfig(force_path_style=True),
    )
    writer = client.put_object(moto_s3.bucket, "prefix/key.bin")
    writer.write(bytes(range(256)) * 8)
    writer.close()

    reader = client.get_object(moto_s3.bucket, "prefix/key.bin")
    assert reader.read() == bytes(range(256)) * 8

    reader = client.get_object(moto_s3.bucket, "prefix/key.bin", start=0, end=1023)
    assert len(reader.read()) == 1024

    keys = [info.key for result in client.list_objects(moto_s3.bucket, "prefix/") for info in result.object_info]
    assert keys == ["prefix/key.bin"]


def test_a_client_works_on_every_backend(base: str) -> None:
    bucket, prefix = parse_s3_uri(base)
    client = S3Client(region="us-east-1", s3client_config=S3ClientConfig(force_path_style=True))
    writer = client.put_object(bucket, f"{prefix}prefix/key.bin")
    writer.write(bytes(range(256)) * 8)
    writer.close()
    assert client.get_object(bucket, f"{prefix}prefix/key.bin").read() == bytes(range(256)) * 8
    reader = client.get_object(bucket, f"{prefix}prefix/key.bin", start=0, end=1023)
    assert reader.read() == bytes(range(256)) * 4
    pages = client.list_objects(bucket, f"{prefix}prefix/")
    assert [info.key for page in pages for info in page.object_info] == [f"{prefix}prefix/key.bin"]


def as_tensor(item: S3Item) -> torch.Tensor:
    """Be the transform of the guide."""
    return torch.frombuffer(bytearray(item.read()), dtype=torch.uint8)


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("kind", [S3IterableDataset, S3MapDataset])
def test_a_loader_takes_either_dataset(train: str, kind: Any, workers: int) -> None:
    options: dict[str, Any] = {"enable_sharding": True} if kind is S3IterableDataset else {}
    dataset = kind.from_prefix(train, region="us-east-1", transform=as_tensor, **options)
    batches = list(DataLoader(dataset, batch_size=2, num_workers=workers))
    assert sorted(int(row[0]) for batch in batches for row in batch) == [0, 1, 2]


@pytest.mark.filterwarnings("ignore:The given buffer is not writable")
def test_what_an_item_reads_becomes_a_tensor_as_it_is(train: str) -> None:
    for number, item in enumerate(S3IterableDataset.from_prefix(train, region="us-east-1")):
        assert torch.frombuffer(item.read(), dtype=torch.uint8).tolist() == [number] * 4
