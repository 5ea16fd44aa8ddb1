"""Ranks: who this process is among the consumers of an epoch.

The ranks are those of `torch.distributed`, the workers those of the `DataLoader`. A spawned worker has no
process group, so whoever pickles a dataset packs the ranks along.
"""

from __future__ import annotations

from dataclasses import replace

import torch.distributed
from torch.utils.data import get_worker_info

from s3dlio.loading import Shard


def of_process() -> Shard | None:
    """Return this process' rank as a shard of one worker, or None where no process group is initialised."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return None
    return Shard(rank=torch.distributed.get_rank(), world=torch.distributed.get_world_size())


def of_consumer(packed: Shard) -> Shard:
    """Return the shard of the calling process or worker; `packed` serves where there is no group."""
    ranks = of_process() or packed
    worker = get_worker_info()
    if worker is None:
        return ranks
    return replace(ranks, worker=worker.id, workers=worker.num_workers)
