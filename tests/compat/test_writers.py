"""Writers and checkpoints of both packages; what ours does better is tested on ours alone."""

import gc
import io
import os
from array import array
from typing import Any

import numpy as np
import pytest
import torch

import s3dlio
from tests.compat.conftest import Connector
from tests.faults.processes import until

LARGE = os.urandom(21 << 20)


def fail_inside(opened: Any, size: int) -> None:
    with opened as writer:
        writer.write(bytes(size))
        raise LookupError("mine")


@pytest.mark.parametrize("content", [b"", b"small", LARGE], ids=["empty", "small", "large"])
def test_what_is_written_becomes_an_object(connector: Connector, content: bytes) -> None:
    writer = connector.client().put_object(connector.bucket_name, "key")
    assert (writer.readable(), writer.writable(), writer.seekable(), writer.closed) == (False, True, False, False)
    for at in range(0, len(content), 1_000_003):
        piece = content[at : at + 1_000_003]
        assert writer.write(piece) == len(piece)
    writer.flush()
    assert writer.tell() == len(content)
    writer.close()
    writer.close()
    assert writer.closed
    assert connector.reader("key").read() == content
    with pytest.raises(ValueError, match="I/O operation on closed file"):
        writer.write(b"more")


def test_an_exception_inside_with_reaches_the_caller(connector: Connector) -> None:
    with pytest.raises(LookupError, match="mine"):
        fail_inside(connector.client().put_object(connector.bucket_name, "key"), 4)


@pytest.mark.parametrize("size", [100, 21 << 20], ids=["small", "in parts"])
@pytest.mark.parametrize("end", ["exception", "dropped"])
def test_what_was_not_finished_never_replaces_an_object(ours: Connector, size: int, end: str) -> None:
    ours.put("key", b"a good checkpoint")
    writer: Any = ours.client().put_object(ours.bucket_name, "key")
    if end == "exception":
        with pytest.raises(LookupError, match="mine"):
            fail_inside(writer, size)
    else:
        writer.write(bytes(size))
    del writer
    gc.collect()
    assert ours.reader("key").read() == b"a good checkpoint"
    until(lambda: "Uploads" not in ours.bucket.client.list_multipart_uploads(Bucket=ours.bucket_name))


def test_a_writer_takes_any_buffer(ours: Connector) -> None:
    with ours.client().put_object(ours.bucket_name, "key") as writer:
        for data in (
            b"1",
            bytearray(b"2"),
            memoryview(b"3"),
            np.frombuffer(b"4", "u1"),
            array("B", b"5"),
            torch.tensor(54).byte().numpy().reshape(1),
        ):
            assert writer.write(data) == 1
        with pytest.raises(TypeError):
            writer.write("text")
    assert ours.reader("key").read() == b"123456"


def test_a_small_save_is_one_request(ours: Connector, tmp_path: Any) -> None:
    s3dlio.init_op_log(tmp_path / "log.tsv")
    try:
        checkpoint = ours.package.S3Checkpoint(**ours.options, s3client_config=ours.config)
        with checkpoint.writer(ours.uri("model.pt")) as writer:
            torch.save({"weight": torch.arange(100)}, writer)
    finally:
        s3dlio.finalize_op_log()
    lines = (tmp_path / "log.tsv").read_text().splitlines()[1:]
    assert [line.split("\t")[2] for line in lines] == ["PUT"]


@pytest.mark.parametrize("kind", ["small", "large"])
def test_torch_saves_and_loads(connector: Connector, kind: str) -> None:
    state: dict[str, Any] = {"weight": torch.randn(10 if kind == "small" else 3_000_000), "step": 7}
    checkpoint = connector.package.S3Checkpoint(**connector.options, s3client_config=connector.config)
    with checkpoint.writer(connector.uri("model.pt")) as writer:
        torch.save(state, writer)
    with checkpoint.reader(connector.uri("model.pt")) as reader:
        loaded = torch.load(reader, weights_only=True)
    assert torch.equal(loaded["weight"], state["weight"])
    assert loaded["step"] == 7
    assert torch.load(io.BytesIO(checkpoint.reader(connector.uri("model.pt")).read()), weights_only=True)["step"] == 7


def test_a_checkpoint_knows_where_it_is(connector: Connector) -> None:
    checkpoint = connector.package.S3Checkpoint("eu-west-1", "http://127.0.0.1:9")
    assert (checkpoint.region, checkpoint.endpoint) == ("eu-west-1", "http://127.0.0.1:9")
    for uri, text in [
        ("s3a://b/k", "Only s3:// URIs"),
        ("", "Only s3:// URIs"),
        ("s3://", "non-empty"),
        ("s3:///k", "non-empty"),
    ]:
        with pytest.raises(ValueError, match=text):
            checkpoint.reader(uri)
        with pytest.raises(ValueError, match=text):
            checkpoint.writer(uri)


def test_a_checkpoint_on_a_file_system(tmp_path: Any) -> None:
    from s3dlio.compat.s3torchconnector import S3Checkpoint

    checkpoint: Any = S3Checkpoint(region="us-east-1")
    uri = f"file://{tmp_path}/model.pt"
    with checkpoint.writer(uri) as writer:
        torch.save(torch.arange(5), writer)
    assert torch.load(tmp_path / "model.pt", weights_only=True).tolist() == [0, 1, 2, 3, 4]
    with checkpoint.reader(uri) as reader:
        assert torch.load(reader, weights_only=True).tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("content", [b"small", LARGE], ids=["small", "in parts"])
def test_an_object_is_kept_in_a_storage_class(connector: Connector, content: bytes) -> None:
    for key, storage_class in (("rare", "STANDARD_IA"), ("usual", None)):
        with connector.client().put_object(connector.bucket_name, key, storage_class=storage_class) as writer:
            writer.write(content)
    stored = connector.bucket.client.head_object(Bucket=connector.bucket_name, Key="rare")
    assert stored["StorageClass"] == "STANDARD_IA"
    assert "StorageClass" not in connector.bucket.client.head_object(Bucket=connector.bucket_name, Key="usual")
    client = connector.client()
    assert client.head_object(connector.bucket_name, "rare").storage_class == "STANDARD_IA"
    (page,) = client.list_objects(connector.bucket_name)
    assert {info.key: info.storage_class for info in page.object_info} == {"rare": "STANDARD_IA", "usual": "STANDARD"}


def test_a_storage_class_that_the_service_does_not_know_is_an_error(connector: Connector) -> None:
    def put() -> None:
        with connector.client().put_object(connector.bucket_name, "key", "NO_SUCH_CLASS") as writer:
            writer.write(b"content")

    with pytest.raises(connector.package.S3Exception):
        put()


def test_a_storage_class_is_a_name(connector: Connector) -> None:
    client = connector.client()
    with pytest.raises(connector.package.S3Exception):
        client.put_object(connector.bucket_name, "key", "STANDARD\r\nx-amz-acl: public-read")
    with pytest.raises(TypeError):
        client.put_object(connector.bucket_name, "key", 5)


def test_files_have_no_storage_class(tmp_path: Any) -> None:
    from s3dlio.compat.s3torchconnector import S3Client, S3Exception

    with pytest.raises(S3Exception, match="file:// has no storage classes"):
        S3Client("us-east-1").put_object("file://", f"{tmp_path}/key", "STANDARD_IA")
