"""Samples: what becomes of an object's bytes before a training loop sees them.

A failing transform says which object it failed on; the error itself stays what the transform raised.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

from s3dlio.buffer import BytesView
from s3dlio_torch.tensors import as_tensor

ReturnType: TypeAlias = Literal["tensor", "bytes"]
Transform: TypeAlias = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class SampleForm:
    """The form of a sample: a tensor or the bytes as received, transformed, alone or as `(uri, data)`."""

    transform: Transform | None = None
    return_type: ReturnType = "tensor"
    with_uri: bool = False

    def __post_init__(self) -> None:
        """Refuse a form that no sample has."""
        if self.return_type not in get_args(ReturnType):
            raise ValueError(f"return_type={self.return_type!r}: use 'tensor' or 'bytes'")
        if self.transform is not None and not callable(self.transform):
            raise TypeError(f"transform must be callable, not {type(self.transform).__name__}")

    def of(self, uri: str, data: BytesView) -> Any:
        """Make the sample of one object."""
        content: Any = as_tensor(data) if self.return_type == "tensor" else data
        if self.transform is not None:
            content = self._transformed(self.transform, uri, content)
        return (uri, content) if self.with_uri else content

    def _transformed(self, transform: Transform, uri: str, content: Any) -> Any:
        try:
            return transform(content)
        except Exception as problem:
            problem.add_note(f"The transform failed on {uri}")
            raise
