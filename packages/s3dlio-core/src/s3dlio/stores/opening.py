"""How each scheme's store is put together from the settings; its modules are imported only when it is needed."""

from __future__ import annotations

import os
import weakref
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from s3dlio.auth.aws import Chain
    from s3dlio.config import Settings
    from s3dlio.stores.store import Store


def open_s3(settings: Settings) -> Store:
    """Make the store of `s3://`: credentials, region and endpoint from botocore's chain unless set."""
    from s3dlio.auth.aws import Chain
    from s3dlio.http.pool import pool_of
    from s3dlio.stores.s3 import S3Store
    from s3dlio.stores.s3service import S3Service

    chain = Chain(settings.profile, settings.region, settings.endpoint_url)
    _hand_down(settings, chain)
    pool = pool_of(settings)
    service = S3Service(
        chain,
        unsigned_payload=settings.unsigned_payload,
        anonymous=settings.anonymous,
        request_payer=settings.request_payer,
        expected_bucket_owner=settings.expected_bucket_owner,
    )
    return S3Store(service, pool, part_size=settings.part_size, attempts=settings.max_attempts, verify=settings.verify)


def open_file(settings: Settings) -> Store:
    """Make the store of `file://`."""
    from s3dlio.stores.local import LocalStore

    return LocalStore()


def open_direct(settings: Settings) -> Store:
    """Make the store of `direct://`."""
    from s3dlio.stores.direct import DirectStore

    return DirectStore()


_last: tuple[Settings, weakref.ref[Chain]] | None = None
_held: Chain | None = None


def _hand_down(settings: Settings, chain: Chain) -> None:
    """Give a chain what the one for the very same settings had found: in the child of a fork, that is the parent's."""
    global _last
    if _last is None:
        os.register_at_fork(before=_hold, after_in_parent=_let_go)
    elif _last[0] is settings and (parent := _last[1]()) is not None:
        chain.inherit(parent)
    _last = settings, weakref.ref(chain)
    _let_go()


def _hold() -> None:
    """Keep the chain for the child, where its store goes at once."""
    global _held
    _held = _last[1]() if _last is not None else None


def _let_go() -> None:
    global _held
    _held = None
