"""Options of S3: unsigned requests, requests that the caller pays for, and buckets that must be somebody's own."""

import asyncio
import os
from collections.abc import Callable
from typing import Any

import pytest

import s3dlio
from tests.faults.conftest import Get, Serve
from tests.servers.environment import S3Bucket
from tests.servers.scripted import Asked, part, response

URI = "s3://bucket/key"
MIB = 1 << 20
SMALL = os.urandom(5000)
LARGE = os.urandom(20 * MIB)
OWNER = "x-amz-expected-bucket-owner"
SOURCE_OWNER = "x-amz-source-expected-bucket-owner"
PAYER = "x-amz-request-payer"
SIGNATURE = ("authorization", "x-amz-date", "x-amz-content-sha256", "x-amz-security-token")

LISTING = (
    b"<ListBucketResult><IsTruncated>false</IsTruncated>"
    b"<Contents><Key>key</Key><Size>1</Size></Contents></ListBucketResult>"
)
STARTED = b"<InitiateMultipartUploadResult><UploadId>id-1</UploadId></InitiateMultipartUploadResult>"
COMPLETED = b"<CompleteMultipartUploadResult><ETag>&quot;all&quot;</ETag></CompleteMultipartUploadResult>"
COPIED = b"<CopyObjectResult><ETag>&quot;one&quot;</ETag></CopyObjectResult>"
DELETED = b"<DeleteResult></DeleteResult>"
UPLOADS = (
    b"<ListMultipartUploadsResult><IsTruncated>false</IsTruncated><Upload><Key>key</Key><UploadId>id-1</UploadId>"
    b"<Initiated>2020-01-01T00:00:00.000Z</Initiated></Upload></ListMultipartUploadsResult>"
)
BUCKETS = b"<ListAllMyBucketsResult><Buckets></Buckets></ListAllMyBucketsResult>"


def healthy(request: Asked) -> bytes:
    """Answer any request as S3 does."""
    query = request.target.partition("?")[2]
    if request.method == "HEAD":
        return response(200, ETag='"one"', Content_Length="5000")
    if request.method == "DELETE":
        return response(204)
    if request.method == "POST":
        return response(200, DELETED if "delete=" in query else STARTED if "uploads=" in query else COMPLETED)
    if request.method == "PUT":
        return response(200, COPIED if "x-amz-copy-source" in request.fields else b"", ETag='"one"')
    if request.target == "/":
        return response(200, BUCKETS)
    if "uploads=" in query:
        return response(200, UPLOADS)
    return response(200, LISTING) if "list-type" in query else part(request, SMALL)


OF_CONTENT: dict[str, Callable[[], object]] = {
    "get": lambda: s3dlio.get(URI),
    "get_async": lambda: asyncio.run(s3dlio.get_async(URI)),
    "get_many": lambda: s3dlio.get_many([URI]),
    "get_range": lambda: s3dlio.get_range(URI, 1, 2),
    "stat": lambda: s3dlio.stat(URI),
    "exists": lambda: s3dlio.exists(URI),
    "put": lambda: s3dlio.put(URI, SMALL),
    "put in parts": lambda: s3dlio.put(URI, LARGE),
    "mkdir": lambda: s3dlio.mkdir(URI),
    "copy": lambda: s3dlio.copy(URI, "s3://bucket/other"),
    "list": lambda: s3dlio.list("s3://bucket/"),
    "delete": lambda: s3dlio.delete(URI),
    "delete all": lambda: s3dlio.delete("s3://bucket/", recursive=True),
    "abort_stale_uploads": lambda: s3dlio.abort_stale_uploads("s3://bucket/", 60),
}
OF_BUCKETS: dict[str, Callable[[], object]] = {
    "create_bucket": lambda: s3dlio.create_bucket("bucket"),
    "delete_bucket": lambda: s3dlio.delete_bucket("bucket"),
    "list_containers": lambda: s3dlio.list_containers("s3://"),
}
each_call = pytest.mark.parametrize("call", OF_CONTENT | OF_BUCKETS)
each_of_content = pytest.mark.parametrize("call", OF_CONTENT)


def asked(serve: Serve, call: str, **settings: Any) -> list[Asked]:
    """Return the requests that a call makes under these settings."""
    with serve(lambda request: [healthy(request)]) as server:
        s3dlio.configure(**settings)
        (OF_CONTENT | OF_BUCKETS)[call]()
        assert server.asked
        return server.asked


@each_call
def test_an_anonymous_request_has_no_signature(serve: Serve, call: str) -> None:
    for request in asked(serve, call, anonymous=True):
        assert [name for name in SIGNATURE if name in request.fields] == []


