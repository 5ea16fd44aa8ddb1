"""Hostile servers, URIs and surroundings: what they want does not happen."""

import os
import ssl
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme

import s3dlio
from s3dlio.auth.aws import Chain
from s3dlio.stores.s3service import S3Service
from s3dlio.uri import parse_key
from tests.faults.calls import CALLS, SMALL, URI, healthy
from tests.faults.conftest import Get, Serve
from tests.servers.scripted import response, scripted

TOKEN = "session-token-that-must-not-travel"
each_call = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())


# S9: redirects are not followed


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@each_call
def test_S9_a_redirect_leads_nowhere_and_tells_the_other_host_nothing(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, call: Callable[[], object], status: int
) -> None:
    monkeypatch.setenv("AWS_SESSION_TOKEN", TOKEN)
    with scripted(healthy) as other:
        where = f"{other.endpoint}/bucket/key"
        with serve(lambda request: [response(status, Location=where, x_amz_bucket_region="us-east-1")]) as server:
            with pytest.raises(s3dlio.S3dlioError) as caught:
                call()
            assert len(server.asked) == 1
        assert (other.connections, other.asked) == (0, [])
    assert TOKEN not in str(caught.value)


def test_S9_a_redirect_from_tls_to_plain_http_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, get: Get
) -> None:
    for name, value in (("ACCESS_KEY_ID", "key"), ("SECRET_ACCESS_KEY", "secret"), ("SESSION_TOKEN", TOKEN)):
        monkeypatch.setenv(f"AWS_{name}", value)
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    with scripted(healthy) as other:
        with scripted(lambda request: [response(307, Location=f"{other.endpoint}/bucket/key")], context) as server:
            s3dlio.configure(endpoint_url=server.endpoint, ca_bundle=str(tmp_path / "ca.pem"))
            with pytest.raises(s3dlio.RequestError, match="not followed"):
                get(URI)
            s3dlio.reset()
        assert (other.connections, other.asked) == (0, [])


# S10: places that a URI may not choose


@pytest.mark.parametrize("key", ["latest/meta-data/iam/security-credentials/", "bucket/key"])
def test_S10_a_uri_with_a_host_and_a_port_names_a_bucket_of_the_endpoint(serve: Serve, get: Get, key: str) -> None:
    with scripted(healthy) as other, serve(healthy) as server:
        for host in (f"127.0.0.1:{other.port}", "169.254.169.254", "localhost", "evil.example.org"):
            assert get(f"s3://{host}/{key}") == SMALL
            assert server.asked[-1].target == f"/{host.replace(':', '%3A')}/{key}"
            assert server.asked[-1].fields["host"] == f"127.0.0.1:{server.port}"
        assert other.connections == 0


@pytest.mark.parametrize("bucket", ["169.254.169.254", "evil.example.org", "127.0.0.1:80", "a.b", "[::1]", "a%2Fb"])
def test_S10_on_aws_itself_a_bucket_that_looks_like_a_host_stays_in_the_path(
    monkeypatch: pytest.MonkeyPatch, bucket: str
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    service = S3Service(Chain(None, "eu-west-1"))
    service.chain.find()
    origin, head = service.request("GET", parse_key(f"s3://{bucket}/key"))
    assert origin.host == "s3.eu-west-1.amazonaws.com"
    assert b"host: s3.eu-west-1.amazonaws.com\r\n" in head


@pytest.mark.parametrize("uri", ["s3://user:word@127.0.0.1/bucket/key", "s3://a@b/c"])
def test_S10_a_uri_with_a_user_is_refused_without_its_password(serve: Serve, get: Get, uri: str) -> None:
    with serve(healthy) as server:
        with pytest.raises(s3dlio.InvalidUriError) as caught:
            get(uri)
        assert server.connections == 0
    assert "word" not in str(caught.value)


@pytest.mark.parametrize("host", ["169.254.169.254", "[fd00:ec2::254]", "[::ffff:169.254.169.254]"])
@pytest.mark.parametrize("proxied", [False, True])
def test_S10_the_metadata_service_of_a_cloud_is_no_endpoint(
    serve: Serve, get: Get, monkeypatch: pytest.MonkeyPatch, host: str, proxied: bool
) -> None:
    if not proxied:
        monkeypatch.setattr("s3dlio.http.race._Race", None)  # nothing goes there whatever happens
    with serve(healthy) as server:
        s3dlio.configure(endpoint_url=f"http://{host}", proxy=server.endpoint if proxied else None)
        with pytest.raises(s3dlio.NetworkError, match="link-local") as caught:
            get("s3://latest/meta-data")
        assert (caught.value.attempts, server.connections) == (1, 0)


# S11: the working directory

_LURED = """
import os, sys
here = os.getcwd()
opened = []
def watch(event, arguments):
    if event == "open" and isinstance(arguments[0], (str, bytes)):
        path = os.path.realpath(os.fsdecode(arguments[0]))
        if path.startswith(here + os.sep):
            opened.append(path)
sys.path[:] = [each for each in sys.path if each not in ("", here)]
sys.addaudithook(watch)
import s3dlio
s3dlio.get("s3://bucket/key"), s3dlio.get_many(["s3://bucket/key"]), s3dlio.put("s3://bucket/key", b"x")
print(opened)
"""
LURES = (
    ".env",
    ".aws/config",
    ".aws/credentials",
    "config",
    "credentials",
    ".boto",
    "boto.cfg",
    ".s3dlio",
    "s3dlio.toml",
)


def test_S11_nothing_of_the_working_directory_is_read(tmp_path: Path) -> None:
    home, lured = tmp_path / "home", tmp_path / "lured"
    home.mkdir()
    with scripted(healthy) as server, scripted(healthy) as trap:
        for lure in LURES:
            (lured / lure).parent.mkdir(parents=True, exist_ok=True)
            (lured / lure).write_text(
                f"[default]\nendpoint_url={trap.endpoint}\nAWS_ENDPOINT_URL={trap.endpoint}\nAWS_ACCESS_KEY_ID=trap\n"
            )
        keys = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_ENDPOINT_URL": server.endpoint}
        files = {"HOME": str(home), "AWS_CONFIG_FILE": str(home / "none")}
        done = subprocess.run(
            [sys.executable, "-c", _LURED],
            check=False,
            cwd=lured,
            env={**os.environ, **keys, **files},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.stdout == "[]\n", done.stderr
        assert (len(server.asked), trap.connections) == (3, 0)
