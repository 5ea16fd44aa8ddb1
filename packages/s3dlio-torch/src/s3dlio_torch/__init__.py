"""PyTorch datasets over object storage: samples are tensors over the memory that received them."""

from s3dlio_torch._version import __version__
from s3dlio_torch.aliases import S3IterableDataset, S3MapDataset
from s3dlio_torch.datasets import ObjectStoreMapDataset
from s3dlio_torch.iterable import ObjectStoreIterableDataset
from s3dlio_torch.sampler import EpochSampler
from s3dlio_torch.samples import collate

__all__ = [
    "EpochSampler",
    "ObjectStoreIterableDataset",
    "ObjectStoreMapDataset",
    "S3IterableDataset",
    "S3MapDataset",
    "__version__",
    "collate",
]
