"""The state that checkpoints hold: tensors of random numbers that anyone can compute again."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from benchmarks.rows import MIB

TENSORS = 16
ALONE = "torch.distributed is disabled, unavailable or uninitialized"
"""How the warning begins that a checkpoint is of one process, as it shall be."""


def made(size: int) -> dict[str, Tensor]:
    """Return a state of `size` MiB."""
    return {_name(number): _random(number, size) for number in range(TENSORS)}


def empty(size: int) -> dict[str, Tensor]:
    """Return a state of the same shape, of zeros."""
    return {_name(number): torch.zeros(_length(size)) for number in range(TENSORS)}


def holds(state: Mapping[str, Tensor], size: int) -> bool:
    """Return whether this is what `made` returns."""
    return all(torch.equal(state[_name(number)], _random(number, size)) for number in range(TENSORS))


def _random(number: int, size: int) -> Tensor:
    return torch.rand(_length(size), generator=torch.Generator().manual_seed(number))


def _length(size: int) -> int:
    return size * MIB // TENSORS // torch.float32.itemsize


def _name(number: int) -> str:
    return f"layer-{number:02d}"
