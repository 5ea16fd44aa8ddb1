"""`rm`, `rb` and `mb`: what is removed has been counted and agreed to, or was named one by one."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

import click

from s3dlio import operations, verbs
from s3dlio.cli import text
from s3dlio.cli.places import as_directory, pages
from s3dlio.uri import Uri, parse, parse_key

_yes = click.option("-y", "--yes", is_flag=True, help="Do not ask.")


@click.command()
@click.argument("uri")
@click.option("-r", "--recursive", is_flag=True, help="Everything below URI too.")
@click.option("--dry-run", is_flag=True, help="Only list what would go.")
@_yes
def rm(uri: str, recursive: bool, dry_run: bool, yes: bool) -> None:
    """Remove an object or a tree.

    What is not there is success. Nothing in a key is a wildcard. With -r on a terminal it asks first; without a
    terminal it needs --yes.
    """
    where = parse(uri) if recursive else parse_key(uri)
    if dry_run:
        for page in _doomed(where, recursive=recursive):
            text.write(text.shown(doomed) for doomed, _ in page)
    elif not recursive:
        verbs.delete(uri)
    elif yes or _agreed("rm -r", where):
        verbs.delete(uri, recursive=True)


def _doomed(where: Uri, *, recursive: bool) -> Iterator[list[tuple[str, int]]]:
    """Yield URIs and sizes of what `delete` removes."""
    if where.key and not where.key.endswith("/") and verbs.exists(str(where)):
        yield [(str(where), verbs.stat(str(where))["size"])]
    if recursive:
        for page in pages(str(as_directory(where)), recursive=True):
            yield [(where.root + key, entry[1]) for key, entry in page if entry is not None]


def _agreed(command: str, where: Uri) -> bool:
    """Ask on the terminal whether a URI and everything below it may go."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise click.UsageError(f"{command} without a terminal to ask on needs --yes")
    sizes = [size for page in _doomed(where, recursive=True) for _, size in page]
    question = f"remove {text.objects(len(sizes))}, {text.size(sum(sizes))}, at {text.shown(str(where))}?"
    click.echo(f"{question} [y/N]: ", nl=False, err=True)  # not click.confirm, which may write to standard output
    return sys.stdin.readline().strip().lower() in ("y", "yes")


@click.command()
@click.argument("bucket")
def mb(bucket: str) -> None:
    """Make a bucket.

    It is named by its URI or, on S3, by its bare name. For files this makes a directory.
    """
    if operations.container(bucket).is_local:
        verbs.mkdir(bucket)
    else:
        verbs.create_bucket(bucket)


@click.command()
@click.argument("bucket")
@click.option("--force", is_flag=True, help="Remove what is in it first.")
@_yes
def rb(bucket: str, force: bool, yes: bool) -> None:
    """Remove an empty bucket.

    It is named as for mb. For files this removes an empty directory. With --force on a terminal it asks first;
    without a terminal it needs --yes.
    """
    where = operations.container(bucket)
    if force:
        if not yes and not _agreed("rb --force", where):
            return
        verbs.delete(str(where), recursive=True)
    if not where.is_local:
        verbs.delete_bucket(bucket)
    elif not force:
        os.rmdir(where.key)
