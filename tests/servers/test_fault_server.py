"""The fault server is an S3: the official clients work with it, and what is not signed as it should be is refused."""

import http.client
import re
import ssl
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import botocore.exceptions
import obstore
import pytest
import trustme
from boto3.session import Session
from botocore.config import Config
from obstore.store import S3Store

import s3dlio
from tests.servers.faulty.faults import KINDS
from tests.servers.faulty.server import ACCOUNT, FaultServer, faulty
from tests.servers.faulty.signature import Account
from tests.servers.scripted import Asked

KEYS = ["a/../b", "a//b", "%41 ü+?#&=", "tab\there", "a/b", "/lead", "tail/"]
MIB = 1 << 20
LARGE = bytes(range(256)) * (11 * MIB // 256)


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with faulty(page=3) as running:
        running.storage.buckets["bucket"] = {}
        yield running


def boto3_of(server: FaultServer, account: Account = ACCOUNT) -> Any:
    session = Session(account.access_key, account.secret_key, account.token, region_name="us-east-1")
    config = Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1})
    return session.client("s3", endpoint_url=server.endpoint, config=config)


@pytest.fixture
def boto3(server: FaultServer) -> Iterator[Any]:
    client = boto3_of(server)
    yield client
    client.close()


def obstore_of(server: FaultServer) -> S3Store:
    return S3Store(
        "bucket",
        endpoint=server.endpoint,
        access_key_id=ACCOUNT.access_key,
        secret_access_key=ACCOUNT.secret_key,
        region="us-east-1",
        client_options={"allow_http": True},
    )


def point_at(server: FaultServer, env: pytest.MonkeyPatch, account: Account = ACCOUNT) -> None:
    env.setenv("AWS_ACCESS_KEY_ID", account.access_key)
    env.setenv("AWS_SECRET_ACCESS_KEY", account.secret_key)
    if account.token is not None:
        env.setenv("AWS_SESSION_TOKEN", account.token)
    s3dlio.configure(endpoint_url=server.endpoint, region="us-east-1")


@pytest.fixture
def ours(server: FaultServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultServer]:
    point_at(server, monkeypatch)
    yield server
    s3dlio.reset()


@pytest.mark.parametrize("key", KEYS)
def test_boto3_puts_reads_describes_and_deletes(boto3: Any, key: str) -> None:
    boto3.put_object(Bucket="bucket", Key=key, Body=b"0123456789", Metadata={"colour": "blue"})
    head = boto3.head_object(Bucket="bucket", Key=key, ChecksumMode="ENABLED")
    assert (head["ContentLength"], head["Metadata"]) == (10, {"colour": "blue"})
    assert boto3.get_object(Bucket="bucket", Key=key)["Body"].read() == b"0123456789"
    assert boto3.get_object(Bucket="bucket", Key=key, Range="bytes=-3")["Body"].read() == b"789"
    assert boto3.get_object(Bucket="bucket", Key=key, Range="bytes=8-99")["ContentRange"] == "bytes 8-9/10"
    assert [each["Key"] for each in boto3.list_objects_v2(Bucket="bucket")["Contents"]] == [key]
    boto3.copy_object(Bucket="bucket", Key="copy", CopySource={"Bucket": "bucket", "Key": key})
    assert boto3.get_object(Bucket="bucket", Key="copy")["Body"].read() == b"0123456789"
    boto3.delete_object(Bucket="bucket", Key=key)
    with pytest.raises(botocore.exceptions.ClientError, match="404"):
        boto3.head_object(Bucket="bucket", Key=key)


def test_boto3_lists_page_after_page(boto3: Any, server: FaultServer) -> None:
    keys = [f"{folder}/{name}" for folder in "abcd" for name in ("x", "y z")] + ["top"]
    for key in keys:
        server.storage.fill("bucket", key, b"")
    pages = list(boto3.get_paginator("list_objects_v2").paginate(Bucket="bucket"))
    assert (len(pages), [each["Key"] for page in pages for each in page["Contents"]]) == (3, keys)
    flat = list(boto3.get_paginator("list_objects_v2").paginate(Bucket="bucket", Delimiter="/"))
    assert [each["Prefix"] for page in flat for each in page.get("CommonPrefixes", [])] == ["a/", "b/", "c/", "d/"]
    assert [each["Key"] for page in flat for each in page.get("Contents", [])] == ["top"]
    below = boto3.list_objects_v2(Bucket="bucket", Prefix="b/")
    assert [each["Key"] for each in below["Contents"]] == ["b/x", "b/y z"]


def test_boto3_deletes_a_batch(boto3: Any, server: FaultServer) -> None:
    for key in ("a", "b&<", "c"):
        server.storage.fill("bucket", key, b"")
    deleted = boto3.delete_objects(Bucket="bucket", Delete={"Objects": [{"Key": "a"}, {"Key": "b&<"}]})
    assert [each["Key"] for each in deleted["Deleted"]] == ["a", "b&<"]
    assert list(server.storage.buckets["bucket"]) == ["c"]


