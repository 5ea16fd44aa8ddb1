"""The GET origin: nginx over a tree of files in memory, with a configuration of its own in a temporary
directory, plain on one port and with TLS on another.

One worker, so that the client has a core for itself. `sendfile` is off because it makes a client on
loopback slower than a network would. Signatures are ignored; ETag and Range are nginx's own.
"""

from __future__ import annotations

import base64
import os
import shutil
import socket
import subprocess
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

from awscrt import checksums

from benchmarks.process import Running, children_of, ended

_BUCKET_WITH_SUMS = "checked"
_START = 10.0

_CONFIGURATION = """
{user}
worker_processes 1;
daemon off;
pid {home}/nginx.pid;
error_log {home}/error.log warn;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    sendfile off;
    output_buffers 2 256k;
    tcp_nodelay on;
    keepalive_timeout 600;
    keepalive_requests 100000000;
    open_file_cache max=8192 inactive=1h;
    open_file_cache_valid 1h;
    default_type application/octet-stream;
    client_body_temp_path {home}/body;
    proxy_temp_path {home}/proxy;
    fastcgi_temp_path {home}/fastcgi;
    uwsgi_temp_path {home}/uwsgi;
    scgi_temp_path {home}/scgi;
    map_hash_max_size 16384;
    map_hash_bucket_size 128;
    map $uri $sum {{
        include {home}/sums.conf;
    }}
    server {{
        listen 127.0.0.1:{port} backlog=1024;
        {tls}
        location / {{ root {tree}; }}
        location /{checked}/ {{
            alias {tree}/{bucket}/;
            add_header x-amz-checksum-crc64nvme $sum;
            add_header x-amz-checksum-type FULL_OBJECT;
        }}
    }}
}}
"""


def find() -> str:
    """Return the path of nginx.

    Raises:
        FileNotFoundError: it is not installed.
    """
    found = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if found is None:
        raise FileNotFoundError("the GET rows need nginx: install the Debian package nginx-light")
    return found


def version() -> str:
    """Return the version as nginx tells it, such as `nginx/1.22.1`."""
    told = subprocess.run([find(), "-v"], capture_output=True, text=True, check=True).stderr
    return told.rpartition(": ")[2].strip()


def bucket(*, checksums: bool) -> str:
    """Return the name of the bucket whose answers hold checksums, or of the one whose answers hold none."""
    return _BUCKET_WITH_SUMS if checksums else "bucket"


_TLS = """listen 127.0.0.1:{port} ssl backlog=1024;
        ssl_certificate {certificate};
        ssl_certificate_key {certificate};
        ssl_buffer_size 16k;"""


@contextmanager
def started(tree: Path, home: Path, certificate: Path) -> Generator[tuple[Running, Running]]:
    """Serve `tree`, whose folders are buckets, until the block ends: without TLS, and with it.

    `home` takes configuration and logs; `certificate` is a file of PEM that holds the key as well.
    """
    port, sealed = _free_port(), _free_port()
    (home / "sums.conf").write_text("".join(_sums(tree / bucket(checksums=False))))
    user = "user root;" if os.geteuid() == 0 else ""
    tls = _TLS.format(port=sealed, certificate=certificate)
    names = {"user": user, "checked": _BUCKET_WITH_SUMS, "bucket": bucket(checksums=False), "tls": tls}
    text = _CONFIGURATION.format(home=home, tree=tree, port=port, **names)
    (home / "nginx.conf").write_text(text)
    log = str(home / "error.log")
    command = [find(), "-e", log, "-p", str(home), "-c", str(home / "nginx.conf")]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL) as process, ended(process):
        workers = _workers(port, process, log)
        yield Running(f"http://127.0.0.1:{port}", workers), Running(f"https://127.0.0.1:{sealed}", workers)


def _sums(folder: Path) -> Iterator[str]:
    for path in folder.glob("*/*"):
        crc = 0
        with path.open("rb") as file:
            while block := file.read(1 << 24):
                crc = checksums.crc64nvme(block, crc)
        value = base64.b64encode(crc.to_bytes(8, "big")).decode()
        yield f'/{_BUCKET_WITH_SUMS}/{path.parent.name}/{path.name} "{value}";\n'


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def _workers(port: int, process: subprocess.Popen[bytes], log: str) -> tuple[int, ...]:
    """Return the worker processes, once there are any and nginx accepts."""
    while process.poll() is None:
        workers = children_of(process.pid)
        if workers and _accepts(port):
            return workers
        os.sched_yield()
    raise RuntimeError(f"nginx ended with status {process.returncode}: {Path(log).read_text().strip()}")


def _accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=_START).close()
    except ConnectionRefusedError:
        return False
    return True
