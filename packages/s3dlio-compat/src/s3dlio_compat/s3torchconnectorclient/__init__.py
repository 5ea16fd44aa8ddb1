"""The package in which programs look for `S3Exception`."""

from s3dlio_compat.s3torchconnector.exceptions import S3Exception
from s3dlio_compat.s3torchconnector.version import __version__

LOG_TRACE = 5
"""The level below DEBUG."""

__all__ = ["LOG_TRACE", "S3Exception", "__version__"]
