"""Loader options: what a training script says once and gives to every dataset and loader."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from math import inf
from operator import index as as_int
from typing import Any, Literal, TypeAlias

from s3dlio.loading.shards import Shard

StartMethod: TypeAlias = Literal["fork", "spawn", "forkserver"]

_BATCH_SIZE = 32
_FOR_LOADING = {name: name for name in ("batch_size", "drop_last", "num_workers", "pin_memory")}
_FOR_WORKERS = {
    "timeout_seconds": "timeout",
    "multiprocessing_context": "multiprocessing_context",
    "persistent_workers": "persistent_workers",
}


@dataclass(frozen=True, slots=True)
class _Values:
    """What was set; None where it was not."""

    batch_size: int | None = None
    drop_last: bool | None = None
    shuffle: bool | None = None
    seed: int | None = None
    num_workers: int | None = None
    prefetch: int | None = None
    pin_memory: bool | None = None
    persistent_workers: bool | None = None
    timeout_seconds: float | None = None
    multiprocessing_context: StartMethod | None = None
    shard_rank: int | None = None
    shard_world_size: int | None = None


class PyLoaderOptions:
    """Options for datasets and loaders. Each builder returns new options; the values that were not set have defaults.

    A keyword argument of a dataset wins over its options.
    """

    __slots__ = ("_values",)

    def __init__(self) -> None:
        self._values = _Values()

    def _with(self, **values: Any) -> PyLoaderOptions:
        options = PyLoaderOptions()
        options._values = replace(self._values, **values)
        return options

    def with_batch_size(self, size: int) -> PyLoaderOptions:
        """Set how many samples a batch has."""
        return self._with(batch_size=_positive("batch_size", size))

    def drop_last(self, yes: bool) -> PyLoaderOptions:
        """Set whether a last, smaller batch is left out."""
        return self._with(drop_last=bool(yes))

    def shuffle(self, on: bool, seed: int | None = None) -> PyLoaderOptions:
        """Set whether each epoch has an order of its own, and the seed of that; None leaves the seed as it is."""
        return self._with(shuffle=bool(on), seed=self._values.seed if seed is None else as_int(seed))

    def with_generator_seed(self, seed: int) -> PyLoaderOptions:
        """Set the seed alone."""
        return self._with(seed=as_int(seed))

    def num_workers(self, n: int) -> PyLoaderOptions:
        """Set how many worker processes a `DataLoader` shall have; reading needs none."""
        if n < 0:
            raise ValueError(f"num_workers={n}: there are 0 or more workers")
        return self._with(num_workers=as_int(n))

    def prefetch(self, n: int) -> PyLoaderOptions:
        """Set how many samples are fetched or waiting at a time."""
        return self._with(prefetch=_positive("prefetch", n))

    def pin_memory(self, pin: bool) -> PyLoaderOptions:
        """Set whether a `DataLoader` copies batches to pinned memory."""
        return self._with(pin_memory=bool(pin))

    def persistent_workers(self, persistent: bool) -> PyLoaderOptions:
        """Set whether the workers of a `DataLoader` live through all epochs."""
        return self._with(persistent_workers=bool(persistent))

    def with_timeout(self, seconds: float) -> PyLoaderOptions:
        """Set how long a `DataLoader` waits for a batch of its workers, in seconds; 0 is for ever."""
        if not 0 <= seconds < inf:
            raise ValueError(f"timeout {seconds}: seconds, or 0 to wait for as long as it takes")
        return self._with(timeout_seconds=float(seconds))

    def distributed_sampling(self, rank: int, world_size: int) -> PyLoaderOptions:
        """Set which rank of how many this process is, where no process group tells."""
        shard = Shard(as_int(rank), as_int(world_size))
        return self._with(shard_rank=shard.rank, shard_world_size=shard.world)

    def use_fork(self) -> PyLoaderOptions:
        """Fork the workers of a `DataLoader`."""
        return self._with(multiprocessing_context="fork")

    def use_spawn(self) -> PyLoaderOptions:
        """Spawn the workers of a `DataLoader`."""
        return self._with(multiprocessing_context="spawn")

    def use_forkserver(self) -> PyLoaderOptions:
        """Start the workers of a `DataLoader` from a fork server."""
        return self._with(multiprocessing_context="forkserver")

    @property
    def batch_size(self) -> int:
        """Samples in a batch."""
        return self._values.batch_size or _BATCH_SIZE

    @property
    def drop_last_value(self) -> bool:
        """Whether a last, smaller batch is left out."""
        return bool(self._values.drop_last)

    @property
    def shuffle_value(self) -> bool:
        """Whether each epoch has an order of its own."""
        return bool(self._values.shuffle)

    @property
    def seed(self) -> int:
        """The seed of the order."""
        return self._values.seed or 0

    @property
    def num_workers_value(self) -> int:
        """Worker processes of a `DataLoader`."""
        return self._values.num_workers or 0

    @property
    def prefetch_value(self) -> int | None:
        """Samples that are fetched or waiting at a time; None leaves it to the dataset."""
        return self._values.prefetch

    @property
    def shard(self) -> Shard | None:
        """The rank that was set, or None."""
        values = self._values
        if values.shard_rank is None or values.shard_world_size is None:
            return None
        return Shard(values.shard_rank, values.shard_world_size)

    def set_values(self) -> dict[str, Any]:
        """Return the values that were set, by the names of the keyword arguments that mean the same."""
        return {name: value for name, value in asdict(self._values).items() if value is not None}

    def to_dict(self) -> dict[str, Any]:
        """Return all values by their names."""
        known = {"batch_size": self.batch_size, "drop_last": self.drop_last_value, "shuffle": self.shuffle_value}
        return {**asdict(self._values), **known, "seed": self.seed, "num_workers": self.num_workers_value}

    def for_dataloader(self) -> dict[str, Any]:
        """Return the keyword arguments of `torch.utils.data.DataLoader` that these options set, but for shuffling.

        What is said of workers is left out where there are none: a `DataLoader` refuses it then.
        """
        values = self.set_values()
        wanted = _FOR_LOADING | (_FOR_WORKERS if self.num_workers_value else {})
        return {name: values[here] for here, name in wanted.items() if here in values}

    def __repr__(self) -> str:
        """Show what was set."""
        return f"PyLoaderOptions({', '.join(f'{name}={value!r}' for name, value in self.set_values().items())})"

    def __eq__(self, other: object) -> bool:
        """Compare the values that were set."""
        return isinstance(other, PyLoaderOptions) and self._values == other._values

    def __hash__(self) -> int:
        """Return the hash of the values."""
        return hash(self._values)


def _positive(name: str, value: int) -> int:
    if value < 1:
        raise ValueError(f"{name}={value}: 1 or more")
    return as_int(value)
