"""Settings: the one reader of the environment.

The environment is read when `current` is first asked, or asked again after `reset`; `configure` wins over it. What
botocore reads of the AWS variables and files it reads itself.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

_MIB = 1 << 20


def _threads() -> int:
    return min(32, 8 * (os.cpu_count() or 1))


def _in_flight() -> int:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min(1 << 30, memory // 4)


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that can be set, with its default. Sizes are in bytes, times in seconds."""

    worker_threads: int = field(default_factory=_threads)
    part_size: int = 8 * _MIB
    max_in_flight_bytes: int = field(default_factory=_in_flight)
    max_attempts: int = 5
    connect_timeout: float = 5.0
    first_byte_timeout: float = 20.0
    progress_bytes: int = 64 << 10
    progress_window: float = 10.0
    unsigned_payload: bool | None = None
    verify: bool = True
    region: str | None = None
    profile: str | None = None
    endpoint_url: str | None = None
    ca_bundle: str | None = None


def _number(kind: type[int] | type[float], least: float) -> Callable[[str], Any]:
    def convert(text: str) -> int | float:
        value = kind(text)
        if value < least:
            raise ValueError(f"must be {least} or more")
        return value

    return convert


def _flag(text: str) -> bool:
    word = text.strip().lower()
    if word in ("1", "true", "yes", "on"):
        return True
    if word in ("0", "false", "no", "off"):
        return False
    raise ValueError("must be 1 or 0")


_VARIABLES: Mapping[str, tuple[tuple[str, ...], Callable[[str], Any]]] = {
    "worker_threads": (("S3DLIO_WORKER_THREADS",), _number(int, 1)),
    "part_size": (("S3DLIO_PART_SIZE",), _number(int, 5 * _MIB)),
    "max_in_flight_bytes": (("S3DLIO_MAX_IN_FLIGHT_BYTES",), _number(int, _MIB)),
    "max_attempts": (("S3DLIO_MAX_ATTEMPTS",), _number(int, 1)),
    "connect_timeout": (("S3DLIO_CONNECT_TIMEOUT",), _number(float, 0.001)),
    "unsigned_payload": (("S3DLIO_UNSIGNED_PAYLOAD",), _flag),
    "verify": (("S3DLIO_VERIFY",), _flag),
    "region": (("AWS_REGION", "AWS_DEFAULT_REGION"), str),
    "ca_bundle": (("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"), str),
}


def from_environment(environment: Mapping[str, str]) -> Settings:
    """Read the settings from a mapping of environment variables.

    Raises:
        ValueError: a variable holds a value that it cannot take; the message names it.
    """
    found: dict[str, Any] = {}
    for name, (variables, convert) in _VARIABLES.items():
        variable = next((each for each in variables if environment.get(each)), None)
        if variable is None:
            continue
        try:
            found[name] = convert(environment[variable])
        except ValueError as problem:
            raise ValueError(f"{variable}={environment[variable]!r} in the environment: {problem}") from None
    return Settings(**found)


_lock = threading.Lock()
_current: Settings | None = None


def current() -> Settings:
    """Return the settings in force."""
    global _current
    if _current is None:
        with _lock:
            _current = _current or from_environment(os.environ)
    return _current


def change(**values: Any) -> None:
    """Replace some settings of those in force.

    Raises:
        TypeError: a name that is not a setting.
    """
    global _current
    known = {each.name for each in fields(Settings)}
    unknown = sorted(set(values) - known)
    if unknown:
        raise TypeError(f"unknown setting {', '.join(unknown)}: the settings are {', '.join(sorted(known))}")
    base = current()
    with _lock:
        _current = replace(base, **values)


def forget() -> None:
    """Read the environment anew when the settings are next asked for."""
    global _current
    _current = None


def after_fork() -> None:
    """Give the child of a fork a lock of its own."""
    global _lock
    _lock = threading.Lock()
