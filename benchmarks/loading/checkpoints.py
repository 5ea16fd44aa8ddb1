"""The command `python -m benchmarks.loading.checkpoints`: save and load a checkpoint, side by side.

One GiB in 16 tensors, by `torch.distributed.checkpoint` in a single process, through s3torchconnector and through the
classes of the same names here; each of both in a fresh process. The servers cost little, so that the clients show:
saves go to the project's own origin, which counts what comes and throws it away, and loads come from nginx, which
serves files that were written before, the same to both. First each client saves a small checkpoint that the origin
keeps, and loads it again, which is not timed.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from benchmarks import environments, machine, nginx
from benchmarks.loading import checkpoint_stage, harness, report, stage
from benchmarks.loading.checkpoint_one import MODULES, Measurement, Verb
from benchmarks.loading.checkpoint_stage import Servers, Work
from benchmarks.loading.summary import Verdict
from benchmarks.rows import MIB

GOAL = 1.3
"""How many times the rate of s3torchconnector ours shall be, each with the number of threads that suits it best."""

_OURS = "s3dlio"
_VERBS: tuple[Verb, ...] = ("save", "load")
_THREADS = (1, 4)
_SIZE, _QUICK_SIZE = 1024, 64  # MiB
_KEYS = ("benchmark", "benchmark")
_RESULTS = Path(__file__).parent.parent / "results"
_DISTRIBUTIONS = ("torch", "s3dlio-core", "s3dlio-compat", "s3torchconnector", "s3torchconnectorclient")


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """The medians of one client with so many threads: bytes per second, CPU seconds per GB, bytes of memory."""

    verb: Verb
    client: str
    threads: int
    runs: int
    rate: float
    wall: float
    cost: float
    peak_memory: float
    server_busy: float


@dataclass(slots=True)
class Outcome:
    """What a run has brought so far; a failure is a client and its last words."""

    measurements: list[Measurement] = field(default_factory=list[Measurement])
    failures: dict[str, str] = field(default_factory=dict[str, str])


def main(arguments: Sequence[str]) -> int:
    """Measure, write the results, print the table. Returns the status of the process, 1 when s3dlio failed."""
    given = _parse(arguments)
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    folder = given.out or _RESULTS / f"{datetime.now(UTC).date().isoformat()}-checkpoints"
    command = " ".join(["python -m benchmarks.loading.checkpoints", *arguments])
    turns = given.repetitions or (1 if given.quick else 3)
    size = _QUICK_SIZE if given.quick else _SIZE
    try:
        versions = environments.versions(sys.executable, _DISTRIBUTIONS)
        server = {} if given.own_origin else {"nginx": nginx.version().partition("/")[2]}
        described = machine.describe(command, {**versions, **server})
        with checkpoint_stage.served(_THREADS, size, own=given.own_origin) as servers:
            outcome = _run(servers, given.client or [*MODULES], turns, size)
    except (OSError, RuntimeError, environments.UnavailableError) as problem:
        print(f"{problem} (`make bench` installs what is needed)", file=sys.stderr)
        return 1
    print("\n" + _write(folder, described, outcome), end="")
    print(f"\nwritten to {folder}")
    return int(_OURS in outcome.failures)


def _run(servers: Servers, names: Sequence[str], turns: int, size: int) -> Outcome:
    outcome = Outcome()
    for name in names:
        _done(servers, servers.kept(name), outcome)
    for threads in _THREADS:
        for _ in range(turns):
            for name in names:
                outcome.measurements += _done(servers, servers.timed(name, threads, size), outcome)
    return outcome


def _done(servers: Servers, works: Sequence[Work], outcome: Outcome) -> list[Measurement]:
    """Do one work after the other, until one fails, which is the end of its client."""
    found: list[Measurement] = []
    for work in works:
        client, verb = work.task.client, work.task.verb
        if client in outcome.failures:
            break
        try:
            found.append(_measured(servers, work))
        except RuntimeError as problem:
            outcome.failures[client] = f"{verb}: {problem}"
            print(f"{client:18} {verb} failed: {problem}", file=sys.stderr)
    return found


def _measured(servers: Servers, work: Work) -> Measurement:
    """Return what a fresh process measures, and the most memory that it held."""
    variables = stage.environment(servers.home, _KEYS, work.server.endpoint, isolated=False)
    machine.settle_memory(3 * work.task.size * MIB)
    command = [sys.executable, "-m", "benchmarks.loading.checkpoint_one", json.dumps(asdict(work.task))]
    said, peak = harness.finished(command, variables)
    done = replace(Measurement(**json.loads(said)), peak_memory=peak)
    print(
        f"{done.client:18} {done.verb} {done.threads} threads {done.moved >> 20:5} MiB {done.wall:6.2f} s "
        f"{done.cpu:6.2f} CPU s {done.server_cpu:6.2f} server CPU s {peak >> 20:6} MiB",
        file=sys.stderr,
    )
    return done


def summarise(done: Sequence[Measurement]) -> list[Summary]:
    """Return the medians by verb, client and threads."""
    groups = dict.fromkeys((each.verb, each.client, each.threads) for each in done)
    return [
        _summary([each for each in done if (each.verb, each.client, each.threads) == group]) for group in sorted(groups)
    ]


def _summary(runs: Sequence[Measurement]) -> Summary:
    return Summary(
        verb=runs[0].verb,
        client=runs[0].client,
        threads=runs[0].threads,
        runs=len(runs),
        rate=median(run.moved / run.wall for run in runs),
        wall=median(run.wall for run in runs),
        cost=median(run.cpu / (run.moved / 1e9) for run in runs),
        peak_memory=median(run.peak_memory for run in runs),
        server_busy=median(run.server_cpu / run.wall for run in runs),
    )


def ratios(found: Sequence[Summary]) -> Mapping[Verb, float]:
    """Return how many times the best rate of the peer our best is."""
    best: dict[tuple[Verb, bool], float] = {}
    for each in found:
        place = each.verb, each.client == _OURS
        best[place] = max(best.get(place, 0.0), each.rate)
    return {
        verb: best[verb, True] / best[verb, False] for verb in _VERBS if {(verb, True), (verb, False)} <= best.keys()
    }


def verdict(ratio: float | None) -> Verdict:
    """Return whether the goal is met."""
    if ratio is None:
        return "not measured"
    return "met" if ratio >= GOAL else "missed"


def _write(folder: Path, described: machine.Machine, outcome: Outcome) -> str:
    found = summarise(outcome.measurements)
    reached: dict[Verb, float | None] = {verb: ratios(found).get(verb) for verb in _VERBS}
    document = {
        "machine": asdict(described),
        "failures": outcome.failures,
        "goals": [{"verb": verb, "ratio": ratio, "verdict": verdict(ratio)} for verb, ratio in reached.items()],
        "summaries": [asdict(each) for each in found],
        "measurements": [asdict(each) for each in outcome.measurements],
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.json").write_text(json.dumps(document, indent=1) + "\n")
    text = _page(described, found, reached, outcome.failures)
    (folder / "table.md").write_text(text)
    return text


def _page(
    described: machine.Machine,
    found: Sequence[Summary],
    reached: Mapping[Verb, float | None],
    failures: Mapping[str, str],
) -> str:
    explained = (
        "One checkpoint, medians of alternating runs. CPU is that of the client's process; memory is the most that it "
        "held, the state included. Loads read files in as many as threads. “Server busy” is the CPU that the server "
        "used of one core: the project's own origin for saves, nginx for loads."
    )
    goals = [
        [verb, f"≥ {GOAL:.2f} × rate", "–" if ratio is None else f"{ratio:.2f} × rate", verdict(ratio)]
        for verb, ratio in reached.items()
    ]
    heads = ["", "client", "threads", "GB/s", "seconds", "CPU s/GB", "memory", "server busy", "runs"]
    lines = [_line(each) for each in sorted(found, key=lambda each: (_VERBS.index(each.verb), -each.rate))]
    parts = [report.described(described), explained, report.table(["goal", "wanted", "measured", ""], goals)]
    parts += [report.table(heads, lines)] + [f"{name} is left out: {words}" for name, words in failures.items()]
    return "\n\n".join(parts) + "\n"


def _line(one: Summary) -> list[str]:
    return [
        one.verb,
        one.client,
        str(one.threads),
        f"{one.rate / 1e9:.2f}",
        f"{one.wall:.2f}",
        f"{one.cost:.2f}",
        f"{one.peak_memory / MIB:,.0f} MiB",
        f"{one.server_busy:.0%}",
        str(one.runs),
    ]


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.loading.checkpoints", description="Save and load a checkpoint, side by side."
    )
    parser.add_argument("--client", action="append", choices=[*MODULES], help="a client; both by default")
    parser.add_argument("--quick", action="store_true", help=f"one run of {_QUICK_SIZE} MiB: to see that it works")
    parser.add_argument("--repetitions", type=int, metavar="N", help="runs of each client")
    parser.add_argument("--own-origin", action="store_true", help="the project's own origin instead of nginx")
    parser.add_argument("--out", type=Path, metavar="DIR", help="benchmarks/results/DATE-checkpoints by default")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
