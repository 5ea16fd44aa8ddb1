"""Clients of both packages: listings, metadata, copies, and the texts of their errors."""

import pickle
from pathlib import Path
from typing import Any

import pytest

import s3dlio
from tests.compat.conftest import Connector


def keys_of(pages: Any) -> list[list[str]]:
    return [[info.key for info in page.object_info] for page in pages]


def test_a_listing_comes_in_pages(connector: Connector) -> None:
    for key in ("a", "b/1", "b/2", "c", "d"):
        connector.put(key, b"12345")
    client, bucket = connector.client(), connector.bucket_name
    assert keys_of(client.list_objects(bucket)) == [["a", "b/1", "b/2", "c", "d"]]
    assert keys_of(client.list_objects(bucket, max_keys=2)) == [["a", "b/1"], ["b/2", "c"], ["d"]]
    assert keys_of(client.list_objects(bucket, "b/")) == [["b/1", "b/2"]]
    assert keys_of(client.list_objects(bucket, "nothing")) == [[]]
    (page,) = client.list_objects(bucket, delimiter="/")
    assert [info.key for info in page.object_info] == ["a", "c", "d"]
    assert page.common_prefixes == ["b/"]
    stream = client.list_objects(bucket, "b/", "/", 7)
    assert (stream.bucket, stream.prefix, stream.delimiter, stream.max_keys) == (bucket, "b/", "/", 7)
    assert stream.complete is False


def test_what_is_known_of_an_object(connector: Connector) -> None:
    connector.put("key", b"12345")
    client, bucket = connector.client(), connector.bucket_name
    (page,) = client.list_objects(bucket)
    (info,) = page.object_info
    head = client.head_object(bucket, "key")
    stored = connector.bucket.client.head_object(Bucket=bucket, Key="key")
    for known in (info, head):
        assert (known.size, known.etag) == (5, stored["ETag"])
        assert known.last_modified == int(stored["LastModified"].timestamp())
        assert known.restore_status is None
        assert pickle.loads(pickle.dumps(known)).etag == known.etag
    assert info.key == "key"


def test_an_object_is_removed_and_copied(connector: Connector) -> None:
    connector.put("key", b"12345")
    client, bucket = connector.client(), connector.bucket_name
    client.copy_object(bucket, "key", bucket, "copy")
    client.delete_object(bucket, "key")
    client.delete_object(bucket, "key")
    assert keys_of(client.list_objects(bucket)) == [["copy"]]
    assert connector.reader("copy").read() == b"12345"


CALLS: dict[str, tuple[Any, str]] = {
    "get": (lambda client, bucket: client.get_object(bucket, "missing").read(), "The key does not exist"),
    "head": (lambda client, bucket: client.head_object(bucket, "missing"), "The object was not found"),
    "copy": (lambda client, bucket: client.copy_object(bucket, "missing", bucket, "to"), "The object was not found"),
    "list elsewhere": (lambda client, bucket: next(client.list_objects("nowhere-at-all")), "The bucket does not exist"),
    "get elsewhere": (
        lambda client, bucket: client.get_object("nowhere-at-all", "k").read(),
        "The bucket does not exist",
    ),
    "head elsewhere": (lambda client, bucket: client.head_object("nowhere-at-all", "k"), "The object was not found"),
}


@pytest.mark.parametrize("call", CALLS)
def test_what_is_not_there_has_its_text(connector: Connector, call: str) -> None:
    work, text = CALLS[call]
    with pytest.raises(connector.package.S3Exception) as caught:
        work(connector.client(), connector.bucket_name)
    assert str(caught.value) == f"Service error: {text}"
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_a_range_of_an_object_is_read(ours: Connector) -> None:
    ours.put("key", b"0123456789")
    client, bucket = ours.client(), ours.bucket_name
    reader = client.get_object(bucket, "key", start=2, end=5)
    assert reader.read() == b"2345"
    assert client.get_object(bucket, "key", start=7).read() == b"789"
    assert client.get_object(bucket, "key", end=3).read(2) == b"01"
    assert client.get_object(bucket, "key", start=4, end=99).seek(0, 2) == 6
    with pytest.raises(ValueError, match="start=5 and end=2"):
        client.get_object(bucket, "key", start=5, end=2)


