"""XML from a server that is not trusted: a small tree, or a `ValueError`.

No document type, so no entities and nothing external; bounded size, depth, number of tags and length of a
tag, each checked before it can cost memory. Namespaces are dropped from the names. Only elements and text
are kept.
"""

from __future__ import annotations

from typing import NoReturn
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

MOST_BYTES = 64 << 20
DEEPEST = 32
MOST_TAGS = 500_000
_BLOCK = 64 << 10


def parse_tree(body: bytes) -> Element:
    """Return the root of a document in UTF-8. What is not one whole document is a `ValueError`."""
    check_bounds(body)
    builder = TreeBuilder()
    parser = expat.ParserCreate("utf-8", "}")
    depth = 0

    def start(name: str, _: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > DEEPEST:
            raise ValueError(f"XML is nested deeper than {DEEPEST} elements")
        builder.start(name.rpartition("}")[2], {})

    def end(name: str) -> None:
        nonlocal depth
        depth -= 1
        builder.end(name.rpartition("}")[2])

    parser.buffer_text = True
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = builder.data
    parser.StartDoctypeDeclHandler = _refuse
    parser.EntityDeclHandler = _refuse
    try:
        parser.Parse(body, True)
    except expat.ExpatError as error:
        raise ValueError(f"not a whole XML document: {error}") from error
    return builder.close()


def leaves(element: Element, names: frozenset[str]) -> dict[str, str]:
    """Return the text of those children that are named, "" for an empty one.

    A name that comes twice, or holds elements where text belongs, is a `ValueError`: picking one would be a
    guess.
    """
    found: dict[str, str] = {}
    for child in element:
        if child.tag not in names:
            continue
        if child.tag in found or len(child):
            raise ValueError(f"unexpected XML: <{element.tag}> holds <{child.tag}> twice, or elements in it")
        found[child.tag] = child.text or ""
    return found


def check_bounds(body: bytes) -> None:
    """Refuse with a `ValueError` what is too long, has too many tags, or one tag or text beyond measure."""
    if len(body) > MOST_BYTES:
        raise ValueError(f"XML of {len(body)} bytes is longer than {MOST_BYTES}")
    # The shortest tag is "<a>".
    if len(body) > 3 * MOST_TAGS and body.count(b"<") > MOST_TAGS:
        raise ValueError(f"XML has more than {MOST_TAGS} tags")
    # "<" stands in no attribute and no text, so this bounds both: a tag of a million attributes is slow.
    for start in range(0, len(body) - _BLOCK + 1, _BLOCK):
        if body.find(b"<", start, start + _BLOCK) < 0:
            raise ValueError(f"XML has a tag or a text longer than {_BLOCK} bytes")


def _refuse(*_: object) -> NoReturn:
    raise ValueError("XML with a document type is refused: no object store sends one")
