"""TLS: the same promises as without, and no byte to a peer whose certificate is not the right one."""

import os
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme

import s3dlio
from s3dlio import checksum
from tests.faults.conftest import Get
from tests.servers import certificates
from tests.servers.certificates import Certificate, Wish, issue, signed_with_sha1
from tests.servers.scripted import CLOSE, Asked, Fault, Refusal, Script, ScriptedServer, part, response, scripted

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
def serving(
    authority: trustme.CA, script: Script, name: str = "127.0.0.1", refusal: Refusal | None = None
) -> Generator[ScriptedServer]:
    """Serve a script with a certificate for `name`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    with scripted(script, context, refusal=refusal) as server:
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


# Certificates, sound and flawed


ROOT = certificates.authority("root")
OTHER = certificates.authority("other")
OLD = certificates.authority("old", rsa=True)
MIDDLE = certificates.authority("middle", ROOT)
NO_AUTHORITY = issue(Wish(common_name="no authority"), ROOT)

SOUND: dict[str, tuple[str, Callable[[], Certificate]]] = {
    "address": ("127.0.0.1", lambda: issue(Wish(), ROOT)),
    "name": ("storage.test", lambda: issue(Wish(names=("storage.test",)), ROOT)),
    "one of several names": ("storage.test", lambda: issue(Wish(names=("a.test", "storage.test")), ROOT)),
    "wildcard": ("eu.storage.test", lambda: issue(Wish(names=("*.storage.test",)), ROOT)),
    "with its chain": ("127.0.0.1", lambda: issue(Wish(), MIDDLE)),
    "without usage": ("127.0.0.1", lambda: issue(Wish(usage=None), ROOT)),
    "old key": ("127.0.0.1", lambda: issue(Wish(), OLD)),
}
FLAWED: dict[str, tuple[str, Callable[[], Certificate]]] = {
    "expired": ("127.0.0.1", lambda: issue(Wish(begins=-30, ends=-1), ROOT)),
    "not yet valid": ("127.0.0.1", lambda: issue(Wish(begins=1), ROOT)),
    "another name": ("storage.test", lambda: issue(Wish(names=("other.test",)), ROOT)),
    "another address": ("127.0.0.1", lambda: issue(Wish(names=("127.0.0.2",)), ROOT)),
    "address as a name": ("127.0.0.1", lambda: issue(Wish(names=("storage.test",), common_name="127.0.0.1"), ROOT)),
    "name of the subject alone": ("storage.test", lambda: issue(Wish(names=(), common_name="storage.test"), ROOT)),
    "wildcard two labels deep": ("a.eu.storage.test", lambda: issue(Wish(names=("*.storage.test",)), ROOT)),
    "wildcard for the name itself": ("storage.test", lambda: issue(Wish(names=("*.storage.test",)), ROOT)),
    "wildcard for everything": ("storage.test", lambda: issue(Wish(names=("*.test", "*")), OTHER)),
    "for clients": ("127.0.0.1", lambda: issue(Wish(usage=certificates.CLIENT), ROOT)),
    "signs itself": ("127.0.0.1", lambda: issue(Wish())),
    "unknown authority": ("127.0.0.1", lambda: issue(Wish(), OTHER)),
    "signed by no authority": ("127.0.0.1", lambda: issue(Wish(), NO_AUTHORITY)),
    "chain incomplete": ("127.0.0.1", lambda: issue(Wish(sends_chain=False), MIDDLE)),
    "sha-1": ("127.0.0.1", lambda: signed_with_sha1(issue(Wish(), OLD), OLD)),
}


@pytest.fixture
def trusted(bundle: Path) -> Path:
    """A bundle of the authorities that these tests trust."""
    bundle.write_bytes(ROOT.pem + OLD.pem)
    return bundle


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every name below storage.test be this machine."""
    real = socket.getaddrinfo

    def getaddrinfo(host: str, *rest: Any, **options: Any) -> list[Any]:
        return real("127.0.0.1" if host.endswith("storage.test") else host, *rest, **options)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


@contextmanager
def showing(context: ssl.SSLContext, host: str, trusted: Path) -> Generator[ScriptedServer]:
    """Serve objects at a host with a context, s3dlio trusting the bundle."""
    with scripted(healthy, context) as server:
        s3dlio.configure(endpoint_url=f"https://{host}:{server.port}", ca_bundle=str(trusted))
        try:
            yield server
        finally:
            s3dlio.reset()


