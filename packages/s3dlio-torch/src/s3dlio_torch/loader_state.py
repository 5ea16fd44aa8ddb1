"""The states inside of the state of a `StatefulDataLoader`, which keeps one for each of its worker processes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, cast

_OF_ITERATORS = ("dataset_iter_state", "sampler_iter_state")
_STEPS_SINCE = "_steps_since_snapshot"


def of_consumers(state: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the states of a loader's iterators, or the state itself if it is one of a dataset.

    Raises:
        ValueError: the loader went on since it asked its workers for their states.
    """
    if "position" in state or not any(key.startswith("_") for key in state):
        return [state]
    if state.get(_STEPS_SINCE):
        raise ValueError(
            f"the loader handed out {state[_STEPS_SINCE]} batches since its last snapshot, so its state is not exact"
            " for another number of workers: make it with snapshot_every_n_steps=1"
        )
    found = [*_iterators(state)]
    if not found:
        raise ValueError("there is no state of this dataset in that of the loader: was it made for another dataset?")
    return found


def _iterators(state: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for key, value in state.items():
        if key in _OF_ITERATORS and isinstance(value, Mapping) and "position" in value:
            yield cast("Mapping[str, Any]", value)
        elif isinstance(value, Mapping):
            yield from _iterators(cast("Mapping[str, Any]", value))
