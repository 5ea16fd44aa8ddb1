"""A request has exactly its lines, whatever it is made of."""

import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import s3dlio
from s3dlio.auth.aws import Chain
from s3dlio.http.wire import Origin
from s3dlio.stores.s3service import S3Service
from s3dlio.uri import parse_key
from tests.faults.calls import SMALL, URI, healthy
from tests.faults.conftest import Serve
from tests.servers.scripted import Asked, Fault, response


def request_of(service: S3Service, uri: str, *fields: tuple[str, str]) -> tuple[Origin, bytes]:
    """Return where a GET goes and its head."""
    service.chain.find()
    return service.request("GET", parse_key(uri), fields=fields)


# S14: what a request consists of

HEAD = re.compile(rb"[A-Z]+ [!-~]+ HTTP/1\.1(?:\r\n[a-z0-9-]+: [^\r\n\0]*)+").fullmatch
SIGNED = {"accept-encoding", "user-agent", "host", "x-amz-content-sha256", "x-amz-date", "authorization"}
HOSTILE = "a\r\nx-evil: 1\r\n\r\nGET /other HTTP/1.1\r\n"
anything = st.text(st.characters(exclude_categories=["Cs"]), max_size=40) | st.text("\r\n\t\0 :/?#%\x7f\x85\u2028ab")


def names(head: bytes) -> list[str]:
    """Return the field names of a request head, after a look at its form."""
    assert head.endswith(b"\r\n\r\n")
    assert HEAD(head[:-4]), head
    return [line.partition(b":")[0].decode() for line in head[:-4].split(b"\r\n")[1:]]


@given(key=anything, bucket=anything, region=anything, token=anything)
@example(key=HOSTILE, bucket="b", region="us-east-1", token="t")
@example(key="k", bucket="b\r\nx: y", region="us-east-1", token="t")
@example(key="k", bucket="b", region="us-east-1\r\nx: y", token="t")
@example(key="k", bucket="b", region="us-east-1", token="t\r\nx: y")
@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_S14_a_request_has_exactly_its_lines_whatever_it_is_made_of(
    key: str, bucket: str, region: str, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("ACCESS_KEY_ID", "key"), ("SECRET_ACCESS_KEY", "secret"), ("SESSION_TOKEN", token)):
        if "\0" not in value:
            monkeypatch.setenv(f"AWS_{name}", value)
    with suppress(ValueError, s3dlio.S3dlioError):
        service = S3Service(Chain(None, region or None, "http://127.0.0.1:9"))
        _, head = request_of(service, f"s3://{bucket}/{key}", ("range", "x"))
        expected = SIGNED | {"range"} | ({"x-amz-security-token"} if b"x-amz-security-token" in head else set())
        assert sorted(names(head)) == sorted(expected)


@given(key=anything, bucket=anything)
@example(key=HOSTILE, bucket="b\r\nx: y")
@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_S14_on_aws_itself_a_request_has_exactly_its_lines(on_aws: S3Service, key: str, bucket: str) -> None:
    with suppress(ValueError):
        origin, head = request_of(on_aws, f"s3://{bucket}/{key}")
        assert sorted(names(head)) == sorted(SIGNED)
        assert re.fullmatch(r"([a-z0-9-]+\.)?s3\.eu-west-1\.amazonaws\.com", origin.host)


@pytest.fixture
def on_aws(monkeypatch: pytest.MonkeyPatch) -> S3Service:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    return S3Service(Chain(None, "eu-west-1"))


@given(host=anything, path=anything)
@example(host="127.0.0.1", path="/a b")
@example(host="127.0.0.1", path="/a\u0100")
@example(host="127.0.0.1", path="/a\x01")
@example(host="ho st", path="")
@example(host="h\u00f6st", path="")
@example(host="ho\x01st", path="")
@example(host="host\r\nx: y", path="")
@settings(max_examples=600, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_S14_an_endpoint_is_refused_or_gives_exactly_the_lines_of_a_request(
    host: str, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    try:
        service = S3Service(Chain(None, "us-east-1", f"http://{host}{path}"))
    except ValueError:
        return
    _, head = request_of(service, URI)
    assert sorted(names(head)) == sorted(SIGNED)


def configured_read(owner: str) -> None:
    s3dlio.configure(expected_bucket_owner=owner)
    s3dlio.get(URI)


@pytest.mark.parametrize("owner", ["1\r\nx-evil: 1", "1\0", "1\n", "\u0100"])
def test_S14_a_bucket_owner_that_is_no_field_value_is_refused(serve: Serve, owner: str) -> None:
    with serve(healthy) as server:
        with pytest.raises(ValueError, match="expected_bucket_owner"):
            configured_read(owner)
        assert server.asked == []


@pytest.mark.parametrize("key", [HOSTILE, "a\tb", "\x01\x1f\x7f", "\x85\u2028", "a b", "\u00e9", "a\\b", "a?b#c%0d%0a"])
def test_S14_no_key_gets_into_the_head_of_any_request(serve: Serve, tmp_path: Path, key: str) -> None:
    uri = f"s3://bucket/{key}"

    def script(request: Asked) -> Iterable[bytes | Fault]:
        if request.method == "POST" and "uploads" in request.target:
            return [
                response(
                    200, b"<R><UploadId>a\nb&amp;c</UploadId></R>".replace(b"R>", b"InitiateMultipartUploadResult>")
                )
            ]
        if request.method == "GET" and "list-type" in request.target:
            return [response(200, b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>")]
        return healthy(request)

    with serve(script) as server:
        s3dlio.configure(max_attempts=1)
        for call in (
            lambda: s3dlio.get(uri),
            lambda: s3dlio.get_many([uri]),
            lambda: s3dlio.put(uri, SMALL),
            lambda: s3dlio.put(uri, bytes(17 << 20)),
            lambda: s3dlio.stat(uri),
            lambda: s3dlio.exists(uri),
            lambda: s3dlio.list(uri),
            lambda: s3dlio.delete(uri),
            lambda: s3dlio.copy(uri, f"{uri}2"),
        ):
            with suppress(s3dlio.S3dlioError):  # what is asked counts here, not what a simple server makes of it
                call()
        assert {request.method for request in server.asked} >= {"GET", "PUT", "HEAD", "DELETE", "POST"}
        for request in server.asked:
            head = request.head.removesuffix(b"\r\n\r\n")
            assert HEAD(head), head
            assert b"x-evil: 1\r\n" not in head.lower()
            assert request.target.startswith("/bucket")
