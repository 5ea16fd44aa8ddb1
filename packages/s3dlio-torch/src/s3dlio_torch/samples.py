"""Samples: what becomes of an object's bytes before a training loop sees them.

A failing transform says which object it failed on; the error itself stays what the transform raised.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, cast, get_args

import torch
from torch.utils.data import default_collate  # pyright: ignore[reportUnknownVariableType]

from s3dlio.loading import Rows
from s3dlio_torch.tensors import rows_as_tensor, tree_as_tensors

ReturnType: TypeAlias = Literal["tensor", "bytes"]
Transform: TypeAlias = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class SampleForm:
    """The form of a sample: a tensor, or bytes as received; transformed, alone or as `(uri, data)`.

    Tensors stand in the place of the arrays and bytes of what was decoded too; with `return_type="bytes"` it stays as
    it is.
    """

    transform: Transform | None = None
    return_type: ReturnType = "tensor"
    with_uri: bool = False

    def __post_init__(self) -> None:
        """Refuse a form that no sample has."""
        if self.return_type not in get_args(ReturnType):
            raise ValueError(f"return_type={self.return_type!r}: use 'tensor' or 'bytes'")
        if self.transform is not None and not callable(self.transform):
            raise TypeError(f"transform must be callable, not {type(self.transform).__name__}")

    @property
    def is_plain(self) -> bool:
        """True when a sample is nothing but a tensor over its bytes."""
        return self == SampleForm()

    def of(self, uri: str, data: Any) -> Any:
        """Make the sample of what an object, or a record in it, holds."""
        content = tree_as_tensors(data) if self.return_type == "tensor" else data
        if self.transform is not None:
            content = self._transformed(self.transform, uri, content)
        return (uri, content) if self.with_uri else content

    def _transformed(self, transform: Transform, uri: str, content: Any) -> Any:
        try:
            return transform(content)
        except Exception as problem:
            problem.add_note(f"The transform failed on {uri}")
            raise


class Samples(list[Any]):
    """The samples of a batch, and the one tensor of shape (samples, bytes) whose rows they are, if they are."""

    whole: torch.Tensor | None

    def __init__(self, samples: list[Any], rows: Rows | None = None) -> None:
        super().__init__(samples)
        self.whole = None if rows is None else rows_as_tensor(rows)


def collate(samples: Any) -> Any:
    """Make a batch of samples, for a `DataLoader`: as PyTorch does, but without a copy where they lie in one tensor.

    What cannot be stacked, such as tensors of unequal shapes, is a list; so are the members of dicts and tuples.
    """
    if isinstance(samples, Samples) and samples.whole is not None:
        return samples.whole
    first = samples[0]
    if isinstance(first, Mapping):
        return {key: collate([sample[key] for sample in samples]) for key in cast("Mapping[str, Any]", first)}
    if isinstance(first, tuple):
        return tuple(collate(list(column)) for column in zip(*samples, strict=True))
    shapes = {tuple(sample.shape) for sample in samples if isinstance(sample, torch.Tensor)}
    if len(shapes) > 1:
        return list(samples)
    try:
        return default_collate(samples)
    except TypeError:  # of a type that PyTorch cannot collate
        return list(samples)