@pytest.mark.parametrize(("host", "make"), SOUND.values(), ids=SOUND.keys())
def test_S8_a_sound_certificate_is_trusted(
    trusted: Path, here: None, tmp_path: Path, host: str, make: Callable[[], Certificate]
) -> None:
    with showing(make().context(tmp_path), host, trusted):
        assert s3dlio.get(URI) == SMALL


@pytest.mark.parametrize(("host", "make"), FLAWED.values(), ids=FLAWED.keys())
def test_S8_N6_a_flawed_certificate_is_refused_at_once_and_told_nothing(
    trusted: Path, here: None, tmp_path: Path, host: str, make: Callable[[], Certificate]
) -> None:
    with showing(make().context(tmp_path), host, trusted) as server:
        for read in (lambda: s3dlio.get(URI), lambda: s3dlio.get_many([URI])):
            with pytest.raises(s3dlio.CertificateError, match=rf"{host}:{server.port} is not trusted"):
                read()
        assert (server.connections, server.asked) == (2, [])


def test_S8_a_bucket_in_the_host_name_is_not_covered_by_a_certificate_for_another_level(
    trusted: Path, here: None, tmp_path: Path
) -> None:
    """A bucket with dots would stand two labels below the wildcard, so it stands in the path."""
    with showing(issue(Wish(names=("*.storage.test",)), ROOT).context(tmp_path), "eu.storage.test", trusted) as server:
        assert s3dlio.get("s3://my.dotted.bucket/key") == SMALL
        assert server.asked[0].target == "/my.dotted.bucket/key"


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_S8_N6_a_server_that_wants_a_certificate_of_ours_is_an_error_at_once(
    trusted: Path, tmp_path: Path, get: Get, version: ssl.TLSVersion
) -> None:
    context = issue(Wish(), ROOT).context(tmp_path)
    context.minimum_version = context.maximum_version = version
    context.load_verify_locations(cadata=ROOT.pem.decode())
    context.verify_mode = ssl.CERT_REQUIRED
    with showing(context, "127.0.0.1", trusted) as server:
        with pytest.raises(s3dlio.CertificateError, match=rf"127.0.0.1:{server.port}"):
            get(URI)
        assert (server.connections, server.asked) == (1, [])


def test_S8_a_server_that_would_like_a_certificate_of_ours_does_without(
    trusted: Path, tmp_path: Path, get: Get
) -> None:
    context = issue(Wish(), ROOT).context(tmp_path)
    context.load_verify_locations(cadata=ROOT.pem.decode())
    context.verify_mode = ssl.CERT_OPTIONAL
    with showing(context, "127.0.0.1", trusted):
        assert get(URI) == SMALL


@contextmanager
def blurting(data: bytes) -> Generator[int]:
    """Answer whatever comes to a port with the same bytes."""
    listener = socket.create_server(("127.0.0.1", 0))

    def answer() -> None:
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            with sock:
                sock.recv(1 << 16)
                sock.sendall(data)

    thread = threading.Thread(target=answer, daemon=True)
    thread.start()
    yield listener.getsockname()[1]
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(5)


def test_S8_N6_a_server_that_speaks_no_tls_is_an_error_at_once(bundle: Path, get: Get) -> None:
    with blurting(b"HTTP/1.1 400 Bad Request\r\n\r\n") as port:
        s3dlio.configure(endpoint_url=f"https://127.0.0.1:{port}", ca_bundle=str(bundle))
        with pytest.raises(s3dlio.CertificateError, match=rf"no TLS with 127.0.0.1:{port}: WRONG_VERSION") as caught:
            get(URI)
        assert caught.value.attempts == 1
        s3dlio.reset()


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1:DeprecationWarning")
def test_S8_old_versions_of_tls_are_refused(trusted: Path, tmp_path: Path, get: Get) -> None:
    context = issue(Wish(), ROOT).context(tmp_path)
    context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    with showing(context, "127.0.0.1", trusted) as server:
        with pytest.raises(s3dlio.CertificateError, match="no TLS with"):
            get(URI)
        assert server.asked == []


def test_S8_N5_a_server_that_goes_away_in_the_handshake_is_tried_again(trusted: Path, tmp_path: Path, get: Get) -> None:
    context = issue(Wish(), ROOT).context(tmp_path)
    hung_up: list[object] = []

    def hang_up(sock: ssl.SSLObject, name: str, context: ssl.SSLContext) -> None:
        if not hung_up:
            hung_up.append(name)
            assert isinstance(sock, socket.socket)  # of a server, it is the connection itself
            sock.shutdown(socket.SHUT_RDWR)

    context.sni_callback = hang_up
    with showing(context, "127.0.0.1", trusted) as server:
        assert get(URI) == SMALL
        assert server.connections == 2


