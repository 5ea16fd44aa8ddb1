"""A connection is handed out again only while it is young, silent and of a machine that has some to spare."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from s3dlio import config
from s3dlio.http import pool as pools
from s3dlio.http.connection import Connection
from s3dlio.http.pool import Pool, pool_of
from s3dlio.http.race import ExhaustedError
from s3dlio.http.wire import Origin


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


@pytest.fixture
def origin(listener: socket.socket) -> Origin:
    return Origin("http", "127.0.0.1", listener.getsockname()[1])


def test_N8_the_kernel_finds_out_within_a_minute_that_a_peer_has_vanished(origin: Origin) -> None:
    sock = Pool().open(origin).sock
    with sock:
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        idle, interval, times = (
            sock.getsockopt(socket.IPPROTO_TCP, option)
            for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
        )
        assert idle + interval * times <= 60


def test_N8_a_connection_is_too_old_before_s3_closes_it(origin: Origin, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr("s3dlio.http.pool.time.monotonic", lambda: now[0])
    pool = Pool()
    connection = pool.open(origin)
    pool.settle(connection, keep=True)
    now[0] += 14
    assert pool.reuse(origin) is connection
    pool.settle(connection, keep=True)
    now[0] += 16
    assert pool.reuse(origin) is None
    assert connection.fileno() == -1


def test_N8_S15_a_connection_that_was_closed_or_spoke_unasked_is_not_used_again(
    origin: Origin, listener: socket.socket
) -> None:
    pool = Pool()
    for data in (b"", b"HTTP/1.1 200 OK\r\n\r\n"):
        connection = pool.open(origin)
        theirs, _ = listener.accept()
        with theirs:
            pool.settle(connection, keep=True)
            theirs.sendall(data)
            theirs.shutdown(socket.SHUT_WR)
            assert connection.sock.recv(1, socket.MSG_PEEK) == data[:1]
            assert pool.reuse(origin) is None
        assert connection.fileno() == -1


def test_N9_idle_connections_are_given_back_when_descriptors_run_out(
    origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = Pool()
    idle = [pool.open(origin) for _ in range(3)]
    for connection in idle:
        pool.settle(connection, keep=True)

    def refuse(*_: object, **__: object) -> Connection:
        raise ExhaustedError("no descriptor")

    monkeypatch.setattr(pools, "connect", refuse)
    with pytest.raises(ExhaustedError):
        pool.open(Origin("http", "127.0.0.1", 9))
    assert [connection.fileno() for connection in idle] == [-1, -1, -1]


def test_the_settings_decide_the_timeouts_and_the_proxies() -> None:
    settings = config.Settings(first_byte_timeout=3, progress_bytes=4, progress_window=5, proxy="http://127.0.0.1:9")
    pool = pool_of(settings)
    assert (pool.pace.first_byte, pool.pace.bytes, pool.pace.window) == (3, 4, 5)
    assert pool.proxies is not None
    assert pool_of(config.Settings()).proxies is None
