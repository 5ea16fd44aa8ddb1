"""How each scheme's store is put together from the settings; its modules are imported only when it is needed."""

from __future__ import annotations

import os
import weakref
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from s3dlio.auth.aws import Chain
    from s3dlio.config import Account, Settings
    from s3dlio.stores.store import Store


def open_s3(base: Settings, account: Account) -> Store:
    """Make the store of `s3://`: credentials, region and endpoint from botocore's chain unless set."""
    from s3dlio.auth.aws import Chain
    from s3dlio.http.pool import pool_of
    from s3dlio.stores.s3 import S3Store
    from s3dlio.stores.s3service import S3Service

    settings = account.over(base)
    chain = Chain(settings.profile, settings.region, settings.endpoint_url)
    _hand_down(base, account, chain)
    pool = pool_of(settings)
    service = S3Service(
        chain,
        unsigned_payload=settings.unsigned_payload,
        anonymous=settings.anonymous,
        request_payer=settings.request_payer,
        expected_bucket_owner=settings.expected_bucket_owner,
        path_style=settings.path_style,
    )
    return S3Store(service, pool, part_size=settings.part_size, attempts=settings.max_attempts, verify=settings.verify)


def open_file(base: Settings, account: Account) -> Store:
    """Make the store of `file://`."""
    from s3dlio.stores.local import LocalStore

    return LocalStore()


def open_direct(base: Settings, account: Account) -> Store:
    """Make the store of `direct://`."""
    from s3dlio.stores.direct import DirectStore

    return DirectStore()


_chains: dict[Account, tuple[Settings, weakref.ref[Chain]]] = {}
_held: list[Chain | None] = []


def _hand_down(base: Settings, account: Account, chain: Chain) -> None:
    """Give a chain what the one for the very same settings had found: in the child of a fork, that is the parent's."""
    if not _chains:
        os.register_at_fork(before=_hold, after_in_parent=_held.clear)
    settings, known = _chains.get(account, (None, None))
    parent = known() if known is not None else None
    if parent is not None and settings is base:
        chain.inherit(parent)
    _chains[account] = base, weakref.ref(chain)
    if parent in _held:
        _held.remove(parent)


def _hold() -> None:
    """Keep the chains for the child, where their stores go at once."""
    _held[:] = [chain() for _, chain in _chains.values()]
