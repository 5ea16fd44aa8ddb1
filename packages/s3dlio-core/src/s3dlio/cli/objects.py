"""`get`, `put` and `cat`: one object to or from a file or a pipe."""

from __future__ import annotations

import os
import sys

import click

from s3dlio import verbs
from s3dlio.cli import streams, text
from s3dlio.cli.places import file_uri, inside, last_name
from s3dlio.uri import parse, parse_key

_offset = click.option("--offset", type=click.IntRange(min=0), default=0, help="The first byte wanted, from 0.")
_length = click.option("--length", type=click.IntRange(min=0), help="How many bytes; without it, to the end.")


@click.command()
@click.argument("uris", metavar="URI...", nargs=-1, required=True)
def cat(uris: tuple[str, ...]) -> None:
    """Write objects to standard output."""
    for uri in uris:
        parse_key(uri)
    for uri in uris:
        _print(uri, 0, None)


@click.command()
@click.argument("uri")
@click.argument("file", required=False)
@_offset
@_length
def get(uri: str, file: str | None, offset: int, length: int | None) -> None:
    """Fetch an object, or a range of it.

    FILE is replaced when all has arrived, and not before; - is standard output. Without FILE the object goes into
    the working directory, under the last part of its key.
    """
    if file == "-":
        _print(uri, offset, length)
        return
    source = parse_key(uri)
    if not last_name(source) and (file is None or os.path.isdir(file)):
        raise click.UsageError(f"{uri!r} ends in no name: say which FILE it is to become")
    target = file_uri(os.path.join(file or "", last_name(source)) if file is None or os.path.isdir(file) else file)
    if offset or length is not None:
        streams.write(target, streams.read(uri, offset, length))
    else:
        verbs.copy(uri, target)


def _print(uri: str, offset: int, length: int | None) -> None:
    for piece in streams.read(uri, offset, length):
        text.write_raw(piece)


@click.command()
@click.argument("file")
@click.argument("uri")
@click.option("--create-only", is_flag=True, help="Fail if there is such an object already.")
def put(file: str, uri: str, create_only: bool) -> None:
    """Store a file as an object.

    FILE may be -, which is standard input. A URI that ends in / is completed with the name of FILE.
    """
    target = parse(uri)
    if file == "-":
        parse_key(uri)
        streams.write(uri, streams.from_file(sys.stdin.buffer, uri), create_only=create_only)
        return
    source = file_uri(file)
    if os.path.isdir(parse(source).key):
        raise click.UsageError(f"{file!r} is a directory: use upload, or cp -r")
    goal = str(inside(target, last_name(parse(source))))
    if create_only:
        streams.write(goal, streams.read(source), create_only=True)
    else:
        verbs.copy(source, goal)
