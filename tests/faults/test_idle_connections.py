"""Connections that wait for their next exchange: not for long, and not beyond a change of settings."""

import os

import pytest

import s3dlio
from tests.faults.conftest import Serve
from tests.servers.scripted import part

URI = "s3://bucket/key"
SMALL = os.urandom(5000)


def test_N8_after_a_reset_no_connection_stays_open(serve: Serve) -> None:
    with serve(lambda request: [part(request, SMALL)]) as server:
        s3dlio.get(URI)
        s3dlio.get_many([URI] * 20)
        s3dlio.reset()
        assert server.still_connected() == 0


def test_N8_a_connection_of_a_batch_is_too_old_before_s3_closes_it(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serve(lambda request: [part(request, SMALL)]) as server:
        s3dlio.get_many([URI] * 20)
        monkeypatch.setattr("s3dlio.http.pool._OLDEST", 0.0)
        s3dlio.get_many([URI])
        assert server.asked[-1].connection == server.connections - 1
        assert any(server.still_connected() == 0 for _ in range(5))
