"""Points this process at one S3 server, and away from whatever account its user has.

The invariant: outside the block nothing of the server is left, neither in the environment nor in s3dlio's
stores.
"""

import os
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from boto3.session import Session
from botocore.config import Config

import s3dlio
from tests.servers.process import S3Server

PROXIES = tuple(f"{kind}_proxy" for kind in ("http", "https", "all", "no"))
AUTHORITIES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE")
FOREIGN = ("AWS_", "S3DLIO_", "S3_ENDPOINT_URIS", *AUTHORITIES, *PROXIES, *(name.upper() for name in PROXIES))


@dataclass(frozen=True, slots=True)
class S3Bucket:
    """A fresh bucket on a running server; `client` is boto3's, for looking from the other side."""

    server: S3Server
    bucket: str
    client: Any

    def uri(self, key: str = "") -> str:
        """Return the URI of a key in the bucket."""
        return f"s3://{self.bucket}/{key}"


def isolate(env: pytest.MonkeyPatch, folder: Path) -> None:
    """Remove every setting of storage from the environment, and the user's files from the search."""
    for name in [name for name in os.environ if name.startswith(FOREIGN)]:
        env.delenv(name)
    env.setenv("AWS_CONFIG_FILE", str(folder / "no-config"))
    env.setenv("AWS_SHARED_CREDENTIALS_FILE", str(folder / "no-credentials"))
    env.setenv("AWS_EC2_METADATA_DISABLED", "true")


def point_at(env: pytest.MonkeyPatch, server: S3Server) -> None:
    """Set the variables by which every S3 client finds the server."""
    env.setenv("AWS_ENDPOINT_URL", server.endpoint)
    env.setenv("AWS_ACCESS_KEY_ID", server.access_key)
    env.setenv("AWS_SECRET_ACCESS_KEY", server.secret_key)
    env.setenv("AWS_REGION", server.region)


def boto3_client(server: S3Server) -> Any:
    """Return boto3's client of the server; checksums only where the protocol wants them."""
    session = Session(server.access_key, server.secret_key, region_name=server.region)
    config = Config(
        s3={"addressing_style": "path"},
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    return session.client("s3", endpoint_url=server.endpoint, config=config)


@contextmanager
def s3_environment(server: S3Server, folder: Path) -> Generator[S3Bucket]:
    """Yield a fresh bucket of the server, with s3dlio and the AWS variables pointing there."""
    with pytest.MonkeyPatch.context() as env:
        isolate(env, folder)
        client = boto3_client(server)
        bucket = f"tests-{uuid4().hex[:16]}"
        client.create_bucket(Bucket=bucket)
        point_at(env, server)
        s3dlio.reset()
        try:
            yield S3Bucket(server, bucket, client)
        finally:
            s3dlio.reset()
            client.close()
