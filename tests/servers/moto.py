"""The moto server: an S3 emulator that takes any keys and checks no signature."""

import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from tests.servers.process import HOST, S3Server, free_port, serving


@contextmanager
def moto(folder: Path) -> Generator[S3Server]:
    """Run a moto server whose log is kept in `folder`."""
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", HOST, "-p", str(port)]
    with serving(command, port=port, log=folder / "moto.log", env={"MOTO_PORT": str(port)}):
        yield S3Server("moto", f"http://{HOST}:{port}", "testkey", "testsecret")
