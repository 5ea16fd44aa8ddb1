"""How the files of a distributed checkpoint are named: prefixes that spread the load over a bucket's partitions."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch.distributed


class S3PrefixStrategyBase(ABC):
    """Names what a rank writes. A strategy of one's own implements `generate_prefix`."""

    def __call__(self, rank: int) -> str:
        """Return the prefix of a rank."""
        return self.generate_prefix(rank)

    @abstractmethod
    def generate_prefix(self, rank: int) -> str:
        """Return how the names of a rank's files begin, below the path of the checkpoint."""


class DefaultPrefixStrategy(S3PrefixStrategyBase):
    """The rank alone."""

    def generate_prefix(self, rank: int) -> str:
        """Return `__{rank}_`."""
        return f"__{rank}_"


class NumericPrefixStrategy(S3PrefixStrategyBase):
    """A number for each rank, its lowest digit first, so that neighbours differ in the first character.

    `prefix_count` is how many numbers there are, by default as many as ranks. Numbers have `min_prefix_length` digits
    or more. `epoch_num` becomes a folder below the number.

    Raises:
        ValueError: a length or a count below 1, or an epoch that is no integer.
    """

    def __init__(
        self,
        base: int,
        epoch_num: int | None = None,
        min_prefix_length: int = 10,
        prefix_count: int | None = None,
    ) -> None:
        if min_prefix_length < 1:
            raise ValueError(f"Minimum prefix length must be positive, got {min_prefix_length}")
        if epoch_num is not None and not isinstance(epoch_num, int):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ValueError(f"Epoch number must be None or an integer, got {epoch_num}")
        if prefix_count is not None and (not isinstance(prefix_count, int) or prefix_count < 1):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ValueError(f"Prefix count must be a positive integer, got {prefix_count}")
        self.base = base
        self.epoch_num = epoch_num
        self.min_prefix_len = min_prefix_length
        self.prefix_count = _ranks() if prefix_count is None else prefix_count
        self.prefix_map = [self._number(each) for each in range(self.prefix_count)]

    def generate_prefix(self, rank: int) -> str:
        """Return the number of a rank, the epoch if there is one, and the rank."""
        return _named(self.prefix_map[rank % len(self.prefix_map)], self.epoch_num, rank)

    def _number(self, number: int) -> str:
        length = 1
        while self.base**length < self.prefix_count:
            length += 1
        return self._format_number(number, max(length, self.min_prefix_len))[::-1]

    @abstractmethod
    def _format_number(self, number: int, length: int) -> str:
        """Write a number with that many digits."""


class BinaryPrefixStrategy(NumericPrefixStrategy):
    """Numbers of zeros and ones."""

    def __init__(
        self, epoch_num: int | None = None, min_prefix_length: int = 10, prefix_count: int | None = None
    ) -> None:
        super().__init__(2, epoch_num, min_prefix_length, prefix_count)

    def _format_number(self, number: int, length: int) -> str:
        return format(number, f"0{length}b")


class HexPrefixStrategy(NumericPrefixStrategy):
    """Hexadecimal numbers."""

    def __init__(
        self, epoch_num: int | None = None, min_prefix_length: int = 10, prefix_count: int | None = None
    ) -> None:
        super().__init__(16, epoch_num, min_prefix_length, prefix_count)

    def _format_number(self, number: int, length: int) -> str:
        return format(number, f"0{length}x")


class RoundRobinPrefixStrategy(S3PrefixStrategyBase):
    """Given prefixes, taken in turn.

    Raises:
        ValueError: there are none.
    """

    def __init__(self, user_prefixes: list[str], epoch_num: int | None = None) -> None:
        if not user_prefixes:
            raise ValueError("user_prefixes must not be empty")
        self.user_prefixes = user_prefixes
        self.epoch_num = epoch_num

    def generate_prefix(self, rank: int) -> str:
        """Return the prefix whose turn it is, the epoch if there is one, and the rank."""
        return _named(self.user_prefixes[rank % len(self.user_prefixes)], self.epoch_num, rank)


def _named(prefix: str, epoch: int | None, rank: int) -> str:
    below = "" if epoch is None else f"epoch_{epoch}/"
    return f"{prefix}/{below}__{rank}_"


def _ranks() -> int:
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_world_size()
    return 1
