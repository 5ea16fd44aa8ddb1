"""How long a training loop waits for its data."""

from __future__ import annotations

from collections.abc import Iterator
from time import perf_counter

from digits import Batch
from torch.utils.data import DataLoader


class Timer:
    """Counts batches and samples, and the seconds that a loop waits for them."""

    def __init__(self) -> None:
        self.began = perf_counter()
        self.waited, self.batches, self.samples = 0.0, 0, 0

    def waiting_for(self, loader: DataLoader[Batch]) -> Iterator[Batch]:
        """Yield the batches of a loader."""
        batches = iter(loader)
        while True:
            asked = perf_counter()
            batch = next(batches, None)
            self.waited += perf_counter() - asked
            if batch is None:
                return
            self.batches, self.samples = self.batches + 1, self.samples + len(batch[1])
            yield batch

    def summary(self) -> str:
        """Say how fast it went."""
        seconds = perf_counter() - self.began
        waiting = self.waited / seconds
        return f"{self.samples / seconds:.0f} samples/s, {waiting:.0%} of the time spent waiting for data"
