"""Ranks that torchrun starts: together they read the dataset, each sample once, and resume in other numbers."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import s3dlio
import s3dlio_torch
from tests.torch.storage import COUNT, Storage

SOURCES = [Path(package.__path__[0]).parent for package in (s3dlio, s3dlio_torch)]
ALL = Counter(range(COUNT))

pytestmark = pytest.mark.slow

RANK = """
import json, sys
import torch.distributed
from torch.utils.data import DataLoader
from torchdata.stateful_dataloader import StatefulDataLoader
from s3dlio_torch import ObjectStoreIterableDataset

root, out, given = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
torch.distributed.init_process_group("gloo")
rank = torch.distributed.get_rank()
dataset = ObjectStoreIterableDataset(root, "*.bin", shuffle=True, seed=5, uneven=given["uneven"])
if given["state"]:
    dataset.load_state_dict(given["state"])
loader = StatefulDataLoader(dataset, batch_size=2, num_workers=given["workers"])
epochs, state = [], None
for epoch in range(given["epochs"]):
    dataset.set_epoch(epoch)
    taken = []
    for step, batch in enumerate(loader, 1):
        torch.distributed.barrier()  # ranks in step, as gradients keep them
        taken += batch[:, 0].tolist()
        if step == given["stop"]:
            state = loader.state_dict()
            break
    epochs.append(taken)
    if state:
        break
torch.distributed.barrier()
json.dump({"epochs": epochs, "state": state}, open(f"{out}/{rank}.json", "w"))
torch.distributed.destroy_process_group()
"""


def ranks(storage: Storage, folder: Path, world: int, **given: Any) -> list[dict[str, Any]]:
    """Run as many ranks and return what each of them took."""
    folder.mkdir()
    script = folder / "rank.py"
    script.write_text(RANK)
    options = {"workers": 0, "uneven": "keep", "state": None, "stop": 0, "epochs": 1} | given
    run = [sys.executable, "-W", "ignore", "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={world}"]
    env = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, SOURCES)), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*run, str(script), storage.root, str(folder), json.dumps(options)],
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(world)]


def union(taken: list[dict[str, Any]], epoch: int = 0) -> "Counter[int]":
    return Counter(number for each in taken for number in each["epochs"][epoch])


@pytest.mark.parametrize("world", [2, 4])
@pytest.mark.parametrize("workers", [0, 2])
def test_the_union_over_all_ranks_is_the_dataset_in_every_epoch(
    folder: Storage, tmp_path: Path, world: int, workers: int
) -> None:
    taken = ranks(folder, tmp_path / "run", world, workers=workers, epochs=2, uneven="drop")
    for epoch in range(2):
        found = union(taken, epoch)
        assert max(found.values()) == 1
        assert found.total() == COUNT - COUNT % world
        assert len({len(each["epochs"][epoch]) for each in taken}) == 1
    assert taken[0]["epochs"][0] != taken[0]["epochs"][1]


def test_ranks_on_object_storage_read_each_sample_once(moto_s3: Any, tmp_path: Path) -> None:
    storage = Storage(moto_s3.uri("ranks/")).fill()
    found = union(ranks(storage, tmp_path / "run", 2, uneven="wrap"))
    assert set(found) == set(ALL)
    assert (found - ALL).total() == COUNT % 2  # the first sample of the epoch, once more


@pytest.mark.parametrize(("world", "workers", "then", "then_workers"), [(2, 2, 4, 0), (4, 0, 2, 2)])
def test_an_epoch_goes_on_under_other_numbers_of_ranks_and_workers(
    folder: Storage, tmp_path: Path, world: int, workers: int, then: int, then_workers: int
) -> None:
    before = ranks(folder, tmp_path / "before", world, workers=workers, uneven="drop", stop=2)
    state = before[0]["state"]
    after = ranks(folder, tmp_path / "after", then, workers=then_workers, state=state)
    assert union(before) + union(after) == ALL
