"""Loader options: said once, changed by nobody, understood by every loader."""

import copy
import pickle
import warnings
from collections.abc import Callable
from dataclasses import FrozenInstanceError
from importlib import import_module
from typing import Any

import numpy as np
import pytest

from s3dlio.loading import PyLoaderOptions, Shard

Build = Callable[[PyLoaderOptions], PyLoaderOptions]

BUILDERS: dict[str, tuple[Build, dict[str, Any]]] = {
    "with_batch_size": (lambda options: options.with_batch_size(8), {"batch_size": 8}),
    "drop_last": (lambda options: options.drop_last(True), {"drop_last": True}),
    "shuffle": (lambda options: options.shuffle(True, 7), {"shuffle": True, "seed": 7}),
    "shuffle alone": (lambda options: options.shuffle(on=True), {"shuffle": True}),
    "with_generator_seed": (lambda options: options.with_generator_seed(9), {"seed": 9}),
    "num_workers": (lambda options: options.num_workers(2), {"num_workers": 2}),
    "prefetch": (lambda options: options.prefetch(16), {"prefetch": 16}),
    "pin_memory": (lambda options: options.pin_memory(False), {"pin_memory": False}),
    "persistent_workers": (lambda options: options.persistent_workers(True), {"persistent_workers": True}),
    "with_timeout": (lambda options: options.with_timeout(2), {"timeout_seconds": 2.0}),
    "distributed_sampling": (
        lambda options: options.distributed_sampling(1, 4),
        {"shard_rank": 1, "shard_world_size": 4},
    ),
    "use_fork": (lambda options: options.use_fork(), {"multiprocessing_context": "fork"}),
    "use_spawn": (lambda options: options.use_spawn(), {"multiprocessing_context": "spawn"}),
    "use_forkserver": (lambda options: options.use_forkserver(), {"multiprocessing_context": "forkserver"}),
}

each_builder = pytest.mark.parametrize(("build", "values"), BUILDERS.values(), ids=BUILDERS)


def everything() -> PyLoaderOptions:
    options = PyLoaderOptions()
    for build, _ in BUILDERS.values():
        options = build(options)
    return options


class TestABuilder:
    @each_builder
    def test_returns_new_options_with_its_values_and_leaves_the_old_alone(
        self, build: Build, values: dict[str, Any]
    ) -> None:
        old = PyLoaderOptions()
        new = build(old)
        assert new.set_values() == values
        assert old.set_values() == {}
        assert old == PyLoaderOptions() != new

    @each_builder
    def test_keeps_what_was_set_before(self, build: Build, values: dict[str, Any]) -> None:
        before = everything()
        assert build(before).set_values() == {**before.set_values(), **values}

    def test_says_the_last_word(self) -> None:
        options = PyLoaderOptions().with_batch_size(8).use_fork().with_batch_size(4).use_spawn()
        assert options.set_values() == {"batch_size": 4, "multiprocessing_context": "spawn"}

    @pytest.mark.parametrize("on", [True, False])
    def test_of_shuffling_leaves_a_seed_alone_that_was_given_before(self, on: bool) -> None:
        assert PyLoaderOptions().with_generator_seed(7).shuffle(on).seed == 7
        assert PyLoaderOptions().with_generator_seed(7).shuffle(on, seed=0).seed == 0

    def test_takes_numbers_of_numpy(self) -> None:
        options = PyLoaderOptions().with_batch_size(np.int64(8)).distributed_sampling(np.int32(1), np.int32(2))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        assert [type(value) for value in options.set_values().values()] == [int, int, int]

    @pytest.mark.parametrize(
        ("build", "match"),
        [
            (lambda options: options.with_batch_size(0), "batch_size=0: 1 or more"),
            (lambda options: options.with_batch_size(-1), "batch_size=-1: 1 or more"),
            (lambda options: options.prefetch(0), "prefetch=0: 1 or more"),
            (lambda options: options.num_workers(-1), "num_workers=-1: there are 0 or more"),
            (lambda options: options.with_timeout(-0.5), "timeout -0.5: seconds"),
            (lambda options: options.with_timeout(float("nan")), "timeout nan: seconds"),
            (lambda options: options.with_timeout(float("inf")), "timeout inf: seconds"),
            (lambda options: options.distributed_sampling(4, 4), "rank 4 is not one of 4"),
            (lambda options: options.distributed_sampling(-1, 4), "rank -1 is not one of 4"),
            (lambda options: options.distributed_sampling(0, 0), "rank 0 is not one of 0"),
        ],
    )
    def test_refuses_what_cannot_be(self, build: Build, match: str) -> None:
        with pytest.raises(ValueError, match=match):
            build(PyLoaderOptions())

    @pytest.mark.parametrize("value", [2.5, "2", None])
    @pytest.mark.parametrize("name", ["with_batch_size", "prefetch", "num_workers", "with_generator_seed"])
    def test_refuses_what_is_no_whole_number(self, name: str, value: Any) -> None:
        with pytest.raises(TypeError):
            getattr(PyLoaderOptions(), name)(value)


