"""One call of each kind, and a server to which all of them succeed."""

import os
from collections.abc import Callable, Iterable

import s3dlio
from tests.servers.scripted import Asked, Fault, part, response

URI = "s3://bucket/key"
SMALL = os.urandom(5000)

CALLS: dict[str, Callable[[], object]] = {
    "get": lambda: s3dlio.get(URI),
    "get_many": lambda: s3dlio.get_many([URI]),
    "put": lambda: s3dlio.put(URI, SMALL),
    "put_many": lambda: s3dlio.put_many([(URI, SMALL)]),
    "list": lambda: s3dlio.list("s3://bucket/"),
    "stat": lambda: s3dlio.stat(URI),
    "exists": lambda: s3dlio.exists(URI),
    "delete": lambda: s3dlio.delete(URI),
    "copy": lambda: s3dlio.copy(URI, "s3://bucket/other"),
    "list_containers": lambda: s3dlio.list_containers("s3://"),
}


def healthy(request: Asked) -> Iterable[bytes | Fault]:
    """Answer with the object, or that it is stored."""
    return [part(request, SMALL) if request.method == "GET" else response(200, ETag='"one"')]
