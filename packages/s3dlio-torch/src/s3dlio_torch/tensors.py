"""Tensors over received bytes.

The tensor and the view share one buffer: the tensor keeps it alive, and no byte is copied.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import numpy as np
import torch

from s3dlio.buffer import BytesView
from s3dlio.loading import Rows


def as_tensor(data: BytesView | memoryview) -> torch.Tensor:
    """Return a 1-D `uint8` tensor over the memory of `data`; an empty object gives an empty tensor.

    The memory is private to its holder, so the tensor may be written to.
    """
    if not len(data):
        return torch.empty(0, dtype=torch.uint8)  # frombuffer refuses a buffer without bytes
    return torch.frombuffer(data, dtype=torch.uint8)


def rows_as_tensor(rows: Rows) -> torch.Tensor:
    """Return a 2-D `uint8` tensor of shape (rows, size) over the memory of a batch."""
    return torch.from_numpy(rows)  # pyright: ignore[reportUnknownMemberType]


def tree_as_tensors(decoded: Any) -> Any:
    """Return a decoded sample with its arrays and bytes as tensors over the same memory.

    An array of a dtype that PyTorch does not have, such as text, stays what it is.
    """
    if isinstance(decoded, Mapping):
        return {key: tree_as_tensors(value) for key, value in cast("Mapping[str, Any]", decoded).items()}
    if isinstance(decoded, BytesView | memoryview):
        return as_tensor(cast("BytesView", decoded))
    if not isinstance(decoded, np.ndarray):
        return decoded
    return _of_array(cast("np.ndarray[Any, Any]", decoded))


def _of_array(array: np.ndarray[Any, Any]) -> Any:
    native = array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))
    try:
        return torch.from_numpy(native)  # pyright: ignore[reportUnknownMemberType]
    except TypeError:
        return array
