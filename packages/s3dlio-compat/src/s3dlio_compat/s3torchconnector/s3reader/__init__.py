"""Readers: objects as seekable binary streams."""

from s3dlio_compat.s3torchconnector.s3reader.base import GetStreamCallable, S3Reader
from s3dlio_compat.s3torchconnector.s3reader.constructors import (
    DCPOptimizedConstructor,
    DCPS3ReaderConstructorProtocol,
    S3ReaderConstructor,
    S3ReaderConstructorProtocol,
)
from s3dlio_compat.s3torchconnector.s3reader.dcp_optimized import DCPOptimizedS3Reader, ItemRange, RangeGroup
from s3dlio_compat.s3torchconnector.s3reader.ranged import RangedS3Reader
from s3dlio_compat.s3torchconnector.s3reader.sequential import SequentialS3Reader

__all__ = [
    "DCPOptimizedConstructor",
    "DCPOptimizedS3Reader",
    "DCPS3ReaderConstructorProtocol",
    "GetStreamCallable",
    "ItemRange",
    "RangeGroup",
    "RangedS3Reader",
    "S3Reader",
    "S3ReaderConstructor",
    "S3ReaderConstructorProtocol",
    "SequentialS3Reader",
]
