"""One operation as a line of the log: the columns, what stands in them, and how it is written so that a line stays one.

The layout is the one that warp writes and reads: tab-separated, times in RFC 3339 with nanoseconds. A reader of it
knows no quotes, so what would break a line or a field is written as a backslash escape.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import lru_cache

from s3dlio.redaction import redact

HEADER = "idx\tthread\top\tclient_id\tn_objects\tbytes\tendpoint\tfile\terror\tstart\tfirst_byte\tend\tduration_ns\n"
_SECOND = 1_000_000_000
_LONGEST_ERROR = 500  # characters
_ANSWERED_WITH_CONTENT = ("GET", "LIST")  # the others have no first byte, as in warp
_ESCAPES = {"\t": "\\t", "\n": "\\n", "\r": "\\r", "\\": "\\\\", '"': "\\x22"}


@dataclass(slots=True)
class Row:
    """An operation under way, then ended. Moments are of the monotonic clock, in nanoseconds; `clock` is its start by
    the wall clock, so that a clock which is set meanwhile changes no duration.
    """

    op: str
    uri: str
    thread: int
    clock: int
    start: int
    endpoint: object = ""
    objects: int = 1
    size: int = 0
    first_byte: int | None = None
    end: int = 0
    error: str = ""

    def text(self, index: int, client: str) -> str:
        """Return the line, which ends in a newline and holds no other."""
        first = self.first_byte if self.op in _ANSWERED_WITH_CONTENT else None
        cells = (
            str(index),
            str(self.thread),
            self.op,
            client,
            str(self.objects),
            str(self.size),
            escaped(redact(str(self.endpoint))),
            escaped(redact(self.uri)),
            escaped(redact(self.error)[:_LONGEST_ERROR]),
            _moment(self.clock),
            "" if first is None else _moment(self.clock + first - self.start),
            _moment(self.clock + self.end - self.start),
            str(self.end - self.start),
        )
        return "\t".join(cells) + "\n"


def escaped(text: str) -> str:
    """Return the text without a tab, a line end, a quote or any other character that a terminal would obey."""
    if text.isprintable() and '"' not in text and "\\" not in text:
        return text
    return "".join([each if _is_plain(each) else _ESCAPES.get(each) or _code(each) for each in text])


def _is_plain(character: str) -> bool:
    return character.isprintable() and character not in '"\\'


def _code(character: str) -> str:
    number = ord(character)
    if number < 0x100:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


def _moment(nanoseconds: int) -> str:
    second, rest = divmod(nanoseconds, _SECOND)
    return f"{_second(second)}.{rest:09}Z"


@lru_cache(maxsize=8)
def _second(second: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