VARIABLES = ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE")


@pytest.mark.parametrize("winner", range(len(VARIABLES)))
def test_S8_the_bundle_is_the_first_that_is_named(
    trusted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, winner: int
) -> None:
    wrong = tmp_path / "wrong.pem"
    wrong.write_bytes(OTHER.pem)
    for place, variable in enumerate(VARIABLES):
        monkeypatch.setenv(variable, str(trusted if place == winner else wrong))
        if place < winner:
            monkeypatch.delenv(variable)
    s3dlio.reset()
    with scripted(healthy, issue(Wish(), ROOT).context(tmp_path)) as server:
        s3dlio.configure(endpoint_url=server.endpoint)
        assert s3dlio.get(URI) == SMALL
        s3dlio.configure(ca_bundle=str(wrong))
        with pytest.raises(s3dlio.CertificateError):
            s3dlio.get(URI)
        s3dlio.reset()


_READ = """
import s3dlio, sys
try:
    print(len(s3dlio.get("s3://bucket/key")))
except s3dlio.CertificateError:
    print("refused")
"""


def hashed(certificate: Path, folder: Path) -> Path:
    """Put a certificate into a new folder under the name by which OpenSSL finds it."""
    folder.mkdir()
    asked = ["openssl", "x509", "-subject_hash", "-noout", "-in", str(certificate)]
    name = subprocess.run(asked, check=True, capture_output=True, text=True).stdout.strip()
    (folder / f"{name}.0").write_bytes(certificate.read_bytes())
    return folder


def read_elsewhere(environment: dict[str, str]) -> str:
    """Read the object in a new process; return its length, or that the server was refused."""
    command = [sys.executable, "-c", _READ]
    done = subprocess.run(command, check=True, env=environment, capture_output=True, text=True, timeout=60)
    return done.stdout.strip()


def test_S8_a_folder_of_certificates_is_a_bundle_too(trusted: Path, tmp_path: Path) -> None:
    with showing(issue(Wish(), ROOT).context(tmp_path), "127.0.0.1", hashed(trusted, tmp_path / "trusted")):
        assert s3dlio.get(URI) == SMALL


def test_S8_the_folder_of_the_system_may_be_another(trusted: Path, tmp_path: Path) -> None:
    folder = hashed(trusted, tmp_path / "trusted")
    with scripted(healthy, issue(Wish(), ROOT).context(tmp_path)) as server:
        keys = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_ENDPOINT_URL": server.endpoint}
        environment = {**os.environ, **keys, "SSL_CERT_DIR": str(folder)}
        assert read_elsewhere(environment) == str(len(SMALL))


SWITCHES = {
    "PYTHONHTTPSVERIFY": "0",
    "CURL_INSECURE": "1",
    "AWS_NO_VERIFY_SSL": "1",
    "AWS_VERIFY_SSL": "false",
    "S3DLIO_VERIFY": "0",
    "S3DLIO_VERIFY_SSL": "0",
    "GIT_SSL_NO_VERIFY": "1",
    "NODE_TLS_REJECT_UNAUTHORIZED": "0",
    "AWS_CA_BUNDLE": "",
}


def test_S8_nothing_in_the_environment_or_a_profile_turns_verification_off(tmp_path: Path) -> None:
    profile = tmp_path / "config"
    profile.write_text("[default]\nverify_ssl = false\nno_verify_ssl = true\nca_bundle =\n")
    keys = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_CONFIG_FILE": str(profile)}
    with scripted(healthy, issue(Wish(), OTHER).context(tmp_path)) as server:
        environment = {**os.environ, **keys, **SWITCHES, "AWS_ENDPOINT_URL": server.endpoint}
        assert read_elsewhere(environment) == "refused"
        assert server.asked == []


def test_a_server_that_reads_late_gets_the_whole_body(authority: trustme.CA, bundle: Path) -> None:
    """Over TLS the tickets that follow the handshake are there to be read, and are no answer that ends the sending."""
    late = threading.Event()

    def refusal(request: Asked) -> None:
        late.wait(0.5)  # longer than the client waits at a time

    with serving(authority, lambda request: [response(200, ETag='"one"')], refusal=refusal) as server:
        s3dlio.configure(endpoint_url=server.endpoint, ca_bundle=str(bundle), max_attempts=1, part_size=16 << 20)
        s3dlio.put(URI, LARGE)
    assert [request.body == LARGE for request in server.asked] == [True]
