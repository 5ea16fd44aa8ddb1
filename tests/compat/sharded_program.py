"""Save a model that two ranks share, or load it in one process: `sharded_program.py PACKAGE URI`."""

import os
import sys
from importlib import import_module

import torch
import torch.distributed
from torch import nn
from torch.distributed.checkpoint import state_dict_loader, state_dict_saver
from torch.distributed.checkpoint.state_dict import get_model_state_dict, set_model_state_dict
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard


def model() -> nn.Module:
    """Return the model with its first weights."""
    torch.manual_seed(5)
    return nn.Sequential(nn.Linear(64, 33), nn.ReLU(), nn.Linear(33, 10))


def main() -> None:
    """Save with two ranks, load with one."""
    package, where = sys.argv[1:]
    storage = import_module(f"{package}.dcp")
    if "RANK" in os.environ:
        torch.distributed.init_process_group("gloo")
        shared = model()
        fully_shard(shared, mesh=init_device_mesh("cpu", (2,)))
        state_dict_saver.save(
            {"model": get_model_state_dict(shared)}, storage_writer=storage.S3StorageWriter("us-east-1", where)
        )
        torch.distributed.destroy_process_group()
        return
    alone = model()
    nn.init.zeros_(alone[0].weight)  # type: ignore[arg-type]
    state = {"model": get_model_state_dict(alone)}
    state_dict_loader.load(state, storage_reader=storage.S3StorageReader("us-east-1", where))
    set_model_state_dict(alone, state["model"])
    pairs = zip(alone.parameters(), model().parameters(), strict=True)
    sys.stdout.write("equal" if all(torch.equal(mine, first) for mine, first in pairs) else "different")


main()
