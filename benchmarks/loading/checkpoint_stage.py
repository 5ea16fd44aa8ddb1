"""The servers of the checkpoints, which cost little so that the clients show, and what is asked of them.

Saves go to the project's own origin, which counts what comes and throws it away; loads come from nginx, which serves
files that were written before, the same to both clients. Neither checks signatures.
Invariant: whatever is written or started here is gone when the block of `served` ends.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from torch.distributed.checkpoint.state_dict_saver import save

from benchmarks import process
from benchmarks.loading import origin, stage, state
from benchmarks.loading.checkpoint_one import Assignment, Verb
from benchmarks.loading.clients import BUCKET, REGION
from benchmarks.process import Plan, Running
from benchmarks.replies import CHECK_PREFIX
from benchmarks.rows import GIB, MIB
from s3dlio_compat.s3torchconnector.dcp import S3StorageWriter

_KEPT_SIZE = 32  # MiB: several parts of a multipart upload


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What a client is to do, and the server that it asks."""

    server: Running
    task: Assignment


@dataclass(frozen=True, slots=True, kw_only=True)
class Servers:
    """Where saves go and where loads come from."""

    home: Path
    sink: Running
    source: Running

    def timed(self, client: str, threads: int, size: int) -> list[Work]:
        """Return a save, and a load of what was written before with so many threads."""
        name = _name(threads)
        return [
            _work(self.sink, "save", client, f"saved/{client}/{name}", (threads, size)),
            _work(self.source, "load", client, name, (threads, size)),
        ]

    def kept(self, client: str) -> list[Work]:
        """Return a save that the origin keeps, and the load of it."""
        verbs: tuple[Verb, ...] = ("save", "load")
        return [_work(self.sink, verb, client, f"{CHECK_PREFIX}{client}", (1, _KEPT_SIZE)) for verb in verbs]


@contextmanager
def served(threads: Sequence[int], size: int, *, own: bool) -> Generator[Servers]:
    """Write a checkpoint for each number of threads, and serve them by nginx, or by the project's `own` origin."""
    stage.require_room(len(threads) * size * MIB + GIB)
    with tempfile.TemporaryDirectory(prefix="benchmark-", dir=stage.MEMORY) as name:
        home, tree = Path(name), Path(name) / "tree"
        for number in threads:
            _write(tree / BUCKET / _name(number), size, number)
        with process.origin(Plan()) as sink, origin.own(tree) if own else origin.started(tree, home) as (source, _):
            yield Servers(home=home, sink=sink, source=source)


def _write(folder: Path, size: int, threads: int) -> None:
    """Write a checkpoint of a state of `size` MiB, in as many files as threads.

    PyTorch's own writer names a class of `pathlib` in the metadata, which the reader of ours does not take.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=state.ALONE)
        save(state.made(size), storage_writer=S3StorageWriter(REGION, folder.as_uri(), thread_count=threads))


def _name(threads: int) -> str:
    return f"checkpoint-{threads}"


def _work(server: Running, verb: Verb, client: str, name: str, effort: tuple[int, int]) -> Work:
    threads, size = effort
    uri = f"s3://{BUCKET}/{name}"
    task = Assignment(verb=verb, client=client, uri=uri, threads=threads, size=size, pids=server.pids)
    return Work(server=server, task=task)
