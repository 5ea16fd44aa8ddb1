"""Train on handwritten digits in object storage, be killed in the middle of an epoch, and resume from there.

    python examples/train_digits.py                        a local S3 server, started for this run
    python examples/train_digits.py s3://bucket/prefix     your storage, with your credentials
    python examples/train_digits.py file:///tmp/somewhere  a folder

Everything is written below a new prefix, which is removed at the end.
"""

import argparse
import io
import os
import signal
import subprocess
import sys
from contextlib import nullcontext
from uuid import uuid4

import numpy as np
import torch
from digits import Batch, decode, join, npz, upload
from local_s3 import local_s3
from timing import Timer
from torch import nn
from torch.utils.data import DataLoader
from tqdm import tqdm

import s3dlio
from s3dlio import ObjectStoreIterableDataset, ObjectStoreMapDataset

SEED = 7
EPOCHS = 12
OBJECTS_A_BATCH = 2
BATCHES_A_CHECKPOINT = 20
KILLED_AFTER = 110  # batches: in the third epoch, ten batches after a checkpoint
WANTED_ACCURACY = 0.95


class Training:
    """A model, its optimizer and its data: what a checkpoint holds."""

    def __init__(self, root: str) -> None:
        torch.manual_seed(SEED)
        torch.set_num_threads(1)  # the model is so small that threads would only wait for each other
        self.checkpoint = f"{root}/checkpoint.npz"
        self.data = ObjectStoreIterableDataset(
            f"{root}/train/", shuffle=True, seed=SEED, transform=decode, return_type="bytes"
        )
        self.model = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=3e-3)

    def save(self) -> None:
        """Store weights, optimizer and position as plain arrays, in one object: whole, or not there."""
        arrays = {f"model/{name}": weight.numpy() for name, weight in self.model.state_dict().items()}
        for index, slots in self.optimizer.state_dict()["state"].items():
            arrays |= {f"optimizer/{index}/{name}": slot.numpy() for name, slot in slots.items()}
        arrays |= {f"data/{name}": np.array(value) for name, value in self.data.state_dict().items()}
        s3dlio.put_bytes(self.checkpoint, npz(arrays))

    def resume(self) -> None:
        """Continue from the checkpoint, where there is one."""
        if not s3dlio.exists(self.checkpoint):
            return
        with np.load(io.BytesIO(s3dlio.get(self.checkpoint)), allow_pickle=False) as arrays:
            saved = {name: torch.from_numpy(array) for name, array in arrays.items()}
        self.model.load_state_dict({name: saved[f"model/{name}"] for name in self.model.state_dict()})
        slots: dict[int, dict[str, torch.Tensor]] = {}
        for kind, index, name in (path.split("/") for path in saved if path.startswith("optimizer/")):
            slots.setdefault(int(index), {})[name] = saved[f"{kind}/{index}/{name}"]
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": slots})
        self.data.load_state_dict({name: int(saved[f"data/{name}"]) for name in self.data.state_dict()})
        print(f"Resuming from {self.checkpoint} at {self.data.state_dict()}")

    def run(self, killed_after: int | None) -> None:
        """Train to the last epoch, or until killed; say how fast it went and how long it waited for data."""
        timer, objects, begin = Timer(), len(self.data.uris), self.data.state_dict()
        loader = DataLoader(self.data, batch_size=OBJECTS_A_BATCH, collate_fn=join)
        done = begin["epoch"] * objects + begin["position"]
        bar = tqdm(desc="training", total=EPOCHS * objects, initial=done, unit=" objects", mininterval=0.5)
        for epoch in range(begin["epoch"], EPOCHS):
            self.data.set_epoch(epoch)
            for batch in timer.waiting_for(loader):
                self.step(batch)
                bar.update(epoch * objects + self.data.state_dict()["position"] - bar.n)
                if timer.batches == killed_after:
                    os.kill(os.getpid(), signal.SIGKILL)
                if timer.batches % BATCHES_A_CHECKPOINT == 0:
                    self.save()
        bar.close()
        print(timer.summary())

    def step(self, batch: Batch) -> None:
        """Learn from one batch."""
        images, labels = batch
        loss = nn.functional.cross_entropy(self.model(images), labels)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()

    @torch.no_grad()
    def accuracy(self, tests: str) -> float:
        """Return the share of the images below `tests` that the model reads right."""
        data = ObjectStoreMapDataset(tests, transform=decode, return_type="bytes")
        images, labels = join([data[index] for index in range(len(data))])
        return (self.model(images).argmax(1) == labels).double().mean().item()


def train(root: str, killed_after: int | None) -> int:
    """Train on the objects below `root`; returns the exit status."""
    training = Training(root)
    training.resume()
    training.run(killed_after)
    accuracy = training.accuracy(f"{root}/test/")
    print(f"Test accuracy {accuracy:.1%}")
    return 0 if accuracy > WANTED_ACCURACY else 1


def demonstrate(root: str) -> int:
    """Upload the digits, train until killed, then train again; returns the exit status."""
    print(f"Uploaded {upload(root, SEED)} objects to {root}")
    command = [sys.executable, __file__, root, "--train"]
    try:
        first = subprocess.run([*command, "--killed-after", str(KILLED_AFTER)], check=False)
        if first.returncode != -signal.SIGKILL:
            return first.returncode or 1
        print("\nThe training was killed in the middle of an epoch. Starting it again.")
        return subprocess.run(command, check=False).returncode
    finally:
        s3dlio.delete(f"{root}/", recursive=True)


def main() -> int:
    """Read the command line and do what it says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("uri", nargs="?", help="where to put everything; without it a local server is started")
    parser.add_argument("--train", action="store_true", help="only train, on what is stored below the uri")
    parser.add_argument("--killed-after", type=int, help="batches after which the training kills itself")
    options = parser.parse_args()
    if options.train:
        return train(options.uri, options.killed_after)
    storage = nullcontext(options.uri.rstrip("/")) if options.uri else local_s3("digits")
    with storage as place:
        return demonstrate(f"{place}/run-{uuid4().hex[:8]}")


if __name__ == "__main__":
    sys.exit(main())