def test_an_anonymous_process_looks_for_no_credentials(
    serve: Serve, get: Get, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    found = tmp_path / "found"
    config = tmp_path / "config"
    config.write_text(f"[default]\ncredential_process = /usr/bin/touch {found}\n")
    with serve(lambda request: [part(request, SMALL)]):
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
        monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
        s3dlio.configure(anonymous=True)
        assert get(URI) == SMALL
        assert not found.exists()
        s3dlio.configure(anonymous=False)
        with pytest.raises(s3dlio.CredentialsError):
            get(URI)
        assert found.exists()


def test_the_environment_can_ask_for_anonymous_requests(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("S3DLIO_ANONYMOUS", "1")
    assert "authorization" not in asked(serve, "get")[0].fields


def test_an_anonymous_refusal_is_an_error_and_asks_once(serve: Serve, get: Get) -> None:
    expired = b"<Error><Code>ExpiredToken</Code><Message>said</Message></Error>"
    with serve(lambda request: [response(403, expired)]) as server:
        s3dlio.configure(anonymous=True)
        with pytest.raises(s3dlio.CredentialsError):
            get(URI)
        assert len(server.asked) == 1


def test_an_anonymous_process_reads_a_public_object_of_a_service_that_checks_signatures(juicefs_s3: S3Bucket) -> None:
    s3dlio.put(juicefs_s3.uri("public/object"), SMALL)
    s3dlio.put(juicefs_s3.uri("private/object"), SMALL)
    policy = (
        '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"AWS": ["*"]}, '
        f'"Action": ["s3:GetObject"], "Resource": ["arn:aws:s3:::{juicefs_s3.bucket}/public/*"]}}]}}'
    )
    juicefs_s3.client.put_bucket_policy(Bucket=juicefs_s3.bucket, Policy=policy)
    s3dlio.configure(anonymous=True)
    assert s3dlio.get(juicefs_s3.uri("public/object")) == SMALL
    with pytest.raises(s3dlio.AccessDeniedError):
        s3dlio.get(juicefs_s3.uri("private/object"))


@each_of_content
def test_the_requester_pays_for_every_request_to_content(serve: Serve, call: str) -> None:
    for request in asked(serve, call, request_payer=True):
        assert request.fields[PAYER] == "requester"
        assert PAYER in request.fields["authorization"]


@each_call
def test_nobody_pays_who_did_not_say_so(serve: Serve, call: str) -> None:
    for request in asked(serve, call):
        assert not {PAYER, OWNER, SOURCE_OWNER} & set(request.fields)


@each_of_content
def test_S21_every_request_to_a_bucket_names_its_owner(serve: Serve, call: str) -> None:
    for request in asked(serve, call, expected_bucket_owner="123456789012"):
        assert request.fields[OWNER] == "123456789012"
        assert OWNER in request.fields["authorization"]
        assert (SOURCE_OWNER in request.fields) == ("x-amz-copy-source" in request.fields)


def test_S21_a_copy_names_the_owner_of_its_source(serve: Serve) -> None:
    copies = [each for each in asked(serve, "copy", expected_bucket_owner="123456789012") if each.method == "PUT"]
    assert [each.fields[SOURCE_OWNER] for each in copies] == ["123456789012"]


@pytest.mark.parametrize(("call", "named"), [("create_bucket", 0), ("delete_bucket", 1), ("list_containers", 0)])
def test_S21_a_bucket_has_an_owner_once_it_is_there(serve: Serve, call: str, named: int) -> None:
    requests = asked(serve, call, expected_bucket_owner="123456789012", request_payer=True)
    assert [OWNER in each.fields for each in requests] == [bool(named)]
    assert [PAYER in each.fields for each in requests] == [False]


@pytest.mark.parametrize(
    "owner", ["", "12345678901", "1234567890123", "12345678901x", "１２３４５６７８９０１２", "a\r\nb"]
)
def test_S21_what_is_no_account_is_refused_before_any_request(serve: Serve, owner: str) -> None:
    with serve(lambda request: [healthy(request)]) as server:
        with pytest.raises(ValueError, match=r"expected_bucket_owner.*12 digits"):
            s3dlio.configure(expected_bucket_owner=owner)
        assert server.asked == []


def test_S21_an_account_is_text_since_it_may_begin_with_zero() -> None:
    with pytest.raises(TypeError, match="expected_bucket_owner"):
        s3dlio.configure(expected_bucket_owner=123456789012)


def test_S21_a_bucket_of_another_account_is_refused(serve: Serve, get: Get) -> None:
    denied = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"

    def script(request: Asked) -> list[bytes]:
        return [part(request, SMALL) if request.fields.get(OWNER) == "111111111111" else response(403, denied)]

    with serve(script):
        s3dlio.configure(expected_bucket_owner="222222222222")
        with pytest.raises(s3dlio.AccessDeniedError):
            get(URI)
        s3dlio.configure(expected_bucket_owner="111111111111")
        assert get(URI) == SMALL
