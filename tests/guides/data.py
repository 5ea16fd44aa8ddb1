"""What the examples of the guides find in storage: objects, samples and archives of arrays."""

from __future__ import annotations

import io

import numpy as np
import torch
from torch.utils.data import Dataset

import s3dlio


def fill(prefix: str, *names: str) -> list[str]:
    """Store objects that hold their own name, and return their URIs."""
    uris = [f"{prefix}{name}" for name in names]
    s3dlio.put_many([(uri, name.encode()) for uri, name in zip(uris, names, strict=True)])
    return uris


def samples(prefix: str, count: int) -> None:
    """Store `count` samples of eight bytes, and a file that is none."""
    s3dlio.put_many([(f"{prefix}{number:03}.npz", bytes([number] * 8)) for number in range(count)])
    s3dlio.put(f"{prefix}README.txt", b"no sample")


def first_half(sample: torch.Tensor) -> torch.Tensor:
    """Be the guide's `my_transform`."""
    return sample[:4]


def archive(number: int) -> bytes:
    """Return an `.npz` file with the arrays of the guide, smaller."""
    file = io.BytesIO()
    np.savez(
        file,
        data=np.full((2, 4, 4, 3), number, dtype=np.float32),
        labels=np.full(2, number),
        metadata=np.zeros((2, 5)),
    )
    return file.getvalue()


class S3NPZDataset(Dataset[dict[str, torch.Tensor]]):
    """The data set that the guide writes by hand over `s3dlio.get`."""

    def __init__(self, s3_uris: list[str]) -> None:
        self.uris = s3_uris

    def __len__(self) -> int:
        """Return the number of archives."""
        return len(self.uris)

    def __getitem__(self, idx: int) -> dict[str, torch.Tensor]:
        """Fetch and open one archive."""
        npz_bytes = s3dlio.get(self.uris[idx])
        with io.BytesIO(npz_bytes) as f:
            data = np.load(f)
            return {
                "data": torch.from_numpy(data["data"]),
                "labels": torch.from_numpy(data["labels"]),
                "metadata": torch.from_numpy(data["metadata"]),
            }
