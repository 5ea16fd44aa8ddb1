"""URIs: scheme, container and key, parsed by hand.

A key is opaque. After the container every byte belongs to it: `?`, `#`, `%`, `..` and `//` mean nothing here.
"""

from __future__ import annotations

import os
from functools import lru_cache
from typing import NamedTuple

from s3dlio.errors import InvalidUriError

LOCAL_SCHEMES = ("file", "direct")
_ALIASES = {"gcs": "gs", "azure": "az"}
_CONTAINER_PARTS = {"s3": 1, "gs": 1, "az": 2, "file": 0, "direct": 0}
_MAX_KEY_BYTES = 1024
_ODD_CONTAINER = "no container's name holds a space, a backslash, an @ or a control character"


class Uri(NamedTuple):
    """A place in storage. `container` is a bucket, `account/container` on `az://`, and empty for local files.

    The key of a local file is its absolute path.
    """

    scheme: str
    container: str
    key: str

    def __str__(self) -> str:
        """Return the URI as text; parsing it gives this value again."""
        return f"{self.root}{self.key}"

    @property
    def root(self) -> str:
        """The URI of the container, with what separates it from a key."""
        return f"{self.scheme}://{self.container}/" if self.container else f"{self.scheme}://"

    @property
    def is_local(self) -> bool:
        """Whether this names a file of this machine."""
        return self.scheme in LOCAL_SCHEMES


def parse(text: object) -> Uri:
    """Split a URI into scheme, container and key.

    Raises:
        TypeError: `text` is not a str.
        InvalidUriError: no scheme, an unknown scheme, no container, or a key that cannot be sent.
    """
    if not isinstance(text, str):
        raise TypeError(f"a URI must be a str such as 's3://bucket/key', not {type(text).__name__}: {text!r:.200}")
    scheme, separator, rest = text.partition("://")
    if not separator:
        raise InvalidUriError(_no_scheme(text), text)
    scheme = _ALIASES.get(scheme, scheme)
    parts = _CONTAINER_PARTS.get(scheme)
    if parts is None:
        shown = _without_user(text)
        raise InvalidUriError(f"unknown scheme {scheme!r} in {shown!r}: use s3, gs, az, file or direct", shown)
    if parts == 0:
        return Uri(scheme, "", _path(text, rest))
    return _object(text, scheme, rest, parts)


def parse_key(text: object) -> Uri:
    """Parse a URI that must name one object: as `parse`, and the key may not be empty."""
    uri = parse(text)
    if not uri.key:
        raise InvalidUriError(f"{text!r} names a container, not an object: add a key after it", str(text))
    return uri


def _object(text: str, scheme: str, rest: str, parts: int) -> Uri:
    if parts == 1:
        container, _, key = rest.partition("/")
    else:
        account, _, rest = rest.partition("/")
        name, _, key = rest.partition("/")
        container = f"{account}/{name}" if account and name else ""
    _check_container(scheme, container)
    if not key.isascii() or len(key) > _MAX_KEY_BYTES or "\0" in key:
        _check_key(text, key)
    return Uri(scheme, container, key)


@lru_cache(maxsize=1024)
def _check_container(scheme: str, container: str) -> None:
    if not container:
        wanted = "az://account/container/key" if scheme == "az" else f"{scheme}://bucket/key"
        raise InvalidUriError(f"the URI names no container: write {wanted}", f"{scheme}://")
    if not container.isprintable() or any(each in container for each in "@\\ "):
        shown = _without_user(f"{scheme}://{container}/")
        raise InvalidUriError(f"{shown!r} cannot be: {_ODD_CONTAINER}", shown)


def _check_key(text: str, key: str) -> None:
    if key.isascii():
        length = len(key)
    else:
        try:
            length = len(key.encode())
        except UnicodeEncodeError:
            length = -1  # raised out here: the cause would hold the whole key
    if length < 0:
        raise InvalidUriError(f"the key of {text!r} is not valid Unicode: it holds a lone surrogate", None)
    if length > _MAX_KEY_BYTES:
        raise InvalidUriError(
            f"the key is {length} bytes long, at most {_MAX_KEY_BYTES} can be stored: {text[:80]!r}…", text
        )
    if "\0" in key:
        raise InvalidUriError(f"the key of {text!r} holds a NUL character, which no backend stores", text)


def _without_user(text: str) -> str:
    """Return a URI as errors show it: what stands before an `@` of its authority may be a password."""
    scheme, separator, rest = text.partition("://")
    authority, slash, path = rest.partition("/")
    return f"{scheme}{separator}***@{authority.rpartition('@')[2]}{slash}{path}" if "@" in authority else text


def _path(text: str, rest: str) -> str:
    if not rest.startswith("/"):
        raise InvalidUriError(f"{text!r} has no absolute path: write file:///{rest} with three slashes", text)
    if "\0" in rest:
        raise InvalidUriError(f"the path of {text!r} holds a NUL character", text)
    return rest


def _no_scheme(text: str) -> str:
    shown = text[:200]
    if not text:
        return "the URI is empty: write s3://bucket/key or file:///path"
    if text.startswith("/"):
        return f"{shown!r} is a path, not a URI: write file://{shown}"
    return f"{shown!r} has no scheme: write s3://bucket/key, or file:///absolute/path for a local file"


def local_path(value: str | os.PathLike[str]) -> str:
    """Return the absolute path that a path, a `pathlib.Path` or a `file://` URI names.

    Raises:
        TypeError: neither str nor path.
        InvalidUriError: a URI of a scheme that is not local.
    """
    text = os.fspath(value)
    if "://" not in text:
        return os.path.abspath(text)
    uri = parse(text)
    if not uri.is_local:
        raise InvalidUriError(f"{text!r} is not a local place: give a path or a file:// URI", text)
    return uri.key
