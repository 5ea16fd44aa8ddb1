"""Checkpoints: one object each, written and read as a stream."""

from __future__ import annotations

from s3dlio_compat.s3torchconnector.client import S3Client
from s3dlio_compat.s3torchconnector.config import S3ClientConfig
from s3dlio_compat.s3torchconnector.s3reader import S3Reader
from s3dlio_compat.s3torchconnector.uris import parse_s3_uri
from s3dlio_compat.s3torchconnector.user_agent import UserAgent
from s3dlio_compat.s3torchconnector.writer import S3Writer


class S3Checkpoint:
    """Opens objects for `torch.save` and `torch.load`."""

    def __init__(self, region: str, endpoint: str | None = None, s3client_config: S3ClientConfig | None = None) -> None:
        self.region = region
        self.endpoint = endpoint
        agent = UserAgent(["md/checkpoint"])
        self._client = S3Client(region, endpoint=endpoint, user_agent=agent, s3client_config=s3client_config)

    def reader(self, s3_uri: str) -> S3Reader:
        """Return a reader of an object; a missing one shows when it is read.

        Raises:
            ValueError: the URI is none of an object.
        """
        return self._client.get_object(*parse_s3_uri(s3_uri))

    def writer(self, s3_uri: str) -> S3Writer:
        """Return a writer whose content becomes the object when it is closed.

        Raises:
            ValueError: the URI is none of an object.
        """
        return self._client.put_object(*parse_s3_uri(s3_uri))
