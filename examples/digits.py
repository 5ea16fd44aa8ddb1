"""Handwritten digits as objects: a few images and their labels in each `.npz`."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any, cast

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import Tensor

import s3dlio

IMAGES_AN_OBJECT = 16
TEST_IMAGES = 368

Batch = tuple[Tensor, Tensor]


def upload(root: str, seed: int) -> int:
    """Store the images below train/ and test/ of `root`, mixed by `seed`; returns the number of objects."""
    images, labels = load_digits(return_X_y=True)
    mixed = np.random.default_rng(seed).permutation(len(labels))
    images, labels = images[mixed].astype(np.float32) / 16, labels[mixed]
    starts = range(0, len(labels), IMAGES_AN_OBJECT)

    def objects() -> Iterator[tuple[str, bytes]]:
        for first in starts:
            some = slice(first, first + IMAGES_AN_OBJECT)
            part = "test" if first < TEST_IMAGES else "train"
            yield f"{root}/{part}/{first:04}.npz", npz({"images": images[some], "labels": labels[some]})

    s3dlio.put_many(objects())
    return len(starts)


def npz(arrays: dict[str, np.ndarray]) -> bytes:
    """Return the bytes of an .npz file."""
    file = io.BytesIO()
    np.savez(file, **cast("dict[str, Any]", arrays))
    return file.getvalue()


def decode(data: s3dlio.BytesView) -> Batch:
    """Turn an object into images and labels."""
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        return torch.from_numpy(arrays["images"]), torch.from_numpy(arrays["labels"])


def join(objects: list[Batch]) -> Batch:
    """Make one batch of the images of several objects."""
    images, labels = zip(*objects, strict=True)
    return torch.cat(images), torch.cat(labels)
