"""Data sets of both packages: by index, as a stream, in workers and over ranks."""

import logging
import pickle
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader

from tests.compat.conftest import Connector

COUNT = 23


def content_of(reader: Any) -> bytes:
    content: bytes = reader.read()
    return content


def key_and_content(reader: Any) -> tuple[str, bytes]:
    return reader.key, reader.read()


def as_tensor(reader: Any) -> torch.Tensor:
    return torch.frombuffer(bytearray(reader.read()), dtype=torch.uint8)


@pytest.fixture
def filled(connector: Connector) -> Connector:
    fill(connector)
    return connector


def fill(connector: Connector) -> None:
    for number in range(COUNT):
        connector.put(f"train/{number:03}", bytes([number]) * 8)
    connector.put("other", b"else")


SAMPLES = [(f"train/{number:03}", bytes([number]) * 8) for number in range(COUNT)]


def test_a_map_dataset_gives_objects_by_index(filled: Connector) -> None:
    dataset = filled.dataset("Map", "train/", transform=key_and_content)
    assert len(dataset) == COUNT
    assert dataset[0] == SAMPLES[0]
    assert dataset[-1] == SAMPLES[-1]
    assert list(dataset) == SAMPLES
    assert dataset.region == "us-east-1"
    assert dataset.endpoint == filled.options["endpoint"]
    with pytest.raises(IndexError, match="list index out of range"):
        dataset[COUNT]
    for index in ("a", 1.0):
        with pytest.raises(TypeError):
            dataset[index]


def test_an_iterable_dataset_streams_objects(filled: Connector) -> None:
    dataset = filled.dataset("Iterable", "train/", transform=key_and_content)
    assert list(dataset) == SAMPLES
    assert list(dataset) == SAMPLES
    with pytest.raises(TypeError):
        len(dataset)


@pytest.mark.parametrize("kind", ["Map", "Iterable"])
def test_objects_may_be_named(filled: Connector, kind: str) -> None:
    made = getattr(filled.package, f"S3{kind}Dataset").from_objects
    options = {**filled.options, "s3client_config": filled.config, "transform": key_and_content}
    uris = [filled.uri("train/007"), filled.uri("train/002")]
    assert list(made(uris, **options)) == [SAMPLES[7], SAMPLES[2]]
    assert list(made(iter(uris), **options)) == [SAMPLES[7], SAMPLES[2]]
    assert list(made(uris[0], **options)) == [SAMPLES[7]]


@pytest.mark.parametrize("kind", ["Map", "Iterable"])
def test_a_sample_is_a_reader_unless_it_is_transformed(filled: Connector, kind: str) -> None:
    item = next(iter(filled.dataset(kind, "train/")))
    assert isinstance(item, filled.package.S3Reader)
    assert (item.bucket, item.key) == (filled.bucket_name, "train/000")
    assert item.read() == bytes(8)


def test_a_region_is_required_and_nothing_is_asked_at_construction(connector: Connector) -> None:
    for kind in ("Map", "Iterable"):
        made = getattr(connector.package, f"S3{kind}Dataset")
        with pytest.raises(TypeError):
            made.from_prefix("s3://bucket/")
        with pytest.raises(TypeError):
            made.from_prefix("s3://bucket/", "us-east-1")
        made.from_prefix("s3://bucket/", region="us-east-1", endpoint="http://127.0.0.1:9")
    for uri, text in [
        ("s3a://b/k", "Only s3:// URIs"),
        ("", "Only s3:// URIs"),
        ("s3:///k", "Bucket name must be non-empty"),
    ]:
        dataset = connector.package.S3MapDataset.from_prefix(uri, region="us-east-1")
        with pytest.raises(ValueError, match=text):
            len(dataset)


@pytest.mark.parametrize("kind", ["Map", "Iterable"])
def test_building_is_logged(connector: Connector, kind: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        connector.dataset(kind, "train/")
    assert f"Building S3{kind}Dataset from_prefix s3_uri='{connector.uri('train/')}'" in caplog.text


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("kind", ["Map", "Iterable"])
def test_a_dataloader_reads_each_object(filled: Connector, kind: str, workers: int) -> None:
    options: dict[str, Any] = {"multiprocessing_context": "spawn"} if workers else {}
    sharding = {"enable_sharding": True} if kind == "Iterable" else {}
    dataset = filled.dataset(kind, "train/", transform=as_tensor, **sharding)
    batches = list(DataLoader(dataset, batch_size=5, num_workers=workers, **options))
    assert sorted(int(row[0]) for batch in batches for row in batch) == list(range(COUNT))


@pytest.mark.parametrize("kind", ["Map", "Iterable"])
def test_workers_of_a_fork_read_each_object(ours: Connector, kind: str) -> None:
    fill(ours)
    sharding = {"enable_sharding": True} if kind == "Iterable" else {}
    dataset = ours.dataset(kind, "train/", transform=as_tensor, **sharding)
    next(iter(dataset))  # used before the fork
    batches = list(DataLoader(dataset, batch_size=5, num_workers=2, multiprocessing_context="fork"))
    assert sorted(int(row[0]) for batch in batches for row in batch) == list(range(COUNT))


def test_without_sharding_each_worker_gives_everything(ours: Connector) -> None:
    fill(ours)
    dataset = ours.dataset("Iterable", "train/", transform=as_tensor)
    batches = list(DataLoader(dataset, batch_size=None, num_workers=2, multiprocessing_context="fork"))
    assert sorted(int(sample[0]) for sample in batches) == sorted([*range(COUNT)] * 2)


@pytest.mark.parametrize("kind", ["Map", "Iterable"])
def test_a_dataset_pickles_before_and_after_use(filled: Connector, kind: str) -> None:
    dataset = filled.dataset(kind, "train/", transform=key_and_content)
    assert list(pickle.loads(pickle.dumps(dataset))) == SAMPLES
    list(dataset)
    assert list(pickle.loads(pickle.dumps(dataset))) == SAMPLES


def test_a_reader_pickles_until_it_is_read(connector: Connector) -> None:
    connector.put("key", b"content")
    reader = connector.reader("key")
    assert pickle.loads(pickle.dumps(reader)).read() == b"content"
    reader.read(1)
    with pytest.raises(TypeError, match="cannot pickle"):
        pickle.dumps(reader)
