"""`cp`: from anywhere to anywhere, inside the service where both ends are in one."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import click

from s3dlio import batch, operations, verbs
from s3dlio.cli import moving, trees
from s3dlio.cli.places import as_directory, inside, last_name, pages, place, totals
from s3dlio.errors import NotFoundError, PartialFailureError
from s3dlio.steps import Task
from s3dlio.uri import Uri


@click.command()
@click.argument("source", metavar="SRC")
@click.argument("target", metavar="DST")
@click.option("-r", "--recursive", is_flag=True, help="Everything below SRC goes below DST.")
@click.option("-q", "--quiet", is_flag=True, help="No progress and no summary of a tree.")
def cp(source: str, target: str, recursive: bool, quiet: bool) -> None:
    """Copy an object or, with -r, a tree.

    A path without a scheme is local. A DST that ends in /, is a bucket or a directory is completed with the last
    part of SRC.
    """
    origin, goal = place(source), place(target)
    if not recursive:
        verbs.copy(str(origin), str(inside(goal, last_name(origin))))
    elif origin.is_local:
        trees.send(str(origin), str(goal), trees.Choice(quiet=quiet))
    elif goal.is_local:
        trees.fetch(str(origin), str(goal), trees.Choice(quiet=quiet))
    else:
        _copy_tree(as_directory(origin), as_directory(goal), quiet)


Pair = tuple[Uri, Uri, int]


def _copy_tree(origin: Uri, goal: Uri, quiet: bool) -> None:
    start, files, held = time.perf_counter(), 0, 0
    errors: dict[str, Exception] = {}
    with moving.display(quiet, lambda: totals(str(origin))) as shown:
        for pairs in _pairs(origin, goal):
            task = batch.together(pairs, _copied, _source, trees.CONCURRENCY, keep_errors=True)
            for pair, outcome in zip(pairs, batch.run(task, local=False), strict=True):
                if isinstance(outcome, Exception):
                    errors[str(pair[0])] = outcome
                else:
                    files, held = files + 1, held + pair[2]
            shown(files, held)
    if errors:
        text = f"{len(errors)} of {len(errors) + files} objects below {origin} could not be copied"
        raise PartialFailureError(text, str(origin), results={"files": files}, errors=errors)
    if not files:
        raise NotFoundError(f"there is nothing below {origin}", str(origin))
    if not quiet:
        moving.conclude("copied", files, held, time.perf_counter() - start, 0)


def _pairs(origin: Uri, goal: Uri) -> Iterator[list[Pair]]:
    for page in pages(str(origin), recursive=True):
        yield [
            (
                Uri(origin.scheme, origin.container, key),
                Uri(goal.scheme, goal.container, f"{goal.key}{key[len(origin.key) :]}"),
                entry[1],
            )
            for key, entry in page
            if entry is not None
        ]


def _copied(pair: Pair) -> Task[Any]:
    return operations.copy(str(pair[0]), str(pair[1]))


def _source(pair: Pair) -> str:
    return str(pair[0])
