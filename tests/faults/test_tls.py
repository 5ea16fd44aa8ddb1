"""TLS: the same promises as without, and no byte to a peer whose certificate is not the right one."""

import os
import ssl
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from pathlib import Path

import pytest
import trustme

import s3dlio
from s3dlio import checksum
from tests.faults.conftest import Get
from tests.servers.scripted import CLOSE, Asked, Fault, Script, ScriptedServer, part, response, scripted

URI = "s3://bucket/key"
SMALL = os.urandom(5000)
LARGE = os.urandom(20 << 20)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def bundle(authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The authority's certificate as a file, and credentials in the environment."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(path)
    return path


@contextmanager
def serving(authority: trustme.CA, script: Script, name: str = "127.0.0.1") -> Generator[ScriptedServer]:
    """Serve a script with a certificate for `name`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    with scripted(script, context) as server:
        try:
            yield server
        finally:
            s3dlio.reset()


def healthy(request: Asked) -> Iterable[bytes | Fault]:
    return [part(request, LARGE if "large" in request.target else SMALL)]


def test_objects_are_read_over_tls(authority: trustme.CA, bundle: Path, get: Get) -> None:
    with serving(authority, healthy) as server:
        s3dlio.configure(endpoint_url=server.endpoint, ca_bundle=str(bundle))
        for _ in range(3):
            assert get(URI) == SMALL
        assert server.connections == 1
        assert get("s3://bucket/large") == LARGE
        assert s3dlio.get_many([URI, "s3://bucket/large"] * 3) == [SMALL, LARGE] * 3


def test_objects_are_written_over_tls_with_a_checksum_and_without_a_hash(authority: trustme.CA, bundle: Path) -> None:
    with serving(authority, lambda request: [response(200, ETag='"one"')]) as server:
        s3dlio.configure(endpoint_url=server.endpoint, ca_bundle=str(bundle))
        s3dlio.put(URI, LARGE[: 3 << 20])
        s3dlio.put_many([(URI, LARGE[: 3 << 20])] * 3)
    for request in server.asked:
        assert request.body == LARGE[: 3 << 20]
        assert request.fields["x-amz-content-sha256"] == "UNSIGNED-PAYLOAD"
        assert request.fields["x-amz-checksum-crc64nvme"] == checksum.CRC64NVME.encode(checksum.crc64nvme(request.body))


def test_D1_a_body_that_breaks_off_inside_tls_is_resumed(authority: trustme.CA, bundle: Path, get: Get) -> None:
    def script(request: Asked) -> Iterable[bytes | Fault]:
        whole = part(request, SMALL)
        return [whole[:-1000], CLOSE] if request.number == 0 else [whole]

    with serving(authority, script) as server:
        s3dlio.configure(endpoint_url=server.endpoint, ca_bundle=str(bundle))
        assert get(URI) == SMALL
        assert server.asked[1].fields["if-match"] == '"one"'


@pytest.mark.parametrize("variable", ["AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"])
def test_S8_the_environment_names_the_authority(
    authority: trustme.CA, bundle: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    for other in ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.delenv(other, raising=False)
    monkeypatch.setenv(variable, str(bundle))
    s3dlio.reset()
    with serving(authority, healthy) as server:
        s3dlio.configure(endpoint_url=server.endpoint)
        assert s3dlio.get(URI) == SMALL


def test_S8_N6_an_unknown_authority_is_refused_at_once(authority: trustme.CA, bundle: Path, get: Get) -> None:
    with serving(authority, healthy) as server:
        s3dlio.configure(endpoint_url=server.endpoint)
        with pytest.raises(s3dlio.CertificateError, match="not trusted"):
            get(URI)
        assert (server.connections, server.asked) == (1, [])


def test_S8_N6_a_certificate_for_another_name_is_refused_at_once(authority: trustme.CA, bundle: Path, get: Get) -> None:
    with serving(authority, healthy, name="example.org") as server:
        s3dlio.configure(endpoint_url=server.endpoint, ca_bundle=str(bundle))
        with pytest.raises(s3dlio.CertificateError, match="not trusted"):
            get(URI)
        assert (server.connections, server.asked) == (1, [])


def test_S8_a_bundle_that_cannot_be_read_is_named(authority: trustme.CA, bundle: Path) -> None:
    with serving(authority, healthy) as server:
        s3dlio.configure(endpoint_url=server.endpoint, ca_bundle=f"{bundle}.missing", max_attempts=1)
        with pytest.raises(s3dlio.S3dlioError, match=r"ca\.pem\.missing"):
            s3dlio.get(URI)
