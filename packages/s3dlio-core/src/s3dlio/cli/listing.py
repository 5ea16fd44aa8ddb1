"""`ls` and `stat`: what is there."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from s3dlio import verbs
from s3dlio.cli import text
from s3dlio.cli.places import pages
from s3dlio.uri import parse

if TYPE_CHECKING:
    from s3dlio.operations import Listed

_NO_DATE = "-"
_PREFIX = "-"


@dataclass(slots=True)
class _Sum:
    objects: int = 0
    prefixes: int = 0
    bytes: int = 0

    def add(self, page: Listed) -> None:
        sizes = [entry[1] for _, entry in page if entry is not None]
        self.objects += len(sizes)
        self.prefixes += len(page) - len(sizes)
        self.bytes += sum(sizes)


@click.command()
@click.argument("uri")
@click.option("-r", "--recursive", is_flag=True, help="Everything below, instead of one level.")
@click.option("--pattern", metavar="GLOB", help="Only keys that match, relative to the last / of the URI.")
@click.option("--count", is_flag=True, help="Only how many objects and bytes.")
@click.option("--bytes", "exact", is_flag=True, help="Sizes in bytes.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line, with keys exactly as they are.")
@click.option("-0", "--null", is_flag=True, help="Only URIs, exactly as they are, each ended by a NUL character.")
def ls(uri: str, recursive: bool, pattern: str | None, count: bool, exact: bool, as_json: bool, null: bool) -> None:
    """List what starts with URI.

    Without -r one level, in which what lies deeper shows as prefixes that end in /. s3:// lists the buckets.
    """
    if null and (count or as_json):
        raise click.UsageError("--null prints URIs alone: leave out --count and --json")
    if uri.endswith("://") and not parse_local(uri):
        _buckets(uri, count=count, as_json=as_json, null=null)
        return
    root, total = parse(uri).root, _Sum()
    for page in pages(uri, recursive=recursive, pattern=pattern):
        total.add(page)
        if null:
            text.write_raw(b"".join(os.fsencode(root + key) + b"\0" for key, _ in page))
        elif not count:
            text.write(_json(root, page) if as_json else _lines(root, page, exact))
    if count:
        _write_sum(total, exact=exact, as_json=as_json)


def parse_local(uri: str) -> bool:
    """Tell whether a bare scheme is one that has no buckets."""
    return uri in ("file://", "direct://")


def _lines(root: str, page: Listed, exact: bool) -> list[str]:
    lines: list[str] = []
    for key, entry in page:
        size = _PREFIX if entry is None else text.size(entry[1], exact=exact)
        modified = _NO_DATE if entry is None else text.date(entry[2])
        lines.append(f"{size:>12}  {modified:<20}  {text.shown(root + key)}")
    return lines


def _json(root: str, page: Listed) -> list[str]:
    return [text.as_json(_described(root + key, entry)) for key, entry in page]


def _described(uri: str, entry: Any) -> dict[str, Any]:
    if entry is None:
        return {"uri": uri, "prefix": True}
    _, size, modified, etag, storage_class = entry
    known = {"last_modified": modified, "etag": etag, "storage_class": storage_class}
    return {"uri": uri, "size": size, **{name: value or None for name, value in known.items()}}


def _write_sum(total: _Sum, *, exact: bool, as_json: bool) -> None:
    if as_json:
        text.write([text.as_json({"objects": total.objects, "prefixes": total.prefixes, "bytes": total.bytes})])
        return
    prefixes = f", {total.prefixes:,} prefix{'' if total.prefixes == 1 else 'es'}" if total.prefixes else ""
    size = f"{total.bytes} bytes" if exact else text.size(total.bytes)
    text.write([f"{text.objects(total.objects)}, {size}{prefixes}"])


def _buckets(uri: str, *, count: bool, as_json: bool, null: bool) -> None:
    found = [f"{each}/" for each in verbs.list_containers(uri)]
    if count:
        text.write([text.as_json({"buckets": len(found)}) if as_json else f"{len(found):,} buckets"])
    elif null:
        text.write_raw(b"".join(each.encode() + b"\0" for each in found))
    else:
        text.write([text.as_json({"uri": each}) if as_json else text.shown(each) for each in found])


@click.command()
@click.argument("uri")
@click.option("--json", "as_json", is_flag=True, help="As one JSON object.")
def stat(uri: str, as_json: bool) -> None:
    """Show what is known of an object."""
    known: dict[str, Any] = {"uri": uri, **verbs.stat(uri)}
    if as_json:
        text.write([text.as_json(known)])
        return
    metadata: dict[str, str] = known.pop("metadata")
    rows = {**known, **{f"metadata.{name}": value for name, value in metadata.items()}}
    width = max(map(len, rows))
    text.write(f"{name:<{width}}  {text.shown(str(value))}" for name, value in rows.items() if value is not None)