def test_boto3_uploads_in_parts(boto3: Any, server: FaultServer) -> None:
    upload = boto3.create_multipart_upload(Bucket="bucket", Key="k")["UploadId"]
    assert [each["UploadId"] for each in boto3.list_multipart_uploads(Bucket="bucket")["Uploads"]] == [upload]
    place: dict[str, Any] = {"Bucket": "bucket", "Key": "k", "UploadId": upload}
    one = boto3.upload_part(PartNumber=1, Body=LARGE[: 6 * MIB], **place)
    source = {"Bucket": "bucket", "Key": "source"}
    server.storage.fill("bucket", "source", LARGE)
    two = boto3.upload_part_copy(
        PartNumber=2, CopySource=source, CopySourceRange=f"bytes={6 * MIB}-{len(LARGE) - 1}", **place
    )["CopyPartResult"]
    parts = [{"PartNumber": number, "ETag": each["ETag"]} for number, each in enumerate((one, two), 1)]
    with pytest.raises(botocore.exceptions.ClientError, match="InvalidPartOrder"):
        boto3.complete_multipart_upload(MultipartUpload={"Parts": parts[::-1]}, **place)
    boto3.complete_multipart_upload(MultipartUpload={"Parts": parts}, **place)
    assert server.storage.get("bucket", "k").content == LARGE
    assert server.storage.uploads == {}


def test_boto3_aborts_an_upload(boto3: Any, server: FaultServer) -> None:
    upload = boto3.create_multipart_upload(Bucket="bucket", Key="k")["UploadId"]
    boto3.abort_multipart_upload(Bucket="bucket", Key="k", UploadId=upload)
    assert server.storage.uploads == {}
    with pytest.raises(botocore.exceptions.ClientError, match="NoSuchUpload"):
        boto3.abort_multipart_upload(Bucket="bucket", Key="k", UploadId=upload)


def test_a_part_that_is_too_small_cannot_be_completed(boto3: Any) -> None:
    place: dict[str, Any] = {"Bucket": "bucket", "Key": "k"}
    place["UploadId"] = boto3.create_multipart_upload(**place)["UploadId"]
    tags = [boto3.upload_part(PartNumber=number, Body=b"small", **place)["ETag"] for number in (1, 2)]
    parts = [{"PartNumber": number, "ETag": tag} for number, tag in enumerate(tags, 1)]
    with pytest.raises(botocore.exceptions.ClientError, match="EntityTooSmall"):
        boto3.complete_multipart_upload(MultipartUpload={"Parts": parts}, **place)


def test_boto3_meets_the_conditions_that_it_sets(boto3: Any) -> None:
    tag = boto3.put_object(Bucket="bucket", Key="k", Body=b"one", IfNoneMatch="*")["ETag"]
    for wrong in ({"IfNoneMatch": "*"}, {"IfMatch": '"other"'}):
        with pytest.raises(botocore.exceptions.ClientError, match="PreconditionFailed"):
            boto3.put_object(Bucket="bucket", Key="k", Body=b"two", **wrong)
    with pytest.raises(botocore.exceptions.ClientError, match="304"):
        boto3.get_object(Bucket="bucket", Key="k", IfNoneMatch=tag)
    with pytest.raises(botocore.exceptions.ClientError, match="412"):
        boto3.head_object(Bucket="bucket", Key="k", IfMatch='"other"')
    assert boto3.get_object(Bucket="bucket", Key="k", IfMatch=tag)["Body"].read() == b"one"


def test_boto3_makes_and_removes_buckets(boto3: Any) -> None:
    boto3.create_bucket(Bucket="another")
    assert [each["Name"] for each in boto3.list_buckets()["Buckets"]] == ["another", "bucket"]
    boto3.delete_bucket(Bucket="another")
    with pytest.raises(botocore.exceptions.ClientError, match="404"):
        boto3.head_bucket(Bucket="another")


def test_a_body_with_another_checksum_is_refused(boto3: Any) -> None:
    with pytest.raises(botocore.exceptions.ClientError, match="BadDigest"):
        boto3.put_object(Bucket="bucket", Key="k", Body=b"one", ChecksumCRC32="AAAAAA==")


def test_obstore_puts_reads_lists_and_deletes(server: FaultServer) -> None:
    store = obstore_of(server)
    for number in range(7):
        obstore.put(store, f"a/{number}", b"%d" % number)
    assert bytes(obstore.get(store, "a/3").bytes()) == b"3"
    assert bytes(obstore.get_range(store, "a/3", start=0, end=1)) == b"3"
    assert [each["path"] for page in obstore.list(store) for each in page] == [f"a/{number}" for number in range(7)]
    obstore.copy(store, "a/3", "b")
    assert bytes(obstore.get(store, "b").bytes()) == b"3"
    obstore.delete(store, [f"a/{number}" for number in range(7)])
    assert [each["path"] for page in obstore.list(store) for each in page] == ["b"]


