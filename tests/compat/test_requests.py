"""What arrives at the service: who asks, who pays, and what is left of a write that is interrupted."""

import signal
import subprocess
import sys
import threading
from collections.abc import Iterable
from typing import Any

import pytest

from tests.compat.conftest import Connector
from tests.faults.processes import BEGIN, STARTED, healthy, until
from tests.servers.environment import S3Bucket
from tests.servers.scripted import STALL, Asked, Piece, response, scripted

LARGE = bytes(17 << 20)


def client_of(connector: Connector, endpoint: str, **options: Any) -> Any:
    config = connector.package.S3ClientConfig(force_path_style=True, **options)
    return connector.module("_s3client").S3Client("us-east-1", endpoint=endpoint, s3client_config=config)


def read_all(client: Any) -> None:
    """List, ask for and read what the service has."""
    next(client.list_objects("bucket"))
    client.head_object("bucket", "key")
    assert len(client.get_object("bucket", "key").read()) == 5000


def write_all(client: Any) -> None:
    """Store a small and a large object, copy and remove one."""
    for content in (b"small", LARGE):
        with client.put_object("bucket", "key") as writer:
            writer.write(content)
    client.copy_object("bucket", "key", "bucket", "copy")
    client.delete_object("bucket", "key")


TIME = "Wed, 01 Jan 2025 00:00:00 GMT"
LISTING = b"""<?xml version="1.0"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">
<Name>bucket</Name><Prefix/><KeyCount>1</KeyCount><MaxKeys>1000</MaxKeys><IsTruncated>false</IsTruncated>
<Contents><Key>key</Key><LastModified>2025-01-01T00:00:00.000Z</LastModified><ETag>&quot;one&quot;</ETag>
<Size>5000</Size><StorageClass>STANDARD</StorageClass></Contents></ListBucketResult>"""


def complete(request: Asked) -> Iterable[Piece]:
    """Answer as a service does, with every field that the original wants."""
    if "list-type=2" in request.target:
        return [response(200, LISTING, Content_Type="application/xml")]
    if request.method == "HEAD":
        return [response(200, Content_Length="5000", ETag='"one"', Last_Modified=TIME)]
    if "x-amz-copy-source" in request.fields:
        return [response(200, b"<CopyObjectResult><ETag>&quot;one&quot;</ETag></CopyObjectResult>")]
    return healthy(request)


@pytest.mark.parametrize("unsigned", [True, False], ids=["unsigned", "signed"])
def test_requests_are_signed_unless_they_should_not_be(connector: Connector, unsigned: bool) -> None:
    with scripted(complete) as server:
        read_all(client_of(connector, server.endpoint, unsigned=unsigned))
    assert len(server.asked) >= 3
    assert {"authorization" in request.fields for request in server.asked} == {not unsigned}


def test_without_credentials_unsigned_requests_work(connector: Connector, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    connector.bucket.client.put_object(Bucket=connector.bucket_name, Key="key", Body=b"public", ACL="public-read")
    client = client_of(connector, connector.options["endpoint"], unsigned=True)
    assert client.get_object(connector.bucket_name, "key").read() == b"public"


@pytest.mark.parametrize("pays", [True, False], ids=["requester", "owner"])
def test_every_request_says_who_pays(ours: Connector, pays: bool) -> None:
    with scripted(complete) as server:
        client = client_of(ours, server.endpoint, requester_pays=pays)
        read_all(client)
        write_all(client)
    assert {request.method for request in server.asked} == {"GET", "HEAD", "PUT", "POST", "DELETE"}
    assert {request.fields.get("x-amz-request-payer") for request in server.asked} == {"requester" if pays else None}


def test_nobody_pays_for_requests_without_a_name(ours: Connector) -> None:
    with pytest.raises(ValueError, match="requester_pays needs signed requests"):
        ours.package.S3ClientConfig(unsigned=True, requester_pays=True)


class Beginning:
    """A service that names a new upload when it is told to."""

    def __init__(self) -> None:
        self.asked = threading.Event()
        self.let_go = threading.Event()

    def __call__(self, request: Asked) -> Iterable[Piece]:
        if request.method == "POST":
            self.asked.set()
            assert self.let_go.wait(20)
            return [response(200, STARTED)]
        return [response(204) if request.method == "DELETE" else STALL]


INTERRUPTED = """
from s3dlio.compat.s3torchconnector import S3Client, S3ClientConfig
signal.signal(signal.SIGINT, signal.default_int_handler)
client = S3Client("us-east-1", endpoint=sys.argv[1], s3client_config=S3ClientConfig(force_path_style=True))
try:
    if sys.argv[2] == "with":
        with client.put_object("bucket", "key") as writer:
            writer.write(bytes(20 << 20))
    else:
        client.put_object("bucket", "key").write(bytes(20 << 20))
except KeyboardInterrupt:
    print("interrupted", flush=True)
    sys.stdin.readline()
"""


@pytest.mark.parametrize("kind", ["with", "without"])
@pytest.mark.parametrize("silent", [False, True], ids=["answered", "silent"])
def test_a_write_that_is_interrupted_while_its_upload_begins_leaves_none(
    moto_s3: S3Bucket, kind: str, silent: bool
) -> None:
    begins = Beginning()
    with scripted(begins) as server:
        command = [sys.executable, "-c", BEGIN + INTERRUPTED, server.endpoint, kind]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
            assert child.stdin is not None
            assert child.stdout is not None
            assert begins.asked.wait(60)
            child.send_signal(signal.SIGINT)
            if not silent:
                threading.Timer(0.2, begins.let_go.set).start()
            assert child.stdout.readline() == "interrupted\n"
            begins.let_go.set()  # a service that was silent comes back to life: what began there goes at once
            until(lambda: [each.target for each in server.asked if each.method == "DELETE"])
            child.stdin.close()
            assert child.wait(20) == 0
    assert [each.target for each in server.asked if each.method != "POST"] == ["/bucket/key?uploadId=id-1"]