def test_a_configuration_is_a_frozen_value(connector: Connector) -> None:
    config_class = connector.package.S3ClientConfig
    config = config_class()
    assert (config.throughput_target_gbps, config.part_size, config.unsigned) == (10.0, 8 << 20, False)
    assert (config.force_path_style, config.max_attempts, config.profile) == (False, 10, None)
    assert config == config_class()
    assert hash(config) == hash(config_class())
    assert pickle.loads(pickle.dumps(config)) == config
    with pytest.raises(AttributeError):
        config.part_size = 1
    with pytest.raises(TypeError):
        config_class(nothing=1)


def test_a_part_size_that_cannot_be_is_refused_at_the_first_use(connector: Connector) -> None:
    client_class = connector.module("_s3client").S3Client
    config = connector.package.S3ClientConfig(part_size=1)
    client = client_class("us-east-1", endpoint=connector.options["endpoint"], s3client_config=config)
    with pytest.raises(connector.package.S3Exception, match="part size must be at between 5MiB and 5GiB"):
        client.head_object(connector.bucket_name, "key")


def test_attempts_that_cannot_be_are_an_error_like_any_other(ours: Connector) -> None:
    client_class = ours.module("_s3client").S3Client
    config = ours.package.S3ClientConfig(max_attempts=0)
    with pytest.raises(ours.package.S3Exception, match="max_attempts must be 1 or more, not 0"):
        client_class("us-east-1", s3client_config=config).head_object("bucket", "key")


def test_a_client_says_what_it_is(connector: Connector) -> None:
    client = connector.client()
    assert client.region == "us-east-1"
    assert client.s3client_config == connector.config
    assert client.user_agent_prefix.startswith("s3torchconnector/1.")
    assert pickle.loads(pickle.dumps(client)).region == "us-east-1"


def test_a_client_in_memory_behaves_as_one_of_the_service(connector: Connector) -> None:
    mock = connector.module("_s3client").MockS3Client("us-east-1", "bucket")
    mock.add_object("b/1", b"12345")
    mock.add_object("a", b"")
    mock.add_object("b/2", b"1")
    assert keys_of(mock.list_objects("bucket")) == [["a", "b/1", "b/2"]]
    assert mock.get_object("bucket", "b/1").read() == b"12345"
    assert mock.head_object("bucket", "b/1").size == 5
    with mock.put_object("bucket", "c") as writer:
        writer.write(b"new")
    assert mock.get_object("bucket", "c").read() == b"new"
    mock.delete_object("bucket", "c")
    mock.remove_object("a")
    assert keys_of(mock.list_objects("bucket")) == [["b/1", "b/2"]]
    with pytest.raises(connector.package.S3Exception, match="Service error"):
        mock.get_object("bucket", "missing").read()
    with pytest.raises(connector.package.S3Exception, match="The bucket does not exist"):
        next(mock.list_objects("elsewhere"))


def test_a_replaced_object_is_never_read_as_a_mixture(ours: Connector) -> None:
    ours.put("key", b"first version")
    reader = ours.reader("key", "range_based", buffer_size=0)
    assert reader.read(5) == b"first"
    ours.put("key", b"other content")
    with pytest.raises(ours.package.S3Exception, match="replaced"):
        reader.read()


def test_what_a_client_does_is_in_the_operation_log(ours: Connector, tmp_path: Path) -> None:
    s3dlio.init_op_log(tmp_path / "log.tsv")
    try:
        client, bucket = ours.client(), ours.bucket_name
        ours.put("key", b"12345")
        client.head_object(bucket, "key")
        list(client.list_objects(bucket))
        client.copy_object(bucket, "key", bucket, "copy")
        client.get_object(bucket, "copy").read()
        client.delete_object(bucket, "copy")
    finally:
        s3dlio.finalize_op_log()
    lines = (tmp_path / "log.tsv").read_text().splitlines()[1:]
    assert [line.split("\t")[2] for line in lines] == ["PUT", "STAT", "LIST", "COPY", "GET", "DELETE"]


def test_without_credentials_the_text_says_so(connector: Connector, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(connector.package.S3Exception) as caught:
        connector.client().head_object(connector.bucket_name, "key")
    assert str(caught.value).startswith("Client error: No signing credentials ")
