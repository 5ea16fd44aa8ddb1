"""What is printed: sizes, times and rates for people, and keys that cannot move a terminal's cursor.

A key may hold any character. In lines each one that does not print is escaped; only JSON and NUL-separated output
hold keys exactly.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable
from typing import Any

import click

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]i?)?B?", re.IGNORECASE)
_RAW_BYTE = range(0xDC80, 0xDD00)  # what os.fsdecode makes of a byte that is not UTF-8


def shown(text: str) -> str:
    """Return text for one line: characters that do not print are escaped as in Python."""
    return text if text.isprintable() else "".join(map(_escaped, text))


def _escaped(character: str) -> str:
    if character.isprintable():
        return character
    if ord(character) in _RAW_BYTE:
        return f"\\x{ord(character) & 0xFF:02x}"
    return character.encode("unicode_escape").decode()


def size(count: float, *, exact: bool = False) -> str:
    """Return a number of bytes in its unit, or exactly."""
    if exact:
        return f"{count:.0f}"
    unit = 0
    while count >= 1024 and unit < len(_UNITS) - 1:
        count, unit = count / 1024, unit + 1
    return f"{count:.1f} {_UNITS[unit]}" if unit else f"{count:.0f} B"


def date(modified: str) -> str:
    """Return an RFC 3339 time, which is UTC here, to the second and without its T."""
    return f"{modified[:10]} {modified[11:19]}Z" if modified else "-"


def objects(count: int) -> str:
    """Return a number of objects."""
    return f"{count:,} object{'' if count == 1 else 's'}"


def moved(count: int, bytes_: int, seconds: float) -> str:
    """Return what was moved in which time."""
    rate = f" ({size(bytes_ / seconds)}/s)" if bytes_ and seconds > 0 else ""
    return f"{objects(count)}, {size(bytes_)} in {seconds:.1f} s{rate}"


def write(lines: Iterable[str]) -> None:
    """Write lines to standard output, in one go."""
    text = "".join(f"{line}\n" for line in lines)
    sys.stdout.write(text)


def write_raw(data: bytes | memoryview) -> None:
    """Write all of some bytes to standard output, which writes less at once where Python is told not to buffer."""
    rest = memoryview(data)
    while rest:
        rest = rest[sys.stdout.buffer.write(rest) :]


def as_json(value: Any) -> str:
    """Return a value as one line of JSON in ASCII, which holds any key."""
    return json.dumps(value)


def size_of(text: str) -> int:
    """Return the bytes that a size says; K, KB and KiB are all 1024 bytes, and so on.

    Raises:
        click.BadParameter: it is no size.
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise click.BadParameter(f"{text!r} is no size: write 4096, 64KiB or 1.5GiB")
    power = " KMGT".index((match[2] or " ")[0].upper())
    return int(float(match[1]) * 1024**power)
