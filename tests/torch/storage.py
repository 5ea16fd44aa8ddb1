"""Data sets for the tests: small objects whose bytes tell which of them they are."""

from dataclasses import dataclass
from typing import Any

import torch

import s3dlio

COUNT = 23


@dataclass(frozen=True, slots=True)
class Storage:
    """A prefix with `COUNT` objects of eight equal bytes; the byte is the object's number."""

    root: str

    @property
    def uris(self) -> list[str]:
        """The URIs of the objects, in the order of their numbers."""
        return [f"{self.root}{number:03}.bin" for number in range(COUNT)]

    def fill(self) -> "Storage":
        """Store the objects, and beside them a note and an empty folder that are no samples of *.bin."""
        s3dlio.put_many((uri, bytes([number]) * 8) for number, uri in enumerate(self.uris))
        s3dlio.put(f"{self.root}notes.txt", b"notes")
        return self


def numbers(samples: Any) -> list[int]:
    """Return the numbers of the objects that samples, or batches of them, were read from."""
    return [int(number) for sample in samples for number in sample.reshape(-1, sample.shape[-1])[:, 0]]


def doubled(sample: torch.Tensor) -> torch.Tensor:
    """Transform a sample visibly; at the top of a module, so that it pickles."""
    return sample * 2


def refused(sample: torch.Tensor) -> torch.Tensor:
    """Fail as a transform may."""
    raise LookupError(f"cannot decode {len(sample)} bytes")
