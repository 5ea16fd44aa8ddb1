"""What the tests of processes, threads and interrupts share: a healthy server, a stalled one, and programs to run."""

import subprocess
import sys
import threading
from collections.abc import Callable, Iterable

import numpy as np

from tests.servers.scripted import STALL, Asked, Fault, part, response

SMALL = np.random.default_rng(1).bytes(5000)
LARGE = np.random.default_rng(2).bytes(20 << 20)
URI = "s3://bucket/key"
STARTED = b"<InitiateMultipartUploadResult><UploadId>id-1</UploadId></InitiateMultipartUploadResult>"
COMPLETED = b"<CompleteMultipartUploadResult><ETag>&quot;all&quot;</ETag></CompleteMultipartUploadResult>"
KEYS = [f"many/{number:04}" for number in range(1500)]

BEGIN = """
import gc, os, sys, signal, threading, asyncio, json
import s3dlio
s3dlio.configure(endpoint_url=sys.argv[1], region="us-east-1")

def sockets():
    return sum(os.path.realpath(f"/proc/self/fd/{fd}").rpartition("/")[2].startswith("socket:")
               for fd in os.listdir("/proc/self/fd"))

def until(condition):
    for _ in range(1000):
        if condition():
            return
        threading.Event().wait(0.01)
    raise AssertionError("it never came true")
"""
"""How each program begins: `until` gives up after ten seconds."""


def until(condition: Callable[[], object]) -> None:
    """Wait until something is so, for ten seconds at most."""
    for _ in range(1000):
        if condition():
            return
        threading.Event().wait(0.01)
    raise AssertionError("it never came true")


def healthy(request: Asked) -> Iterable[bytes | Fault]:
    """Answer each request as a service does: any key is there but those that hold `missing`."""
    path, _, query = request.target.partition("?")
    if "list-type=2" in query:
        return [listing(query)]
    if request.method in ("PUT", "DELETE"):
        return [response(200, ETag='"one"') if request.method == "PUT" else response(204)]
    if request.method == "POST":
        return [response(200, STARTED if query == "uploads=" else COMPLETED)]
    if "missing" in path:
        return [response(404, b"" if request.method == "HEAD" else b"<Error><Code>NoSuchKey</Code></Error>")]
    if request.method == "HEAD":
        return [response(200, Content_Length="5000", ETag='"one"')]
    return [part(request, LARGE if "large" in path else SMALL)]


def listing(query: str) -> bytes:
    """Return one of two pages of `KEYS`."""
    more = "continuation-token=" not in query
    keys = KEYS[:1000] if more else KEYS[1000:]
    rows = "".join(f"<Contents><Key>{key}</Key><Size>5000</Size></Contents>" for key in keys)
    token = "<NextContinuationToken>next</NextContinuationToken>" if more else ""
    top = f"<IsTruncated>{str(more).lower()}</IsTruncated>{token}"
    return response(200, f"<ListBucketResult>{top}{rows}</ListBucketResult>".encode())


def stalled(request: Asked) -> Iterable[bytes | Fault]:
    """Start uploads, send listings and the beginning of every object, and then say nothing more."""
    path, _, query = request.target.partition("?")
    if request.method == "DELETE" or (request.method == "POST" and query == "uploads="):
        return healthy(request)
    if "list-type=2" in query and "silent" not in path:
        return healthy(request)
    if request.method != "GET":
        return [STALL]
    return [part(request, LARGE)[: 1 << 20], STALL]


def program(code: str, *arguments: str, options: tuple[str, ...] = ()) -> str:
    """Run a program that uses s3dlio; it must end by itself, well, and without a word on standard error."""
    done = subprocess.run(
        [sys.executable, *options, "-c", BEGIN + code, *arguments],
        check=False,
        capture_output=True,
        text=True,
        timeout=90,
    )
    assert (done.returncode, done.stderr) == (0, ""), f"status {done.returncode}\n{done.stderr}"
    return done.stdout
