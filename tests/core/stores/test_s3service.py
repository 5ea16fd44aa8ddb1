"""Where a request goes: the host, the path and the port that name an object, as S3 wants them."""

from __future__ import annotations

import pytest

from s3dlio.auth.aws import Chain
from s3dlio.errors import InvalidUriError
from s3dlio.stores.s3service import S3Service
from s3dlio.uri import Uri


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")


def sent(endpoint: str | None, bucket: str, key: str, region: str = "eu-west-1") -> tuple[str, str, str]:
    """Return the origin, the request line and the Host field of a GET."""
    service = S3Service(Chain(region=region, endpoint=endpoint))
    service.chain.find()
    origin, head = service.request("GET", Uri("s3", bucket, key))
    line, *fields = head.decode().split("\r\n")
    host = next(field.removeprefix("host: ") for field in fields if field.startswith("host: "))
    return str(origin), line, host


def test_on_aws_the_bucket_is_in_the_host_name() -> None:
    origin, line, host = sent(None, "my-bucket", "a/b c")
    assert origin == "https://my-bucket.s3.eu-west-1.amazonaws.com:443"
    assert line == "GET /a/b%20c HTTP/1.1"
    assert host == "my-bucket.s3.eu-west-1.amazonaws.com"


@pytest.mark.parametrize("bucket", ["with.dots", "Upper", "under_score", "ab"])
def test_on_aws_a_bucket_that_no_certificate_covers_is_in_the_path(bucket: str) -> None:
    origin, line, _ = sent(None, bucket, "key")
    assert origin == "https://s3.eu-west-1.amazonaws.com:443"
    assert line == f"GET /{bucket}/key HTTP/1.1"


def test_another_partition_has_its_own_hosts() -> None:
    origin, _, _ = sent(None, "my-bucket", "key", region="cn-north-1")
    assert origin == "https://my-bucket.s3.cn-north-1.amazonaws.com.cn:443"


@pytest.mark.parametrize(
    ("endpoint", "origin", "line", "host"),
    [
        ("http://127.0.0.1:9000", "http://127.0.0.1:9000", "GET /bucket/key HTTP/1.1", "127.0.0.1:9000"),
        ("https://s3.example.org", "https://s3.example.org:443", "GET /bucket/key HTTP/1.1", "s3.example.org"),
        ("http://example.org:80/", "http://example.org:80", "GET /bucket/key HTTP/1.1", "example.org"),
        ("https://example.org/s3", "https://example.org:443", "GET /s3/bucket/key HTTP/1.1", "example.org"),
        ("http://[::1]:9000", "http://[::1]:9000", "GET /bucket/key HTTP/1.1", "[::1]:9000"),
    ],
)
def test_at_an_endpoint_of_ones_own_the_bucket_is_in_the_path(endpoint: str, origin: str, line: str, host: str) -> None:
    assert sent(endpoint, "bucket", "key") == (origin, line, host)


@pytest.mark.parametrize(
    "endpoint", ["127.0.0.1:9000", "ftp://example.org", "http://", "https://user:pass@example.org", "http://h?q=1"]
)
def test_what_is_no_endpoint_is_refused_without_its_secrets(endpoint: str) -> None:
    with pytest.raises(InvalidUriError) as caught:
        S3Service(Chain(region="us-east-1", endpoint=endpoint))
    assert "pass" not in str(caught.value)


def test_a_body_is_hashed_on_plain_http_and_left_to_tls_otherwise() -> None:
    def hash_of(endpoint: str) -> str:
        service = S3Service(Chain(region="us-east-1", endpoint=endpoint))
        service.chain.find()
        _, head = service.request("PUT", Uri("s3", "bucket", "key"), payload=memoryview(b"abc"))
        return next(line for line in head.decode().split("\r\n") if line.startswith("x-amz-content-sha256"))

    sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert hash_of("http://example.org") == f"x-amz-content-sha256: {sha256}"
    assert hash_of("https://example.org") == "x-amz-content-sha256: UNSIGNED-PAYLOAD"
