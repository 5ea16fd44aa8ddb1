"""How a key orders a fault, and which call of the API a request is.

A segment such as `fault=truncate.get@2~7` names the kind, the call that it is for (all that it applies to, if there is
none), the turns (1 if there is none, `2-3`, or `*` for every one) and a seed.
"""

import re
from dataclasses import dataclass
from urllib.parse import unquote

from tests.servers.faulty.dialect import taken_apart
from tests.servers.scripted import Asked

_ORDER = re.compile(
    r"fault=(?P<kind>[a-z0-9-]+)(?:\.(?P<call>[a-z]+))?(?:@(?P<turns>\*|\d+(?:-\d+)?))?(?:~(?P<seed>\d+))?"
)
_ENDLESS = 1 << 60


@dataclass(frozen=True, slots=True)
class Order:
    """A fault that a key asks for; `text` is the segment, which counts its turns."""

    text: str
    kind: str
    call: str | None
    first: int
    last: int
    seed: int


def order_of(asked: Asked) -> Order | None:
    """Return the fault that a request's key, prefix or batch asks for."""
    text = unquote(asked.target)
    if "?delete" in asked.target:
        text += asked.body.decode("utf-8", "replace")
    match = _ORDER.search(text)
    if match is None:
        return None
    first, _, last = (match["turns"] or "1").partition("-")
    ends = (1, _ENDLESS) if first == "*" else (int(first), int(last or first))
    return Order(match[0], match["kind"], match["call"], *ends, int(match["seed"] or 0))


def call_of(asked: Asked) -> str:
    """Return which call of the API a request is."""
    question = taken_apart(asked)
    if not question.key:
        return "batch" if "delete" in question.query else "list"
    copied = "x-amz-copy-source" in asked.fields
    if "uploadId" in question.query:
        return {"PUT": "copypart" if copied else "part", "POST": "complete", "DELETE": "abort"}.get(asked.method, "")
    if "uploads" in question.query:
        return "start"
    return "copy" if copied else asked.method.lower()
