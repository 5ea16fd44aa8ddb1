"""The stores of this process: one for each scheme and endpoint, made on first use, anew after a fork."""

from __future__ import annotations

import os
import threading
from importlib import import_module
from typing import TYPE_CHECKING, TypeVar

from s3dlio import config, workers
from s3dlio.config import Account
from s3dlio.errors import InvalidUriError

if TYPE_CHECKING:
    from s3dlio.stores.store import Store
    from s3dlio.uri import Uri

K = TypeVar("K")

_OPENERS = {
    "s3": ("s3dlio.stores.opening", "open_s3"),
    "file": ("s3dlio.stores.opening", "open_file"),
    "direct": ("s3dlio.stores.opening", "open_direct"),
}

_lock = threading.Lock()
_stores: dict[str, Store] = {}  # of the settings in force, by scheme
_others: dict[tuple[str, Account], Store] = {}
_watching = False


def store_for(uri: Uri, account: Account | None = None) -> Store:
    """Return the store of a URI's scheme, of the settings in force or of an account.

    Raises:
        InvalidUriError: this version has no store for the scheme.
    """
    if account is None:
        store = _stores.get(uri.scheme)
        return store if store is not None else _open(uri.scheme, _stores, uri.scheme, Account())
    key = uri.scheme, account
    store = _others.get(key)
    return store if store is not None else _open(uri.scheme, _others, key, account)


def _open(scheme: str, stores: dict[K, Store], key: K, account: Account) -> Store:
    opener = _OPENERS.get(scheme)
    if opener is None:
        known = ", ".join(f"{each}://" for each in _OPENERS)
        raise InvalidUriError(f"{scheme}:// is not supported by this version: it stores on {known}")
    make = getattr(import_module(opener[0]), opener[1])
    with _lock:
        _watch_forks()
        if key not in stores:
            stores[key] = make(config.current(), account)
        return stores[key]


def forget() -> None:
    """Close idle connections and make every store anew on its next use, with the settings of then."""
    with _lock:
        stores = [*_stores.values(), *_others.values()]
        _stores.clear()
        _others.clear()
    for store in stores:
        store.close()
    if any(not store.blocking for store in stores):
        import_module("s3dlio.http.background").drop_idle()


def _watch_forks() -> None:
    global _watching
    if not _watching:
        _watching = True
        os.register_at_fork(after_in_child=_after_fork)


def _after_fork() -> None:
    """Start over in the child: the parent's threads are not here, and its connections are the parent's to use."""
    global _lock, _stores, _others
    stores = [*_stores.values(), *_others.values()]
    _stores, _others = {}, {}
    _lock = threading.Lock()
    config.after_fork()
    workers.after_fork()
    for store in stores:
        store.close()
    if any(not store.blocking for store in stores):
        import_module("s3dlio.http.background").after_fork()
