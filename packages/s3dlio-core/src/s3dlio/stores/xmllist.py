"""Pages of an S3 listing: a whole page, or a `ValueError`; never a shorter one.

Two readers give the same page. `scan` takes the run of `<Contents>` elements with one regular expression,
whose matches must lie end to end over the whole run and hold plain text only; what stands around the run
goes through the XML parser. Any page that is not exactly so goes through the parser as a whole.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from itertools import repeat
from typing import TYPE_CHECKING
from urllib.parse import unquote_plus

from s3dlio.stores.xmltree import check_bounds, leaves, parse_tree

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

    from s3dlio.stores.store import Entry

_NAMES = frozenset(("Key", "Size", "LastModified", "ETag", "StorageClass"))
_TOP = frozenset(("IsTruncated", "NextContinuationToken", "EncodingType"))
_PREFIX = frozenset(("Prefix",))
_SIZE = re.compile(r"[0-9]{1,19}").fullmatch

_OPEN, _CLOSE = b"<Contents>", b"</Contents>"
_FIELD = re.compile(rb"<(Key|Size|LastModified|ETag|StorageClass)>")
# Printable ASCII that is text as it stands: without "<" and "&", and without "]", which "]]>" would need.
_TEXT = r"[ !-%'-;=-\\^-~]*+"
_GAP = r"[ \n\t]*+"
_QUOTE = r"(?:&quot;|&#34;)?+"
_CAPTURED = {"Key": rf"(?=[^<]){_TEXT}", "Size": "[0-9]{1,19}+", "ETag": f"{_QUOTE}{_TEXT}{_QUOTE}"}


@dataclass(frozen=True, slots=True)
class ListPage:
    """One page of ListObjectsV2. Keys and prefixes are decoded; there is a `token` if `truncated` is true."""

    entries: list[Entry]
    prefixes: list[str]
    truncated: bool
    token: str | None


def parse_list(body: bytes) -> ListPage:
    """Return a page of ListObjectsV2. Anything but one whole page is a `ValueError`.

    An etag is as in the response header, quotes included. A page that says it is truncated and has no token
    to go on with is refused too: what follows could not be listed.
    """
    return scan(body) or read(parse_tree(body))[0]


def read(root: Element) -> tuple[ListPage, bool]:
    """Return the page of a parsed document, and whether its keys were encoded."""
    if root.tag != "ListBucketResult":
        raise ValueError(f"expected a listing, not <{root.tag}>")
    top = leaves(root, _TOP)
    encoded = top.get("EncodingType") == "url"
    rows = [leaves(child, _NAMES) for child in root if child.tag == "Contents"]
    groups = [leaves(child, _PREFIX) for child in root if child.tag == "CommonPrefixes"]
    truncated = _flag(top.get("IsTruncated"))
    token = top.get("NextContinuationToken") or None
    if truncated and token is None:
        raise ValueError("incomplete listing: the page is truncated and has no continuation token")
    keys = _decoded([_given(row, "Key") for row in rows], encoded=encoded)
    entries = [
        (key, _size(row), row.get("LastModified", ""), row.get("ETag", ""), row.get("StorageClass", ""))
        for key, row in zip(keys, rows, strict=True)
    ]
    prefixes = _decoded([_given(group, "Prefix") for group in groups], encoded=encoded)
    return ListPage(entries, prefixes, truncated, token), encoded


def _given(row: dict[str, str], name: str) -> str:
    value = row.get(name)
    if not value:
        raise ValueError(f"incomplete listing: an entry without <{name}>")
    return value


def _size(row: dict[str, str]) -> int:
    text = _given(row, "Size")
    if not _SIZE(text):
        raise ValueError(f"a listing with the size {text!r}")
    return int(text)


def _flag(text: str | None) -> bool:
    if text not in ("true", "false"):
        raise ValueError(f"incomplete listing: IsTruncated is {text!r}")
    return text == "true"


def _decoded(keys: list[str], *, encoded: bool) -> list[str]:
    """Decode keys once, all together where that is safe. As in forms, "+" is a space in this encoding."""
    page = "\n".join(keys)
    if not encoded or ("%" not in page and "+" not in page):
        return keys
    together = unquote_plus(page, errors="strict").split("\n")
    if len(together) == len(keys):
        return together
    return [unquote_plus(key, errors="strict") for key in keys]


def scan(body: bytes) -> ListPage | None:
    """Return the page if it has the plain form that servers write, else None."""
    start, end, close = body.find(_OPEN), body.rfind(_CLOSE) + len(_CLOSE), body.find(_CLOSE) + len(_CLOSE)
    first = body[start:close]
    order = tuple(name.decode() for name in _FIELD.findall(first))
    if start < 0 or len(set(order)) != len(order) or not {"Key", "Size"} <= set(order):
        return None
    rows = _pattern(order).findall(body[start:end].decode("latin-1"))
    if len(rows) != body.count(_OPEN, start, end):
        return None
    try:
        check_bounds(body)
        # With one entry in the place of all, the parser says whether they stand where entries belong.
        around, encoded = read(parse_tree(body[:start] + first + body[end:]))
        entries = _entries(order, rows, encoded=encoded)
    except ValueError:
        return None
    if around.entries != entries[:1]:
        return None
    return ListPage(entries, around.prefixes, around.truncated, around.token)


def _entries(order: tuple[str, ...], rows: list[tuple[str, ...]], *, encoded: bool) -> list[Entry]:
    columns: dict[str, Iterable[str]] = dict(zip(order, zip(*rows, strict=True), strict=True))
    empty = repeat("", len(rows))
    etags: Iterable[str] = empty
    if "ETag" in columns:
        etags = "\n".join(columns["ETag"]).replace("&quot;", '"').replace("&#34;", '"').split("\n")
    return list(
        zip(
            _decoded(list(columns["Key"]), encoded=encoded),
            map(int, columns["Size"]),
            columns.get("LastModified", empty),
            etags,
            columns.get("StorageClass", empty),
            strict=True,
        )
    )


@cache
def _pattern(order: tuple[str, ...]) -> re.Pattern[str]:
    """Return the pattern of one entry whose fields come in this order, ending where the next begins.

    Matches as many as there are entries therefore lie end to end, with nothing between them.
    """
    owner = f"<Owner>{_GAP}(?:{_leaf('ID')})?+(?:{_leaf('DisplayName')})?+</Owner>{_GAP}"
    others = "|".join([_leaf("ChecksumAlgorithm"), _leaf("ChecksumType"), _leaf("Type"), owner])
    fields = [f"<{name}>({_CAPTURED.get(name, _TEXT)})</{name}>{_GAP}(?:{others})*+" for name in order]
    entry = f"<Contents>{_GAP}(?:{others})*+{''.join(fields)}</Contents>{_GAP}"
    return re.compile(rf"{entry}(?=<Contents>|\Z)")


def _leaf(name: str) -> str:
    return f"<{name}>{_TEXT}</{name}>{_GAP}"
