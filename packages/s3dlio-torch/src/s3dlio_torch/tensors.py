"""Tensors over received bytes.

The tensor and the view share one buffer: the tensor keeps it alive, and no byte is copied.
"""

from __future__ import annotations

import torch

from s3dlio.buffer import BytesView


def as_tensor(data: BytesView) -> torch.Tensor:
    """Return a 1-D `uint8` tensor over the memory of `data`; an empty object gives an empty tensor.

    The memory is private to its holder, so the tensor may be written to.
    """
    if not data.size:
        return torch.empty(0, dtype=torch.uint8)  # frombuffer refuses a buffer without bytes
    return torch.frombuffer(data, dtype=torch.uint8)
