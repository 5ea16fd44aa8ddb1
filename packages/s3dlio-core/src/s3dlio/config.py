"""Settings: the one reader of the environment.

The environment is read when `current` is first asked, or asked again after `reset`; `configure` wins over it. What
botocore reads of the AWS variables and files it reads itself.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from types import NoneType
from typing import Any

_MIB = 1 << 20
ETAG_MD5 = "etag-md5"
"""The `verify` that also takes a plain ETag for the MD5 of its object."""
_ACCOUNT = re.compile("[0-9]{12}").fullmatch


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
    verify: bool | str = True
    anonymous: bool = False
    request_payer: bool = False
    expected_bucket_owner: str | None = None
    debug_buffers: bool = False
    region: str | None = None
    profile: str | None = None
    endpoint_url: str | None = None
    path_style: bool = False
    ca_bundle: str | None = None
    proxy: str | None = field(default=None, repr=False)
    http_proxy: str | None = field(default=None, repr=False)
    https_proxy: str | None = field(default=None, repr=False)
    no_proxy: str | None = None

    def __post_init__(self) -> None:
        """Refuse what is no setting at all.

        Raises:
            TypeError: a value of another type than the setting has.
            ValueError: a number that is too small.
        """
        for name, (kinds, least) in _KINDS.items():
            value: Any = getattr(self, name)
            if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
                wanted = " or ".join("None" if kind is NoneType else kind.__name__ for kind in kinds)
                shown = type(value).__name__ if name in _SECRET else repr(value)
                raise TypeError(f"{name} must be {wanted}, not {shown}")
            if least is not None and getattr(self, name) < least:
                raise ValueError(f"{name} must be {least} or more, not {value}")
        if isinstance(self.verify, str) and self.verify != ETAG_MD5:
            raise ValueError(f"verify must be True, False or {ETAG_MD5!r}, not {self.verify!r}")
        owner = self.expected_bucket_owner
        if owner is not None and not _ACCOUNT(owner):
            raise ValueError(f"expected_bucket_owner must be the 12 digits of an AWS account, not {owner!r}")


@dataclass(frozen=True, slots=True)
class Account:
    """Whose storage is meant where that is not the process's own: settings of one store in place of those in force."""

    region: str | None = None
    endpoint_url: str | None = None
    profile: str | None = None
    anonymous: bool | None = None
    request_payer: bool | None = None
    path_style: bool | None = None
    part_size: int | None = None
    max_attempts: int | None = None

    def over(self, settings: Settings) -> Settings:
        """Return the settings with these in their place."""
        chosen = {each.name: getattr(self, each.name) for each in fields(self)}
        return replace(settings, **{name: value for name, value in chosen.items() if value is not None})


def _flag(text: str) -> bool:
    word = text.strip().lower()
    if word in ("1", "true", "yes", "on"):
        return True
    if word in ("0", "false", "no", "off"):
        return False
    raise ValueError("must be 1 or 0")


def _verification(text: str) -> bool | str:
    word = text.strip().lower()
    return word if word == ETAG_MD5 else _flag(text)


_TEXT: tuple[tuple[type, ...], None] = ((str, NoneType), None)
# What each setting may be, and the least of the numbers.
_KINDS: Mapping[str, tuple[tuple[type, ...], float | None]] = {
    "worker_threads": ((int,), 1),
    "part_size": ((int,), 5 * _MIB),
    "max_in_flight_bytes": ((int,), _MIB),
    "max_attempts": ((int,), 1),
    "connect_timeout": ((int, float), 0.001),
    "first_byte_timeout": ((int, float), 0.001),
    "progress_bytes": ((int,), 0),
    "progress_window": ((int, float), 0.001),
    "unsigned_payload": ((bool, NoneType), None),
    "verify": ((bool, str), None),
    "anonymous": ((bool,), None),
    "request_payer": ((bool,), None),
    "expected_bucket_owner": _TEXT,
    "debug_buffers": ((bool,), None),
    "region": _TEXT,
    "profile": _TEXT,
    "endpoint_url": _TEXT,
    "path_style": ((bool,), None),
    "ca_bundle": _TEXT,
    "proxy": _TEXT,
    "http_proxy": _TEXT,
    "https_proxy": _TEXT,
    "no_proxy": _TEXT,
}
_SECRET = ("proxy", "http_proxy", "https_proxy")  # a proxy's URL may hold a password
_VARIABLES: Mapping[str, tuple[tuple[str, ...], Callable[[str], Any]]] = {
    "worker_threads": (("S3DLIO_WORKER_THREADS",), int),
    "part_size": (("S3DLIO_PART_SIZE",), int),
    "max_in_flight_bytes": (("S3DLIO_MAX_IN_FLIGHT_BYTES",), int),
    "max_attempts": (("S3DLIO_MAX_ATTEMPTS",), int),
    "connect_timeout": (("S3DLIO_CONNECT_TIMEOUT",), float),
    "unsigned_payload": (("S3DLIO_UNSIGNED_PAYLOAD",), _flag),
    "verify": (("S3DLIO_VERIFY",), _verification),
    "debug_buffers": (("S3DLIO_DEBUG_BUFFERS",), _flag),
    "anonymous": (("S3DLIO_ANONYMOUS",), _flag),
    "region": (("AWS_REGION", "AWS_DEFAULT_REGION"), str),
    "ca_bundle": (("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"), str),
    "http_proxy": (("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"), str),
    "https_proxy": (("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"), str),
    "no_proxy": (("no_proxy", "NO_PROXY"), str),
}


def from_environment(environment: Mapping[str, str]) -> Settings:
    """Read the settings from a mapping of environment variables.

    Raises:
        ValueError: a variable holds a value that it cannot take; the message names it.
    """
    found: dict[str, Any] = {}
    if "REQUEST_METHOD" in environment:  # in a CGI program, HTTP_PROXY is the Proxy field of somebody's request
        environment = {name: value for name, value in environment.items() if name != "HTTP_PROXY"}
    for name, (variables, convert) in _VARIABLES.items():
        variable = next((each for each in variables if environment.get(each)), None)
        if variable is None:
            continue
        try:
            found[name] = convert(environment[variable])
            Settings(**{name: found[name]})
        except ValueError as problem:
            raise ValueError(f"{variable}={environment[variable]!r} in the environment: {problem}") from None
    return Settings(**found)


_lock = threading.Lock()
_current: Settings | None = None
_followers: list[Callable[[Settings], object]] = []


def follow(call: Callable[[Settings], object]) -> None:
    """Call with the settings in force, if they have been read, and with those that come into force later."""
    _followers.append(call)
    if _current is not None:
        call(_current)


def _tell(settings: Settings) -> Settings:
    for call in _followers:
        call(settings)
    return settings


def current() -> Settings:
    """Return the settings in force."""
    global _current
    if _current is None:
        with _lock:
            _current = _current or _tell(from_environment(os.environ))
    return _current


def change(**values: Any) -> None:
    """Replace some settings of those in force.

    Raises:
        TypeError: a name that is not a setting, or a value of another type.
        ValueError: a number that is too small.
    """
    global _current
    known = {each.name for each in fields(Settings)}
    unknown = sorted(set(values) - known)
    if unknown:
        raise TypeError(f"unknown setting {', '.join(unknown)}: the settings are {', '.join(sorted(known))}")
    base = current()
    with _lock:
        _current = _tell(replace(base, **values))


def forget() -> None:
    """Read the environment anew when the settings are next asked for."""
    global _current
    _current = None


def after_fork() -> None:
    """Give the child of a fork a lock of its own."""
    global _lock
    _lock = threading.Lock()
