"""Starts a server as a child process and knows when it answers.

The invariant: what `serving` starts has ended when its block is left. A server that does not come up is an
error that shows the end of its log.
"""

import os
import socket
import subprocess
import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

HOST = "127.0.0.1"
PROBE_SECONDS = 0.02
PROBES = 3000  # a minute: a cold start on a busy machine takes a few seconds
GRACE_SECONDS = 10

# Asks Linux to end the program when the thread that started it is gone: a killed test run leaves no server behind.
PR_SET_PDEATHSIG = 1
TIED = f"import ctypes, os, sys; ctypes.CDLL(None).prctl({PR_SET_PDEATHSIG}, 9); os.execv(sys.argv[1], sys.argv[1:])"


class ServerStartError(RuntimeError):
    """A server a test needs is missing, died, or never answered."""


@dataclass(frozen=True, slots=True)
class S3Server:
    """Where a running S3 server is and which keys it takes."""

    name: str
    endpoint: str
    access_key: str
    secret_key: str = field(repr=False)
    region: str = "us-east-1"


def free_port() -> int:
    """Return a port of loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def serving(command: Sequence[str], *, port: int, log: Path, env: Mapping[str, str]) -> Generator[int]:
    """Run `command` until the block ends, and enter it once `port` accepts; yields the process id.

    `env` is added to this process's environment; output goes to `log`.
    """
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-c", TIED, *command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **env},
            start_new_session=True,
        )
    try:
        await_port(process, port, log)
        yield process.pid
    finally:
        end(process)


def await_port(process: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    """Return once the port accepts, or raise with the end of the log when the process dies first."""
    for _ in range(PROBES):
        if accepts(port):
            return
        try:
            process.wait(PROBE_SECONDS)
        except subprocess.TimeoutExpired:
            continue
        break
    state = "did not answer" if process.poll() is None else f"ended with status {process.returncode}"
    tail = log.read_text(encoding="utf-8", errors="replace")[-2000:]
    raise ServerStartError(f"{process.args!r} {state} on port {port}; its log ends:\n{tail}")


def accepts(port: int) -> bool:
    """Return whether something listens on the port."""
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0


def end(process: "subprocess.Popen[bytes]") -> None:
    """End the process and collect it."""
    process.terminate()
    try:
        process.wait(GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
