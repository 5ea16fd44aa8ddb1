"""What a dataset shares with the worker processes that read for it: the epoch, and the tally of what was loaded."""

from __future__ import annotations

import torch
from torch.utils.data import get_worker_info

from s3dlio.loading import LoadStats, Tally
from s3dlio.loading.tally import FIELDS, LINES, line_of, lines, summed


class Shared:
    """An epoch and a tally in shared memory, which reach workers that are already running."""

    def __init__(self) -> None:
        self._memory = torch.zeros(1 + LINES * FIELDS, dtype=torch.int64)
        self._memory.share_memory_()  # type: ignore[no-untyped-call]  # torch leaves it untyped

    @property
    def epoch(self) -> int:
        """The epoch of the iterations to come."""
        return int(self._memory[0].item())

    @epoch.setter
    def epoch(self, epoch: int) -> None:
        if epoch < 0:
            raise ValueError(f"epoch {epoch}: epochs count from 0")
        self._memory[0] = epoch

    def tally(self) -> Tally:
        """Return the tally of this process."""
        worker = get_worker_info()
        return Tally(line_of(lines(self._memory[1:].numpy()), None if worker is None else worker.id))

    def stats(self) -> LoadStats:
        """Return what all processes have loaded so far."""
        return summed(lines(self._memory[1:].numpy()))
