"""The interface of s3torchconnector 1.5, served by s3dlio: change one import line."""

from s3dlio_compat.s3torchconnector._s3client import S3Client
from s3dlio_compat.s3torchconnector.checkpoint import S3Checkpoint
from s3dlio_compat.s3torchconnector.config import S3ClientConfig
from s3dlio_compat.s3torchconnector.datasets import S3IterableDataset, S3MapDataset
from s3dlio_compat.s3torchconnector.exceptions import S3Exception
from s3dlio_compat.s3torchconnector.s3reader import S3Reader, S3ReaderConstructor
from s3dlio_compat.s3torchconnector.version import __version__
from s3dlio_compat.s3torchconnector.writer import S3Writer

S3Item = S3Reader
"""What the guides call an item of a data set."""

__all__ = [
    "S3Checkpoint",
    "S3Client",
    "S3ClientConfig",
    "S3Exception",
    "S3Item",
    "S3IterableDataset",
    "S3MapDataset",
    "S3Reader",
    "S3ReaderConstructor",
    "S3Writer",
    "__version__",
]
