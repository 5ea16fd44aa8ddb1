"""The original and the replacement: what is promised of both is tested with both, against the same server."""

from importlib import import_module
from types import ModuleType
from typing import Any

import pytest

from tests.servers.environment import S3Bucket

ORIGINAL, OURS = "s3torchconnector", "s3dlio.compat.s3torchconnector"


class Connector:
    """One of the two packages, with a bucket of its own to use it on."""

    def __init__(self, name: str, bucket: S3Bucket) -> None:
        self.name = name
        self.package: Any = import_module(name)
        self.bucket = bucket
        self.options: dict[str, Any] = {"region": "us-east-1", "endpoint": bucket.server.endpoint}

    def module(self, name: str) -> Any:
        """Import a module of the package."""
        loaded: ModuleType = import_module(f"{self.name}.{name}")
        return loaded

    def uri(self, key: str = "") -> str:
        """Return the URI of an object in the bucket."""
        return self.bucket.uri(key)

    @property
    def bucket_name(self) -> str:
        """The name of the bucket."""
        return self.uri().removeprefix("s3://").strip("/")

    @property
    def config(self) -> Any:
        """A configuration that reaches the server."""
        return self.package.S3ClientConfig(force_path_style=True)

    def client(self) -> Any:
        """Make a client."""
        client_class = self.module("_s3client").S3Client
        return client_class("us-east-1", endpoint=self.options["endpoint"], s3client_config=self.config)

    def put(self, key: str, content: bytes) -> None:
        """Store an object."""
        with self.client().put_object(self.bucket_name, key) as writer:
            writer.write(content)

    def reader(self, key: str, kind: str = "sequential", **options: Any) -> Any:
        """Return a reader of an object."""
        constructor = getattr(self.package.S3ReaderConstructor, kind)(**options)
        return self.client().get_object(self.bucket_name, key, reader_constructor=constructor)

    def dataset(self, kind: str, prefix: str = "", **options: Any) -> Any:
        """Make a data set of a prefix."""
        made: Any = getattr(self.package, f"S3{kind}Dataset")
        return made.from_prefix(self.uri(prefix), **self.options, s3client_config=self.config, **options)


@pytest.fixture(params=[ORIGINAL, OURS], ids=["original", "ours"])
def connector(request: pytest.FixtureRequest, moto_s3: S3Bucket) -> Connector:
    """The original and the replacement in turn."""
    return Connector(request.param, moto_s3)


@pytest.fixture
def ours(moto_s3: S3Bucket) -> Connector:
    """The replacement."""
    return Connector(OURS, moto_s3)
