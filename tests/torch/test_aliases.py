"""BytesView and PyTorch: one memory, no copy, and no recycling while a tensor is left."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.dlpack import from_dlpack

import s3dlio
from s3dlio.buffer import BytesView, lease
from tests.torch.storage import Storage

RARE = 11 * (1 << 20) + 12_345  # bytes; a size class that nothing else here uses
EXPORTS: dict[str, Callable[[BytesView], Any]] = {
    "frombuffer": lambda view: torch.frombuffer(view, dtype=torch.uint8),
    "from_dlpack": from_dlpack,
    "from_numpy": lambda view: torch.from_numpy(np.asarray(view)),
    "floats": lambda view: torch.frombuffer(view[:400], dtype=torch.float32).reshape(10, 10),
    "shaped and transposed": lambda view: torch.frombuffer(view[:400], dtype=torch.uint8).reshape(20, 20).t(),
    "part of a tensor": lambda view: torch.frombuffer(view, dtype=torch.uint8)[7:9],
    "array of a tensor": lambda view: torch.frombuffer(view, dtype=torch.uint8).numpy(),
}


def filled(data: bytes) -> BytesView:
    """Return a view that holds these bytes."""
    view = lease(len(data))
    view[:] = np.frombuffer(data, np.uint8)
    return view


def test_torch_shares_the_memory_and_does_not_warn() -> None:
    view = filled(np.arange(16, dtype=np.float32).tobytes())
    tensor = torch.frombuffer(view, dtype=torch.float32)
    assert tensor.data_ptr() == view.ctypes.data
    tensor[1] = 42
    assert view[4:8] == np.float32(42).tobytes()


def test_torch_takes_it_by_dlpack() -> None:
    view = filled(b"content")
    for take in (from_dlpack, torch.from_dlpack):
        tensor: torch.Tensor = take(view)
        assert tensor.dtype is torch.uint8
        assert tensor.data_ptr() == view.ctypes.data


@pytest.mark.parametrize("kind", EXPORTS)
def test_no_way_into_torch_copies(kind: str) -> None:
    view = lease(RARE)
    view[:] = 0
    exported = EXPORTS[kind](view)
    view[:] = 1
    assert int(np.asarray(exported).view(np.uint8).min()) == 1


@pytest.mark.parametrize("kind", EXPORTS)
def test_memory_comes_back_exactly_when_the_last_tensor_has_gone(kind: str) -> None:
    view = lease(RARE)
    where = view.ctypes.data
    exported = EXPORTS[kind](view)
    del view
    others = [lease(RARE), lease(RARE)]
    assert where not in [other.ctypes.data for other in others]
    del exported
    assert lease(RARE).ctypes.data == where


def test_an_object_is_read_into_the_memory_of_a_tensor(storage: Storage) -> None:
    uri = f"{storage.root}numbers"
    s3dlio.put(uri, np.arange(64, dtype=np.float32))
    tensor = torch.zeros(8, 8)
    assert s3dlio.get_into(uri, tensor.numpy()) == 256
    assert torch.equal(tensor.reshape(-1), torch.arange(64.0))


def test_the_memory_of_a_tensor_is_stored(storage: Storage) -> None:
    uri = f"{storage.root}numbers"
    s3dlio.put(uri, torch.arange(64.0).numpy())
    assert torch.equal(torch.frombuffer(s3dlio.get(uri), dtype=torch.float32), torch.arange(64.0))
