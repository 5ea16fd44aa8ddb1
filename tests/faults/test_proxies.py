"""Proxies: what goes through them and how, whom they see the password of, and what their refusals mean."""

import os
import ssl
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from pathlib import Path

import pytest
import trustme

import s3dlio
from s3dlio import config
from s3dlio.http.bypass import Bypass
from s3dlio.http.proxies import proxies_of
from s3dlio.http.wire import Origin
from tests.faults.conftest import Get, Serve
from tests.servers.environment import S3Bucket
from tests.servers.proxy import Refusal, proxying
from tests.servers.scripted import CLOSE, Asked, Fault, Script, ScriptedServer, part, response, scripted

URI = "s3://bucket/key"
SMALL = os.urandom(5000)
LARGE = os.urandom(20 << 20)
SECRET = "pass/wo:rd@%"
QUOTED = "pass%2Fwo%3Ard%40%25"


def healthy(request: Asked) -> Iterable[bytes | Fault]:
    return [part(request, LARGE if "large" in request.target else SMALL)]


def first(*answers: bytes) -> Refusal:
    """Answer the first requests so, and let the others through."""
    return lambda ask: answers[ask.number] if ask.number < len(answers) else None


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def serve_tls(authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Serve:
    """As `serve`, over TLS."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    bundle = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(bundle)

    @contextmanager
    def run(script: Script, *, patience: float = 30.0) -> Generator[ScriptedServer]:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(context)
        with scripted(script, context) as server:
            s3dlio.configure(
                endpoint_url=server.endpoint,
                region="us-east-1",
                ca_bundle=str(bundle),
                first_byte_timeout=patience,
                progress_window=patience / 2,
            )
            try:
                yield server
            finally:
                s3dlio.reset()

    return run


@pytest.fixture(params=["http", "https"])
def either(request: pytest.FixtureRequest) -> Serve:
    """A server of plain HTTP, and one of TLS."""
    chosen: Serve = request.getfixturevalue("serve" if request.param == "http" else "serve_tls")
    return chosen


def test_a_request_to_http_is_handed_over_with_its_whole_url_and_the_origin_sees_the_signed_path(
    serve: Serve, get: Get
) -> None:
    with serve(healthy) as server, proxying() as proxy:
        s3dlio.configure(proxy=proxy.url)
        assert get("s3://bucket/a//b/../c d") == SMALL
        assert [ask.target for ask in proxy.asked] == [f"{server.endpoint}/bucket/a//b/../c%20d"]
        assert [request.target for request in server.asked] == ["/bucket/a//b/../c%20d"]
        assert f"host: 127.0.0.1:{server.port}".encode() in proxy.asked[0].head.split(b"\r\n")


def test_a_request_to_https_goes_through_a_tunnel_that_the_proxy_cannot_read(serve_tls: Serve, get: Get) -> None:
    with serve_tls(healthy) as server, proxying() as proxy:
        s3dlio.configure(proxy=proxy.url)
        assert get(URI) == SMALL
        assert [(ask.method, ask.target) for ask in proxy.asked] == [("CONNECT", f"127.0.0.1:{server.port}")]
        assert b"bucket" not in proxy.asked[0].head
        assert b"authorization" not in proxy.asked[0].head


def test_a_connection_through_a_proxy_is_kept_for_its_origin(either: Serve, get: Get) -> None:
    with either(healthy) as server, proxying() as proxy:
        s3dlio.configure(proxy=proxy.url)
        for _ in range(3):
            assert get(URI) == SMALL
        assert (proxy.connections, len(server.asked)) == (1, 3)


def test_large_objects_go_through_a_proxy_both_ways(either: Serve) -> None:
    stored: dict[str, bytes] = {}

    def script(request: Asked) -> Iterable[bytes | Fault]:
        if request.method == "GET":
            return [part(request, LARGE)]
        stored[request.target] = request.body
        return [response(200, ETag='"one"')]

    with either(script), proxying() as proxy:
        s3dlio.configure(proxy=proxy.url)
        assert s3dlio.get("s3://bucket/large") == LARGE
        s3dlio.put(URI, LARGE[: 3 << 20])
        assert stored == {"/bucket/key": LARGE[: 3 << 20]}
        assert proxy.asked


def test_a_real_server_is_used_through_a_proxy_by_every_kind_of_verb(moto_s3: S3Bucket, tmp_path: Path) -> None:
    with proxying() as proxy:
        s3dlio.configure(proxy=proxy.url)
        content = os.urandom(17 << 20)
        s3dlio.put(moto_s3.uri("large"), content)
        s3dlio.put_many([(moto_s3.uri(f"many/{i}"), b"%d" % i) for i in range(20)])
        assert s3dlio.get(moto_s3.uri("large")) == content
        assert [bytes(each) for each in s3dlio.get_many(s3dlio.list(moto_s3.uri("many/")))]
        assert s3dlio.stat(moto_s3.uri("large"))["size"] == len(content)
        assert s3dlio.exists(moto_s3.uri("missing")) is False
        assert s3dlio.download(moto_s3.uri("many/"), str(tmp_path))["files"] == 20
        s3dlio.delete(moto_s3.uri(), recursive=True)
        assert s3dlio.list(moto_s3.uri(), recursive=True) == []
        assert all(ask.target.startswith(moto_s3.server.endpoint) for ask in proxy.asked)
        assert len(proxy.asked) > 40


@pytest.mark.parametrize("variable", ["{}_proxy", "{}_PROXY", "all_proxy", "ALL_PROXY"])
def test_the_environment_names_the_proxy(either: Serve, monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    with proxying() as proxy:
        for scheme in ("http", "https"):
            name = variable.format(scheme if variable.islower() else scheme.upper())
            monkeypatch.setenv(name, f"127.0.0.1:{proxy.port}")
        s3dlio.reset()
        with either(healthy):
            assert s3dlio.get(URI) == SMALL
        assert len(proxy.asked) == 1


def test_a_keyword_wins_over_the_environment_and_may_turn_the_proxy_off(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    with proxying() as named, proxying() as other:
        monkeypatch.setenv("http_proxy", other.url)
        s3dlio.reset()
        with serve(healthy):
            s3dlio.configure(proxy=named.url)
            assert s3dlio.get(URI) == SMALL
            s3dlio.configure(proxy="")
            assert s3dlio.get(URI) == SMALL
        assert (len(named.asked), len(other.asked)) == (1, 0)


def test_a_field_of_a_cgi_request_names_no_proxy() -> None:
    request = {"HTTP_PROXY": "http://evil:1", "REQUEST_METHOD": "GET"}
    assert config.from_environment(request).http_proxy is None
    assert config.from_environment({**request, "http_proxy": "http://good:1"}).http_proxy == "http://good:1"


def test_a_host_of_no_proxy_is_reached_directly(either: Serve, get: Get) -> None:
    with either(healthy) as server, proxying() as proxy:
        s3dlio.configure(proxy=proxy.url, no_proxy=f"example.org,127.0.0.1:{server.port}")
        assert get(URI) == SMALL
        assert proxy.asked == []


@pytest.mark.parametrize(
    ("listed", "host", "port", "covered"),
    [
        ("*", "anything", 1, True),
        ("a, *", "::1", 1, True),
        ("example.com", "example.com", 443, True),
        ("example.com", "EXAMPLE.com.", 443, True),
        ("example.com", "s3.example.com", 443, True),
        ("example.com", "notexample.com", 443, False),
        (".example.com", "s3.example.com", 443, True),
        (".example.com", "example.com", 443, True),
        ("*.example.com", "s3.example.com", 443, True),
        ("*.example.com", "badexample.com", 443, False),
        ("example.com:9000", "s3.example.com", 9000, True),
        ("example.com:9000", "s3.example.com", 443, False),
        ("one two\tthree", "two", 1, True),
        ("10.0.0.1", "10.0.0.1", 1, True),
        ("0.0.1", "10.0.0.1", 1, False),
        ("10.0.0.0/8", "10.200.3.4", 1, True),
        ("10.0.0.0/8", "11.0.0.1", 1, False),
        ("10.0.0.0/8", "10.example.com", 1, False),
        ("10.0.0.0/8:81", "10.0.0.1", 80, False),
        ("127.0.0.1", "127.0.0.1:1", 1, False),
        ("::1", "::1", 1, True),
        ("[::1]", "::1", 1, True),
        ("[::1]:81", "::1", 80, False),
        ("[::1]:80", "::1", 80, True),
        ("fd00::/8", "fd12::1", 1, True),
        ("10.0.0.0/8", "::ffff:10.0.0.1", 1, True),
        ("localhost", "127.0.0.1", 1, False),
        ("", "127.0.0.1", 1, False),
        (",,[,/,:", "host", 1, False),
    ],
)
def test_no_proxy_means_what_it_means_to_other_clients(listed: str, host: str, port: int, covered: bool) -> None:
    assert Bypass(listed).covers(host, port) is covered


def test_the_password_goes_to_the_proxy_and_to_nobody_else(either: Serve, get: Get) -> None:
    with either(healthy) as server, proxying(password=f"us er:{SECRET}") as proxy:
        s3dlio.configure(proxy=f"http://us%20er:{QUOTED}@127.0.0.1:{proxy.port}")
        assert get(URI) == SMALL
        assert "proxy-authorization" not in server.asked[0].fields
        assert b"Authorization: Basic" not in proxy.asked[0].head.replace(b"proxy-authorization", b"")


@pytest.mark.parametrize("given", ["", f"user:wrong-{QUOTED}@"])
def test_N7_a_proxy_that_wants_another_password_is_named_without_it_and_asked_once(
    either: Serve, get: Get, given: str
) -> None:
    with either(healthy) as server, proxying(password=f"user:{SECRET}") as proxy:
        s3dlio.configure(proxy=f"http://{given}127.0.0.1:{proxy.port}")
        with pytest.raises(s3dlio.CredentialsError, match=f"proxy http://127.0.0.1:{proxy.port} .*password") as caught:
            get(URI)
        assert (len(proxy.asked), server.asked) == (1, [])
        assert caught.value.status == 407
    for shown in (str(caught.value), repr(caught.value), repr(caught.value.__cause__)):
        assert "wrong" not in shown


@pytest.mark.parametrize("status", [502, 503, 504])
def test_N7_a_tunnel_that_fails_for_now_is_tried_again(serve_tls: Serve, get: Get, status: int) -> None:
    refusal = f"HTTP/1.1 {status} Bad\r\nContent-Length: 5\r\n\r\nsorry".encode()
    with serve_tls(healthy) as server, proxying(refusal=first(refusal, refusal)) as proxy:
        s3dlio.configure(proxy=proxy.url)
        assert get(URI) == SMALL
        assert (len(proxy.asked), len(server.asked)) == (3, 1)


def test_N7_a_request_that_the_proxy_cannot_hand_on_is_tried_again(serve: Serve, get: Get) -> None:
    with serve(healthy), proxying(refusal=first(b"HTTP/1.1 502 Bad\r\nContent-Length: 0\r\n\r\n")) as proxy:
        s3dlio.configure(proxy=proxy.url)
        assert get(URI) == SMALL
        assert len(proxy.asked) == 2


@pytest.mark.parametrize(
    ("status", "kind"), [(403, s3dlio.AccessDeniedError), (405, s3dlio.RequestError), (302, s3dlio.RequestError)]
)
def test_N7_a_tunnel_that_is_forbidden_is_an_error_at_once(
    serve_tls: Serve, get: Get, status: int, kind: type[s3dlio.S3dlioError]
) -> None:
    answer = f"HTTP/1.1 {status} No\r\nLocation: http://127.0.0.1:9/\r\n\r\n".encode()
    with serve_tls(healthy) as server, proxying(refusal=lambda ask: answer) as proxy:
        s3dlio.configure(proxy=proxy.url)
        with pytest.raises(kind, match=f"the proxy {proxy.url} .*127.0.0.1:{server.port}.* {status}"):
            get(URI)
        assert (len(proxy.asked), server.asked) == (1, [])


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\n", b"SSH-2.0\r\n\r\n", b"HTTP/1.1 200" + b"a" * 70000])
def test_N7_a_proxy_that_speaks_no_http_is_an_error_after_some_attempts(
    serve_tls: Serve, get: Get, answer: bytes
) -> None:
    with serve_tls(healthy) as server, proxying(refusal=lambda ask: answer) as proxy:
        s3dlio.configure(proxy=proxy.url, max_attempts=2)
        with pytest.raises(s3dlio.NetworkError, match=f"127.0.0.1:{proxy.port}"):
            get(URI)
        assert (len(proxy.asked), server.asked) == (2, [])


def test_N7_a_proxy_where_nobody_listens_is_named(either: Serve, get: Get) -> None:
    with proxying() as proxy:
        pass
    with either(healthy) as server:
        s3dlio.configure(proxy=proxy.url, max_attempts=2)
        with pytest.raises(s3dlio.NetworkError, match=f"127.0.0.1:{proxy.port}.*refused"):
            get(URI)
        assert server.asked == []


def test_N7_a_proxy_that_says_nothing_is_an_error_in_time(serve_tls: Serve, get: Get) -> None:
    with serve_tls(healthy), scripted(lambda request: []) as silent:
        s3dlio.configure(proxy=silent.endpoint, max_attempts=1, connect_timeout=0.2)
        with pytest.raises(s3dlio.DeadlineExceededError, match="the proxy"):
            get(URI)


def test_S8_a_certificate_is_checked_through_a_tunnel(serve_tls: Serve, get: Get, tmp_path: Path) -> None:
    other = tmp_path / "other.pem"
    trustme.CA().cert_pem.write_to_path(other)
    with serve_tls(healthy) as server, proxying() as proxy:
        s3dlio.configure(proxy=proxy.url, ca_bundle=str(other))
        with pytest.raises(s3dlio.CertificateError, match="not trusted"):
            get(URI)
        assert (len(proxy.asked), server.asked) == (1, [])


def test_D1_a_body_that_breaks_off_behind_a_proxy_is_resumed(either: Serve, get: Get) -> None:
    def script(request: Asked) -> Iterable[bytes | Fault]:
        whole = part(request, SMALL)
        return [whole[:-1000], CLOSE] if request.number == 0 else [whole]

    with either(script) as server, proxying() as proxy:
        s3dlio.configure(proxy=proxy.url)
        assert get(URI) == SMALL
        assert server.asked[1].fields["if-match"] == '"one"'


@pytest.mark.parametrize(
    "url",
    [
        f"https://user:{QUOTED}@proxy:3128",
        f"socks5://user:{QUOTED}@proxy:1080",
        f"ftp://user:{QUOTED}@proxy",
        f"http://user:{SECRET}@proxy:3128x",
        "http://user:hunter2",
        "http://",
        "http://ho st:1",
        "http://h\u00f6st:1",
    ],
)
@pytest.mark.parametrize("name", ["proxy", "http_proxy"])
def test_what_is_no_usable_proxy_is_refused_without_its_secrets(name: str, url: str) -> None:
    with pytest.raises(s3dlio.InvalidUriError, match=f"the setting {name} ") as caught:
        proxies_of(config.Settings(**{name: url}))  # type: ignore[arg-type]
    for secret in (SECRET, QUOTED, "hunter2", "word"):
        assert secret not in str(caught.value).replace("user:password@", "")
    assert caught.value.__cause__ is None


def test_the_settings_show_no_password() -> None:
    settings = config.Settings(proxy=f"http://user:{QUOTED}@a", http_proxy=f"http://user:{QUOTED}@b")
    assert QUOTED not in repr(settings)
    assert QUOTED not in repr(proxies_of(settings))
    with pytest.raises(TypeError, match="proxy must be str or None, not bytes") as caught:
        config.Settings(proxy=b"http://user:hunter2@a")  # type: ignore[arg-type]
    assert "hunter2" not in str(caught.value)


def test_an_origin_under_ipv6_is_in_brackets_for_a_proxy() -> None:
    proxies = proxies_of(config.Settings(proxy="http://[::1]:3128"))
    assert proxies is not None
    proxy = proxies.choose(Origin("http", "::2", 9000))
    assert proxy is not None
    assert str(proxy) == "http://[::1]:3128"
    line = proxy.address(b"GET /b/k HTTP/1.1\r\nhost: [::2]:9000\r\n\r\n", Origin("http", "::2", 9000))
    assert line == b"GET http://[::2]:9000/b/k HTTP/1.1\r\nhost: [::2]:9000\r\n\r\n"
