"""A throw-away S3 server on this machine, for examples that should run without an account."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager

import s3dlio

HOST = "127.0.0.1"
PROBES = 600
SECONDS_A_PROBE = 0.1


@contextmanager
def local_s3(bucket: str) -> Generator[str]:
    """Run a moto server while the block lasts; yields the URI of a new bucket on it.

    The AWS variables of this process, and of those it starts, point to the server from then on.
    """
    port = _free_port()
    with tempfile.TemporaryFile() as log:
        command = [sys.executable, "-m", "moto.server", "-H", HOST, "-p", str(port)]
        server = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            _wait_for(server, port)
            os.environ |= {
                "AWS_ENDPOINT_URL": f"http://{HOST}:{port}",
                "AWS_ACCESS_KEY_ID": "example",
                "AWS_SECRET_ACCESS_KEY": "example",
                "AWS_REGION": "us-east-1",
            }
            s3dlio.create_bucket(bucket)
            yield f"s3://{bucket}"
        finally:
            server.terminate()
            server.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_for(server: subprocess.Popen[bytes], port: int) -> None:
    for _ in range(PROBES):
        with socket.socket() as probe:
            if probe.connect_ex((HOST, port)) == 0:
                return
        try:
            server.wait(SECONDS_A_PROBE)
        except subprocess.TimeoutExpired:
            continue
        raise RuntimeError("the moto server did not start: pip install 'moto[server]'")
    raise RuntimeError(f"the moto server does not answer on port {port}")