class TestOptions:
    def test_have_values_where_none_were_set(self) -> None:
        options = PyLoaderOptions()
        assert (options.batch_size, options.drop_last_value, options.shuffle_value, options.seed) == (
            32,
            False,
            False,
            0,
        )
        assert (options.num_workers_value, options.prefetch_value, options.shard) == (0, None, None)

    def test_have_the_values_that_were_set(self) -> None:
        options = everything()
        assert (options.batch_size, options.drop_last_value, options.shuffle_value, options.seed) == (8, True, True, 9)
        assert (options.num_workers_value, options.prefetch_value, options.shard) == (2, 16, Shard(1, 4))

    def test_are_a_dict_of_all_values(self) -> None:
        assert PyLoaderOptions().to_dict() == {
            "batch_size": 32,
            "drop_last": False,
            "shuffle": False,
            "seed": 0,
            "num_workers": 0,
            "prefetch": None,
            "pin_memory": None,
            "persistent_workers": None,
            "timeout_seconds": None,
            "multiprocessing_context": None,
            "shard_rank": None,
            "shard_world_size": None,
        }
        assert everything().to_dict() == everything().set_values()

    def test_show_what_was_set(self) -> None:
        assert repr(PyLoaderOptions()) == "PyLoaderOptions()"
        options = PyLoaderOptions().use_spawn().with_batch_size(8)
        assert repr(options) == "PyLoaderOptions(batch_size=8, multiprocessing_context='spawn')"

    def test_are_equal_when_the_same_was_set(self) -> None:
        one, two = PyLoaderOptions().with_batch_size(8).drop_last(True), PyLoaderOptions().drop_last(True)
        assert one == two.with_batch_size(8)
        assert hash(one) == hash(two.with_batch_size(8))
        assert one != two
        assert one != one.set_values()
        assert PyLoaderOptions().with_batch_size(32) != PyLoaderOptions()

    @pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
    def test_pickle(self, protocol: int) -> None:
        options = everything()
        assert pickle.loads(pickle.dumps(options, protocol)) == options
        assert copy.deepcopy(options) == options

    def test_have_nothing_that_can_be_set_from_outside(self) -> None:
        options: Any = PyLoaderOptions()
        with pytest.raises(AttributeError):
            options.batch_size = 8
        with pytest.raises(AttributeError):
            options.batchsize = 8
        with pytest.raises(FrozenInstanceError):
            options._values.batch_size = 8


class TestForADataLoader:
    def test_are_only_what_was_set(self) -> None:
        assert PyLoaderOptions().for_dataloader() == {}
        assert PyLoaderOptions().with_batch_size(8).shuffle(True).prefetch(4).for_dataloader() == {"batch_size": 8}

    def test_are_its_own_names(self) -> None:
        assert everything().for_dataloader() == {
            "batch_size": 8,
            "drop_last": True,
            "num_workers": 2,
            "pin_memory": False,
            "timeout": 2.0,
            "multiprocessing_context": "forkserver",
            "persistent_workers": True,
        }

    @each_builder
    @pytest.mark.parametrize("workers", [None, 0, 1])
    def test_are_arguments_that_it_accepts(self, build: Build, values: dict[str, Any], workers: int | None) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of torch, at its import
            data = import_module("torch.utils.data")
        options = PyLoaderOptions() if workers is None else PyLoaderOptions().num_workers(workers)
        loader = data.DataLoader(range(100), **build(options).for_dataloader())
        assert loader.batch_size == values.get("batch_size", 1)

    def test_say_nothing_of_workers_where_there_are_none(self) -> None:
        """A `DataLoader` would refuse the first epoch."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            data = import_module("torch.utils.data")
        options = everything().num_workers(0)
        assert options.for_dataloader().keys() == {"batch_size", "drop_last", "num_workers", "pin_memory"}
        batches = list(data.DataLoader(range(20), **options.for_dataloader()))
        assert [batch.tolist() for batch in batches] == [[*range(8)], [*range(8, 16)]]
