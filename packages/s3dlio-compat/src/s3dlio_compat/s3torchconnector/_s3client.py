"""The client under the name by which programs import it."""

from s3dlio_compat.s3torchconnector.client import S3Client
from s3dlio_compat.s3torchconnector.config import S3ClientConfig
from s3dlio_compat.s3torchconnector.mock import MockS3Client

__all__ = ["MockS3Client", "S3Client", "S3ClientConfig"]
