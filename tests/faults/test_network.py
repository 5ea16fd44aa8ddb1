"""The network below HTTP: names, addresses, refusals, resets, descriptors; and an endpoint that wants less of it."""

import asyncio
import errno
import logging
import os
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme

import s3dlio
from tests.faults.conftest import Get, Serve
from tests.servers.proxy import relaying
from tests.servers.scripted import CLOSE, RESET, Asked, Fault, ScriptedServer, part, response, scripted

URI = "s3://bucket/key"
SMALL = os.urandom(5000)
LARGE = os.urandom(20 << 20)
Resolve = Callable[..., list[str]]


def healthy(request: Asked) -> Iterable[bytes | Fault]:
    if request.method != "GET":
        return [response(200, ETag='"one"')]
    if "list-type" in request.target:
        return [response(200, b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>")]
    return [part(request, LARGE if "large" in request.target else SMALL)]


CALLS: dict[str, Callable[[], object]] = {
    "get": lambda: s3dlio.get(URI),
    "awaited": lambda: asyncio.run(s3dlio.get_async(URI)),
    "batch": lambda: s3dlio.get_many([URI]),
    "put": lambda: s3dlio.put(URI, SMALL),
    "put_many": lambda: s3dlio.put_many([(URI, SMALL)]),
    "list": lambda: s3dlio.list("s3://bucket/"),
    "stat": lambda: s3dlio.stat(URI),
    "delete": lambda: s3dlio.delete(URI),
}
each_call = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())


@pytest.fixture
def resolve(monkeypatch: pytest.MonkeyPatch) -> Resolve:
    """Give the name storage.test these addresses; returns the record of its lookups."""
    real = socket.getaddrinfo

    def put(*answers: str | OSError) -> list[str]:
        asked: list[str] = []

        def getaddrinfo(host: str, port: int, *rest: Any, **options: Any) -> list[Any]:
            if host != "storage.test":
                return real(host, port, *rest, **options)
            asked.append(host)
            for answer in answers:
                if isinstance(answer, OSError) and len(asked) <= answers.index(answer) + 1:
                    raise answer
            return [entry for each in answers if isinstance(each, str) for entry in real(each, port, *rest, **options)]

        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
        return asked

    return put


def named(server: ScriptedServer) -> str:
    return f"http://storage.test:{server.port}"


def test_N1_a_host_whose_first_address_refuses_is_reached_at_the_next(serve: Serve, get: Get, resolve: Resolve) -> None:
    resolve("127.0.0.2", "127.0.0.1")
    with serve(healthy) as server:
        s3dlio.configure(endpoint_url=named(server), max_attempts=1)
        assert get(URI) == SMALL


@each_call
def test_N1_a_port_where_nobody_listens_is_an_error_that_says_refused(serve: Serve, call: Callable[[], object]) -> None:
    with serve(healthy) as server:
        pass
    s3dlio.configure(endpoint_url=server.endpoint, max_attempts=2)
    with pytest.raises(s3dlio.NetworkError, match=rf"127.0.0.1:{server.port}.*refused") as caught:
        call()
    assert caught.value.attempts == 2
    s3dlio.reset()


def test_N2_a_name_service_that_fails_for_now_is_asked_again(serve: Serve, get: Get, resolve: Resolve) -> None:
    later = socket.gaierror(socket.EAI_AGAIN, "temporary failure")
    asked = resolve(later, "127.0.0.1")
    with serve(healthy) as server:
        s3dlio.configure(endpoint_url=named(server))
        assert get(URI) == SMALL
    assert len(asked) == 2


def test_N2_a_name_that_does_not_exist_is_looked_up_twice_and_no_more(serve: Serve, get: Get, resolve: Resolve) -> None:
    unknown = [socket.gaierror(socket.EAI_NONAME, "unknown") for _ in range(9)]
    asked = resolve(*unknown)
    with serve(healthy) as server:
        s3dlio.configure(endpoint_url=named(server))
        with pytest.raises(s3dlio.NetworkError, match=r"name not found: .storage\.test"):
            get(URI)
    assert len(asked) == 2


@contextmanager
def silence(port: int) -> Generator[None]:
    """Make 127.0.0.9 take no connection at a port and refuse none: its queue is full."""
    with socket.create_server(("127.0.0.9", port), backlog=0):
        waiting = [socket.socket() for _ in range(4)]
        for sock in waiting:
            sock.setblocking(False)
            sock.connect_ex(("127.0.0.9", port))
        try:
            yield
        finally:
            for sock in waiting:
                sock.close()


def test_N3_an_address_that_does_not_answer_is_not_waited_for(serve: Serve, get: Get, resolve: Resolve) -> None:
    resolve("127.0.0.9", "127.0.0.1")
    arrived: list[float] = []

    def script(request: Asked) -> Iterable[bytes | Fault]:
        arrived.append(time.monotonic())
        return healthy(request)

    with serve(script) as server, silence(server.port):
        s3dlio.configure(endpoint_url=named(server), connect_timeout=10)
        given_up = time.monotonic() + 10
        assert get(URI) == SMALL
        assert arrived[0] < given_up


def test_N3_a_host_none_of_whose_addresses_answers_is_an_error_in_time(
    serve: Serve, get: Get, resolve: Resolve
) -> None:
    resolve("127.0.0.9")
    with serve(healthy) as server, silence(server.port):
        s3dlio.configure(endpoint_url=named(server), connect_timeout=0.5, max_attempts=2)
        with pytest.raises(s3dlio.DeadlineExceededError, match=rf"no connection to storage.test:{server.port}"):
            get(URI)
        assert server.connections == 0


@each_call
def test_N4_a_kept_connection_that_turns_out_closed_costs_no_attempt(serve: Serve, call: Callable[[], object]) -> None:
    def script(request: Asked) -> Iterable[bytes | Fault]:
        return [RESET] if request.number == 1 else healthy(request)

    with serve(script) as server:
        s3dlio.configure(max_attempts=1)
        call()
        call()
        assert (len(server.asked), server.connections) == (3, 2)
        assert server.asked[1].body == server.asked[2].body


@pytest.mark.parametrize("fault", [CLOSE, RESET])
@each_call
def test_N5_a_connection_that_breaks_before_the_answer_is_tried_again(
    serve: Serve, call: Callable[[], object], fault: Fault
) -> None:
    with serve(lambda request: [fault] if request.number == 0 else healthy(request)) as server:
        call()
        assert len(server.asked) == 2
        assert server.asked[0].body == server.asked[1].body


def test_N5_a_connection_that_always_breaks_is_an_error_after_all_attempts(serve: Serve, get: Get) -> None:
    with serve(lambda request: [RESET]) as server:
        s3dlio.configure(max_attempts=3)
        with pytest.raises(s3dlio.NetworkError):
            get(URI)
        assert len(server.asked) == 3


def test_N8_a_connection_that_the_server_closed_while_it_rested_is_not_used(serve: Serve, get: Get) -> None:
    with serve(lambda request: [*healthy(request), CLOSE]) as server:
        s3dlio.configure(max_attempts=1)
        for _ in range(3):
            assert get(URI) == SMALL
        assert server.connections == 3


_STARVED = """
import resource, sys, s3dlio
def read():
    return [bytes(s3dlio.get("s3://bucket/key"))] + [bytes(each) for each in s3dlio.get_many(["s3://bucket/key"] * 4)]
before = read()
s3dlio.configure(max_attempts=3)
high = max(map(int, __import__("os").listdir("/proc/self/fd"))) + 1
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
files = []
try:
    resource.setrlimit(resource.RLIMIT_NOFILE, (high + 3, hard))
    while True:
        files.append(open("/dev/null"))
except OSError:
    pass
for verb in (lambda: s3dlio.get("s3://bucket/key"), lambda: s3dlio.get_many(["s3://bucket/key"])):
    try:
        verb()
    except s3dlio.NetworkError as error:
        print(error.attempts, "ulimit -n" in str(error), "s3://bucket/key" in str(error))
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
for file in files:
    file.close()
print(read() == before)
"""


def test_N9_a_process_without_descriptors_gets_an_error_with_a_hint_and_recovers() -> None:
    with scripted(lambda request: [part(request, SMALL, Connection="close")]) as server:
        keys = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_ENDPOINT_URL": server.endpoint}
        done = subprocess.run(
            [sys.executable, "-c", _STARVED],
            check=False,
            env={**os.environ, **keys},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.stdout.split("\n")[:-1] == ["3 True True", "3 True True", "True"], done.stderr


def test_N9_a_machine_that_has_no_port_left_for_a_moment_is_tried_again(
    serve: Serve, get: Get, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed: list[object] = []

    class Unlucky(socket.socket):
        def connect_ex(self, address: Any) -> int:
            if len(failed) < 2:
                failed.append(address)
                return errno.EADDRNOTAVAIL
            return super().connect_ex(address)

    with serve(healthy):
        monkeypatch.setattr(socket, "socket", Unlucky)
        assert get(URI) == SMALL
    assert len(failed) == 2


def test_N10_many_threads_share_one_lookup(serve: Serve, resolve: Resolve) -> None:
    asked = resolve("127.0.0.1")
    with serve(healthy) as server:
        s3dlio.configure(endpoint_url=named(server))
        threads = [threading.Thread(target=s3dlio.get, args=(f"s3://bucket/{i}",)) for i in range(64)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(server.asked) == 64
    assert len(asked) == 1


# An endpoint that wants fewer requests


class Refused(logging.Handler):
    """Notices that a refusal has been understood."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = threading.Event()

    def emit(self, record: logging.LogRecord) -> None:
        self.seen.set()


@pytest.fixture
def refused() -> Generator[Refused]:
    handler, logger = Refused(), logging.getLogger("s3dlio.http")
    level = logger.level
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)
    logger.setLevel(level)


def by_threads() -> None:
    threads = [threading.Thread(target=s3dlio.get, args=(f"s3://bucket/{i}",)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def by_coroutines() -> None:
    s3dlio.get_many([f"s3://bucket/{i}" for i in range(8)])


def by_puts() -> None:
    s3dlio.put_many([(f"s3://bucket/{i}", SMALL) for i in range(8)])


@pytest.mark.parametrize("status", [503, 429])
@pytest.mark.parametrize("work", [by_threads, by_coroutines, by_puts])
def test_H2_H3_after_a_slow_down_nobody_sends_before_its_time(
    serve: Serve, refused: Refused, work: Callable[[], None], status: int
) -> None:
    told: list[float] = []
    arrived: list[float] = []
    document = b"<Error><Code>SlowDown</Code></Error>" if status == 503 else b""

    def script(request: Asked) -> Iterable[bytes | Fault]:
        if request.number == 0:
            told.append(time.monotonic())
            return [response(status, document, Retry_After="1")]
        arrived.append(time.monotonic())
        return healthy(request)

    with serve(script) as server:
        first = threading.Thread(target=s3dlio.get, args=(URI,))
        first.start()
        assert refused.seen.wait(10)
        work()
        first.join()
        assert len(server.asked) == 10
    assert [moment for moment in arrived if moment < told[0] + 1] == []


# IPv6


def test_an_endpoint_under_ipv6_is_reached_and_stands_in_brackets(serve: Serve, get: Get) -> None:
    with serve(healthy) as server, relaying("::1", server.port) as port:
        s3dlio.configure(endpoint_url=f"http://[::1]:{port}")
        assert get(URI) == SMALL
        assert get("s3://bucket/large") == LARGE
        assert {request.fields["host"] for request in server.asked} == {f"[::1]:{port}"}


def test_an_endpoint_under_ipv6_that_refuses_is_named_in_brackets(serve: Serve, get: Get) -> None:
    with serve(healthy) as server, relaying("::1", server.port) as port:
        pass
    s3dlio.configure(endpoint_url=f"http://[::1]:{port}", max_attempts=1)
    with pytest.raises(s3dlio.NetworkError, match=rf"\[::1\]:{port}.*refused"):
        get(URI)
    s3dlio.reset()


def test_an_answer_that_makes_no_sense_from_ipv6_is_named_in_brackets(serve: Serve, get: Get) -> None:
    with serve(lambda request: [b"SSH-2.0\r\n\r\n"]) as server, relaying("::1", server.port) as port:
        s3dlio.configure(endpoint_url=f"http://[::1]:{port}", max_attempts=1)
        with pytest.raises(s3dlio.NetworkError, match=rf"http://\[::1\]:{port}"):
            get(URI)


@pytest.mark.parametrize("addresses", [("::1", "127.0.0.1"), ("127.0.0.1", "::1")])
def test_N3_a_name_with_both_kinds_of_addresses_is_reached_by_the_one_that_works(
    serve: Serve, get: Get, resolve: Resolve, addresses: tuple[str, ...]
) -> None:
    resolve(*addresses)
    with serve(healthy) as server:
        s3dlio.configure(endpoint_url=named(server), max_attempts=1)
        assert get(URI) == SMALL
    with serve(healthy) as server, relaying("::1", server.port) as port:
        s3dlio.configure(endpoint_url=f"http://storage.test:{port}", max_attempts=1)
        assert get(URI) == SMALL


def test_a_certificate_for_an_address_under_ipv6_is_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, get: Get
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("::1").configure_cert(context)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    with scripted(healthy, context) as server, relaying("::1", server.port) as port:
        s3dlio.configure(endpoint_url=f"https://[::1]:{port}", ca_bundle=str(tmp_path / "ca.pem"))
        assert get(URI) == SMALL
        s3dlio.reset()
