"""The origin: nginx over a tree of files in memory, which answers at once on one port and 20 ms late on another.

The delay is nginx's own timer (the `echo` module, which comes with the Debian package nginx-light), so a late answer
costs about as little as any other. One worker, so that the client has a core for itself. `sendfile` is off because it
makes a client on loopback slower than a network would. Where there is no nginx the project's own origin can take its
place, to see that something works: it is slower for large objects.
"""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from benchmarks import nginx, process
from benchmarks.loading.rows import DELAY
from benchmarks.process import Plan, Running, children_of, ended

_MODULES = (Path("/usr/lib/nginx/modules"), Path("/usr/share/nginx/modules"))
_ECHO = "ngx_http_echo_module.so"
_START = 10.0

_CONFIGURATION = """
load_module {echo};
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
    default_type application/octet-stream;
    client_body_temp_path {home}/body;
    proxy_temp_path {home}/proxy;
    fastcgi_temp_path {home}/fastcgi;
    uwsgi_temp_path {home}/uwsgi;
    scgi_temp_path {home}/scgi;
    root {tree};
    server {{
        listen 127.0.0.1:{port} backlog=1024;
    }}
    server {{
        listen 127.0.0.1:{late} backlog=1024;
        location / {{ echo_sleep {delay}; echo_exec @object; }}
        location @object {{ }}
    }}
}}
"""


@contextmanager
def started(tree: Path, home: Path) -> Generator[tuple[Running, Running]]:
    """Serve `tree`, whose folders are buckets, until the block ends: at once, and late.

    `home` takes configuration and logs.
    """
    port, late = _free_port(), _free_port()
    user = "user root;" if os.geteuid() == 0 else ""
    values = {"echo": _echo(), "user": user, "home": home, "tree": tree, "port": port, "late": late, "delay": DELAY}
    (home / "nginx.conf").write_text(_CONFIGURATION.format(**values))
    log = str(home / "error.log")
    command = [nginx.find(), "-e", log, "-p", str(home), "-c", str(home / "nginx.conf")]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL) as server, ended(server):
        workers = _workers(port, server, log)
        yield Running(f"http://127.0.0.1:{port}", workers), Running(f"http://127.0.0.1:{late}", workers)


@contextmanager
def own(tree: Path) -> Generator[tuple[Running, Running]]:
    """Serve `tree` from the project's own origin until the block ends: at once, and late."""
    with process.origin(Plan(tree=str(tree))) as prompt, process.origin(Plan(tree=str(tree), delay=DELAY)) as late:
        yield prompt, late


def _echo() -> Path:
    for folder in _MODULES:
        if (folder / _ECHO).exists():
            return folder / _ECHO
    raise FileNotFoundError(f"the late rows need nginx's {_ECHO}: install the Debian package nginx-light")


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def _workers(port: int, server: subprocess.Popen[bytes], log: str) -> tuple[int, ...]:
    """Return the worker processes, once there are any and nginx accepts."""
    while server.poll() is None:
        workers = children_of(server.pid)
        if workers and _accepts(port):
            return workers
        os.sched_yield()
    raise RuntimeError(f"nginx ended with status {server.returncode}: {Path(log).read_text().strip()}")


def _accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=_START).close()
    except ConnectionRefusedError:
        return False
    return True
