"""The command: `python -m benchmarks.loading`, from the root of the tree; `--help` says what can be chosen."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import environments, machine, nginx
from benchmarks.harness import Failure
from benchmarks.loading import harness, report, stage
from benchmarks.loading.clients import KINDS
from benchmarks.loading.environment import python_of
from benchmarks.loading.rows import QUICKLY, ROWS, Row, find
from benchmarks.loading.run_one import Measurement

_RESULTS = Path(__file__).parent.parent / "results"


def main(arguments: Sequence[str]) -> int:
    """Measure, write the results, print the tables. Returns the status of the process, 1 when s3dlio failed a row."""
    given = _parse(arguments)
    # The files and the origin go away when the stack unwinds, which the default action would not do.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    folder = given.out or _RESULTS / f"{datetime.now(UTC).date().isoformat()}-loading"
    try:
        run = _run(given, " ".join(["python -m benchmarks.loading", *arguments]))
        print("\n" + report.write(folder, run), end="")
    except (OSError, RuntimeError) as problem:
        print(f"{problem} (`make bench` installs what is needed)", file=sys.stderr)
        return 1
    print(f"\nwritten to {folder}")
    return int(any(KINDS[each.client].ours for each in run.outcome.failures))


def _run(given: argparse.Namespace, command: str) -> report.Run:
    rows = [row for row in ROWS if not given.only or row.name in given.only]
    versions, unavailable = _versions(list(dict.fromkeys(given.client or KINDS)))
    parts = {part: number for each in versions.values() for part, number in each.items()}
    server = {} if given.own_origin else {"nginx": nginx.version().partition("/")[2]}
    described = machine.describe(command, {**parts, **server})
    objects = {row.name: _objects(row, given) for row in rows}
    shards = any(KINDS[name].sharded for name in versions)
    with stage.staged(rows, objects, shards=shards, own=given.own_origin) as ready:
        outcome = harness.run(ready, rows, [*versions], _effort(given), _tell)
    return report.Run(machine=described, rows=rows, outcome=outcome, left_out=unavailable)


def _objects(row: Row, given: argparse.Namespace) -> int:
    if given.objects is not None:
        return given.objects
    return row.objects // QUICKLY if given.quick else row.objects


def _effort(given: argparse.Namespace) -> harness.Effort:
    if given.repetitions is not None:
        return harness.Effort(turns=given.repetitions, slow=given.repetitions)
    return harness.Effort(turns=1) if given.quick else harness.Effort()


def _versions(names: Sequence[str]) -> tuple[dict[str, dict[str, str]], list[str]]:
    """Return the versions of the clients that can be measured, and why the others cannot."""
    found: dict[str, dict[str, str]] = {}
    missing: list[str] = []
    for name in names:
        kind = KINDS[name]
        try:
            found[name] = environments.versions(python_of(isolated=kind.isolated), ("torch", *kind.distributions))
        except environments.UnavailableError as problem:
            missing.append(f"{name}, in every row: {problem}")
    return found, missing


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.loading", description="Read an epoch, side by side.")
    names = [row.name for row in ROWS]
    again = "; may be repeated: "
    parser.add_argument("--only", action="append", choices=names, metavar="ROW", help=f"a row{again}{', '.join(names)}")
    parser.add_argument("--client", action="append", choices=[*KINDS], help="a client; may be repeated; all by default")
    parser.add_argument("--quick", action="store_true", help=f"one run of each, of one object in {QUICKLY}")
    parser.add_argument("--objects", type=int, metavar="N", help="objects of each row, instead of its own number")
    parser.add_argument("--repetitions", type=int, metavar="N", help="runs of each client in each row")
    parser.add_argument("--own-origin", action="store_true", help="the project's own origin instead of nginx")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="where results.json and table.md go; benchmarks/results/DATE-loading by default",
    )
    return parser.parse_args(arguments)


def _tell(done: Measurement | Failure) -> None:
    row = find(done.row)
    if isinstance(done, Failure):
        print(f"{row.name:12} {done.client:26} failed: {done.words}", file=sys.stderr)
        return
    print(
        f"{row.name:12} {done.client:26} {done.samples:>6} samples {done.wall:7.2f} s {done.cpu:7.2f} CPU s "
        f"{done.samples / done.wall:9,.0f}/s first {1e3 * done.first:6.0f} ms {done.peak_memory >> 20:5} MiB "
        f"origin {done.origin_cpu / done.wall:4.0%}",
        file=sys.stderr,
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
