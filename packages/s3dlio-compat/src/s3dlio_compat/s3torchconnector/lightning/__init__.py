"""Checkpoints of Lightning on object storage."""

from __future__ import annotations

from typing import Any

import lightning
import torch
from lightning.pytorch.plugins.io import CheckpointIO

from s3dlio_compat.s3torchconnector.client import S3Client
from s3dlio_compat.s3torchconnector.config import S3ClientConfig
from s3dlio_compat.s3torchconnector.uris import parse_s3_uri
from s3dlio_compat.s3torchconnector.user_agent import UserAgent

_ASKS_TORCH = (2, 6)  # from this version of Lightning on, torch decides what None means for `weights_only`


class S3LightningCheckpoint(CheckpointIO):
    """A plugin of the Trainer, also inside `AsyncCheckpointIO`: each checkpoint is one object."""

    def __init__(self, region: str, s3client_config: S3ClientConfig | None = None, endpoint: str | None = None) -> None:
        self.region = region
        agent = UserAgent(["lightning", lightning.__version__])
        self._client = S3Client(region, endpoint=endpoint, user_agent=agent, s3client_config=s3client_config)

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str, storage_options: Any | None = None) -> None:
        """Store a checkpoint; `storage_options` has no effect."""
        with self._client.put_object(*_place(path)) as writer:
            torch.save(checkpoint, writer)

    def load_checkpoint(
        self, path: str, map_location: Any | None = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Load a checkpoint as `torch.load` does.

        Raises:
            S3Exception: there is none.
        """
        if weights_only is None and _version() < _ASKS_TORCH:
            weights_only = False
        reader: Any = self._client.get_object(*_place(path))
        loaded: dict[str, Any] = torch.load(reader, map_location, weights_only=weights_only)
        return loaded

    def remove_checkpoint(self, path: str) -> None:
        """Remove a checkpoint; one that is not there is removed already."""
        self._client.delete_object(*_place(path))

    def teardown(self) -> None:
        """Do nothing: there is nothing to put away."""


def _place(path: str) -> tuple[str, str]:
    if not isinstance(path, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(
            f"{type(path).__name__!r} is not a supported type for 'path'. Must be a string formatted as an S3 uri."
        )
    return parse_s3_uri(path)


def _version() -> tuple[int, ...]:
    return tuple(int(each) for each in lightning.__version__.split(".")[:2])


__all__ = ["S3LightningCheckpoint"]
