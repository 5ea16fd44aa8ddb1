"""`upload` and `download`: directories to prefixes and back."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import click

from s3dlio import tree, verbs
from s3dlio.cli import moving
from s3dlio.cli.existing import Existing, has_copy
from s3dlio.cli.places import as_directory, file_uri, inside, last_name, pages
from s3dlio.uri import Uri, local_path, parse

CONCURRENCY = 16  # objects under way at once, unless asked for otherwise

_pattern = click.option("--pattern", metavar="GLOB", help="Only names that match, relative to the top.")
_skip = click.option("--skip-existing", is_flag=True, help="Leave out what is there with the same size and not older.")
_quiet = click.option("-q", "--quiet", is_flag=True, help="No progress and no summary.")
_workers = click.option(
    "--concurrency",
    type=click.IntRange(min=1),
    default=CONCURRENCY,
    show_default=True,
    help="Objects under way at once.",
)


@dataclass(frozen=True, slots=True)
class Choice:
    """What of a tree is moved, and how."""

    pattern: str | None = None
    skip_existing: bool = False
    quiet: bool = False
    concurrency: int = CONCURRENCY


@click.command()
@click.argument("source", metavar="DIR|FILE")
@click.argument("uri")
@_pattern
@_skip
@_workers
@_quiet
def upload(source: str, uri: str, pattern: str | None, skip_existing: bool, concurrency: int, quiet: bool) -> None:
    """Store a directory, or a file, below URI.

    The relative names are kept. One file becomes URI itself, unless that ends in /.
    """
    send(source, uri, Choice(pattern, skip_existing, quiet, concurrency))


@click.command()
@click.argument("uri")
@click.argument("directory", metavar="DIR")
@_pattern
@_skip
@_workers
@_quiet
def download(uri: str, directory: str, pattern: str | None, skip_existing: bool, concurrency: int, quiet: bool) -> None:
    """Fetch what is below URI into DIR.

    The relative names are kept. If nothing is below URI, the object of that name is fetched.
    """
    fetch(uri, directory, Choice(pattern, skip_existing, quiet, concurrency))


def send(source: str, uri: str, choice: Choice) -> None:
    """Upload, and say so."""
    path, target = local_path(source), parse(uri)
    if (
        choice.skip_existing
        and os.path.isfile(path)
        and has_copy(file_uri(path), str(inside(target, os.path.basename(path))))
    ):
        _conclude("uploaded", {"files": 0, "bytes": 0, "seconds": 0.0}, 1, choice)
        return
    top = Uri("file", "", path)

    def move(progress: tree.Progress, wanted: tree.Wanted | None) -> dict[str, Any]:
        return tree.upload(path, uri, choice.pattern, progress=progress, wanted=wanted, workers=choice.concurrency)

    _move("uploaded", top, target, choice, move)


def fetch(uri: str, directory: str, choice: Choice) -> None:
    """Download, and say so."""
    source, target = parse(uri), Uri("file", "", local_path(directory))
    if choice.skip_existing and _is_one(source) and has_copy(uri, f"{target}/{last_name(source)}"):
        _conclude("downloaded", {"files": 0, "bytes": 0, "seconds": 0.0}, 1, choice)
        return

    def move(progress: tree.Progress, wanted: tree.Wanted | None) -> dict[str, Any]:
        return tree.download(
            uri, target.key, choice.pattern, progress=progress, wanted=wanted, workers=choice.concurrency
        )

    _move("downloaded", source, target, choice, move)


def _is_one(source: Uri) -> bool:
    """Tell whether a URI can only name one object: nothing lies below it."""
    below = as_directory(source)
    return below != source and next(verbs.list_iter(str(below), recursive=True), None) is None


def _move(
    word: str,
    source: Uri,
    target: Uri,
    choice: Choice,
    move: Callable[[tree.Progress, tree.Wanted | None], dict[str, Any]],
) -> None:
    there = Existing(target) if choice.skip_existing else None
    with moving.display(choice.quiet, lambda: _whole(source, target, choice)) as shown:
        summary = move(shown, there.wanted if there is not None else None)
    _conclude(word, summary, there.skipped if there is not None else 0, choice)


def _whole(source: Uri, target: Uri, choice: Choice) -> tuple[int, int]:
    """Return how many objects will be moved, and their bytes."""
    there = Existing(target) if choice.skip_existing else None
    top = as_directory(source)
    count = held = 0
    for page in pages(str(top), recursive=True, pattern=choice.pattern):
        for key, entry in page:
            if entry is not None and (there is None or there.wanted(key[len(top.key) :], entry[1], entry[2])):
                count, held = count + 1, held + entry[1]
    if not count and top != source and there is None:
        return 1, verbs.stat(str(source))["size"]
    return count, held


def _conclude(word: str, summary: dict[str, Any], skipped: int, choice: Choice) -> None:
    if not choice.quiet:
        moving.conclude(word, summary["files"], summary["bytes"], summary["seconds"], skipped)
