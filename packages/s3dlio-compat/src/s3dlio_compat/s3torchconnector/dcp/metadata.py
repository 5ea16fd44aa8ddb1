"""The metadata of a distributed checkpoint, which PyTorch pickles: read without running what a pickle may name."""

from __future__ import annotations

import io
import pickle
from typing import Any

import torch

_WHOLE_MODULES = {"torch.distributed.checkpoint.metadata"}
_NAMES = {
    ("torch.distributed.checkpoint.filesystem", "_StorageInfo"),
    ("torch.distributed.checkpoint.filesystem", "_StoragePrefix"),
    ("torch.distributed.checkpoint._extension", "ZStandard"),
    ("torch.serialization", "_get_layout"),
    ("torch", "Size"),
    ("torch", "device"),
    ("collections", "OrderedDict"),
    ("builtins", "set"),
    ("builtins", "frozenset"),
    ("builtins", "slice"),
    ("pathlib", "PosixPath"),  # where PyTorch's own writer has put the files
    ("pathlib", "PurePosixPath"),
}


class _Reader(pickle.Unpickler):
    """Knows the classes of metadata and no others."""

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        """Return a class or a function that metadata may name.

        Raises:
            UnpicklingError: any other.
        """
        known = module_name in _WHOLE_MODULES and "." not in global_name
        if known or (module_name, global_name) in _NAMES or _is_plain(module_name, global_name):
            return super().find_class(module_name, global_name)
        raise pickle.UnpicklingError(
            f"the metadata of this checkpoint names {module_name}.{global_name}, which metadata does not: "
            "it was damaged, or made to run code"
        )


def _is_plain(module: str, name: str) -> bool:
    """Tell whether a name is of a dtype, a layout or a memory format of torch."""
    plain = (torch.dtype, torch.layout, torch.memory_format)
    return module == "torch" and isinstance(getattr(torch, name, None), plain)


def read_metadata(stream: io.IOBase) -> Any:
    """Return the metadata in a stream.

    Raises:
        UnpicklingError: it holds something else.
    """
    return _Reader(stream).load()  # type: ignore[arg-type]
