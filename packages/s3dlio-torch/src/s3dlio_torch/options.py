"""Options: what the constructors of a dataset have in common, each with its meaning in one place."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from operator import index as as_int
from typing import Any, TypedDict

from s3dlio.loading import Format, OnError, Plan, PyLoaderOptions, Shard, Uneven, prefetch_of
from s3dlio.loading.decoding import checked_format
from s3dlio_torch.samples import ReturnType, SampleForm, Transform


class MapOptions(TypedDict, total=False):
    """The options of `ObjectStoreMapDataset`."""

    transform: Transform | None
    return_type: ReturnType
    with_uri: bool
    decode: Format | None
    contiguous: bool
    on_error: OnError


class StreamOptions(TypedDict, total=False):
    """The options of `ObjectStoreIterableDataset`."""

    shuffle: bool
    seed: int
    transform: Transform | None
    num_workers: int | None
    prefetch: int | None
    batch_size: int | None
    drop_last: bool
    enable_sharding: bool
    uneven: Uneven
    in_order: bool
    on_error: OnError
    return_type: ReturnType
    with_uri: bool
    decode: Format | None
    options: PyLoaderOptions | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Mapped:
    """The options of a map dataset, with their defaults."""

    transform: Transform | None = None
    return_type: ReturnType = "tensor"
    with_uri: bool = False
    decode: Format | None = None
    contiguous: bool = False
    on_error: OnError = "raise"

    def __post_init__(self) -> None:
        """Refuse what cannot be done, before anything is listed."""
        checked_format(self.decode)
        Plan(on_error=self.on_error)
        if self.contiguous and not (self.form.is_plain and self.decode is None):
            raise ValueError(
                "contiguous=True is for samples that are nothing but their bytes:"
                " leave out transform, return_type, with_uri and decode"
            )

    @property
    def form(self) -> SampleForm:
        """The form of a sample."""
        return SampleForm(self.transform, self.return_type, self.with_uri)


@dataclass(frozen=True, slots=True, kw_only=True)
class Streamed:
    """The options of an iterable dataset, with their defaults."""

    shuffle: bool = False
    seed: int = 0
    transform: Transform | None = None
    num_workers: int | None = None
    prefetch: int | None = None
    batch_size: int | None = None
    drop_last: bool = False
    enable_sharding: bool = True
    uneven: Uneven = "keep"
    in_order: bool = True
    on_error: OnError = "raise"
    return_type: ReturnType = "tensor"
    with_uri: bool = False
    decode: Format | None = None
    options: PyLoaderOptions | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be done, before anything is listed."""
        checked_format(self.decode)
        _ = self.plan, self.form  # making them checks them
        if self.batch_size is not None and self.batch_size < 1:
            raise ValueError(f"batch_size={self.batch_size}: a batch has at least one sample")

    @property
    def plan(self) -> Plan:
        """How samples are streamed."""
        ahead = prefetch_of(self.prefetch, self.num_workers)
        return Plan(self.shuffle, as_int(self.seed), ahead, self.uneven, self.in_order, self.on_error)

    @property
    def form(self) -> SampleForm:
        """The form of a sample."""
        return SampleForm(self.transform, self.return_type, self.with_uri)

    @property
    def ranks(self) -> Shard | None:
        """The rank that the options name, if they do."""
        return None if self.options is None else self.options.shard

    def completed(self) -> Streamed:
        """Return these options with what `options` sets, where they are left at their defaults."""
        if self.options is None:
            return self
        given: dict[str, Any] = self.options.set_values()
        known = {each.name: each.default for each in fields(self)}
        return replace(
            self, **{key: value for key, value in given.items() if key in known and getattr(self, key) == known[key]}
        )