def test_obstore_uploads_in_parts(server: FaultServer) -> None:
    obstore.put(obstore_of(server), "k", LARGE, use_multipart=True, chunk_size=6 * MIB)
    assert server.storage.get("bucket", "k").content == LARGE


@pytest.mark.parametrize(
    ("account", "code"),
    [
        (replace(ACCOUNT, secret_key="wrong"), "SignatureDoesNotMatch"),
        (replace(ACCOUNT, access_key="wrong"), "InvalidAccessKeyId"),
        (replace(ACCOUNT, token="wrong"), "InvalidToken"),
    ],
    ids=["secret", "key", "token"],
)
def test_a_stranger_is_refused(server: FaultServer, account: Account, code: str) -> None:
    with pytest.raises(botocore.exceptions.ClientError, match=code):
        boto3_of(server, account).list_buckets()


def test_a_request_without_a_signature_is_refused(server: FaultServer) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.wire.port)
    connection.request("GET", "/bucket/key")
    assert b"AccessDenied" in connection.getresponse().read()
    connection.close()


def test_a_path_that_was_changed_on_the_way_is_refused(ours: FaultServer) -> None:
    s3dlio.put("s3://bucket/a/../b", b"one")
    asked = ours.wire.asked[-1]
    assert ours.dialect.answer(asked).status == 200
    assert ours.dialect.answer(replace(asked, target="/bucket/b")).status == 403
    assert ours.dialect.answer(replace(asked, body=b"two")).status == 400
    assert ours.dialect.answer(replace(asked, target=f"{asked.target}?acl=")).status == 403
    assert ours.dialect.answer(replace(asked, method="GET", body=b"")).status != 200


@pytest.mark.parametrize("key", KEYS)
def test_what_s3dlio_sends_is_signed_as_it_stands(ours: FaultServer, key: str) -> None:
    uri = f"s3://bucket/{key}"
    s3dlio.put(uri, b"0123456789")
    assert s3dlio.get(uri) == b"0123456789"
    assert s3dlio.list("s3://bucket/", recursive=True) == [uri]
    s3dlio.copy(uri, "s3://bucket/copy")
    s3dlio.delete("s3://bucket/", recursive=True)
    assert ours.storage.buckets["bucket"] == {}


def test_a_session_token_is_part_of_the_account(monkeypatch: pytest.MonkeyPatch) -> None:
    account = replace(ACCOUNT, token="session/token+=")
    with faulty(account) as server:
        server.storage.fill("bucket", "k", b"one")
        point_at(server, monkeypatch, account)
        assert s3dlio.get("s3://bucket/k") == b"one"
        s3dlio.reset()


def test_it_speaks_tls(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    bundle = tmp_path_factory.mktemp("tls") / "ca.pem"
    authority.cert_pem.write_to_path(str(bundle))
    with faulty(tls=context) as server:
        server.storage.buckets["bucket"] = {}
        point_at(server, monkeypatch)
        s3dlio.configure(ca_bundle=str(bundle))
        s3dlio.put("s3://bucket/k", LARGE)
        assert s3dlio.get("s3://bucket/k") == LARGE
        assert {each.fields["x-amz-content-sha256"] for each in server.wire.asked if each.method == "PUT"} == {
            "UNSIGNED-PAYLOAD"
        }
        s3dlio.reset()


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_fault_comes_in_its_turn_and_the_same_every_time(kind: str) -> None:
    call = "get" if "get" in KINDS[kind].calls else "put"
    if call not in KINDS[kind].calls:
        call = min(KINDS[kind].calls)
    answers: list[list[object]] = []
    for _ in range(2):
        with faulty(None) as server:
            key = f"fault={kind}.{call}@2~7"
            server.storage.fill("bucket", key, bytes(range(200)))
            answers.append([repr(piece) for piece in said(server, call, key)])
    assert answers[0] == answers[1]


def said(server: FaultServer, call: str, key: str) -> list[object]:
    """Return what the second of three equal requests is answered, without what differs from run to run."""
    upload = server.storage.start("bucket", key, {}).id
    targets = {
        "list": ("GET", f"/bucket/?list-type=2&prefix={key.replace('=', '%3D')}", b""),
        "batch": ("POST", "/bucket/?delete=", f"<Delete><Object><Key>{key}</Key></Object></Delete>".encode()),
        "part": ("PUT", f"/bucket/{key}?partNumber=1&uploadId={upload}", b"x"),
        "complete": ("POST", f"/bucket/{key}?uploadId={upload}", b"<C/>"),
    }
    method, target, body = targets.get(call, (call.upper(), f"/bucket/{key}", b""))
    fields = {"range": "bytes=10-99"} if call == "get" else {}
    pieces: list[object] = []
    for turn in range(3):
        asked = Asked(method, target, fields, body, turn, 0)
        answer = server.refusal(asked) or server.script(asked)
        if turn == 1:
            pieces = [
                re.sub(rb"(?m)^(Date|Last-Modified): .*$|request-\d+", b"", piece)
                if isinstance(piece, bytes)
                else piece
                for piece in answer
            ]
    return pieces
