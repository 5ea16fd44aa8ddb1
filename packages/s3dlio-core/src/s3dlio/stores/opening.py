"""How each scheme's store is put together from the settings; its modules are imported only when it is needed."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from s3dlio.config import Settings
    from s3dlio.stores.store import Store


def open_s3(settings: Settings) -> Store:
    """Make the store of `s3://`: credentials, region and endpoint from botocore's chain unless set."""
    from s3dlio.auth.aws import Chain
    from s3dlio.http.patience import Pace
    from s3dlio.http.pool import Pool
    from s3dlio.stores.s3 import S3Store
    from s3dlio.stores.s3service import S3Service

    chain = Chain(settings.profile, settings.region, settings.endpoint_url)
    pace = Pace(settings.first_byte_timeout, settings.progress_bytes, settings.progress_window)
    pool = Pool(connect_timeout=settings.connect_timeout, ca_bundle=settings.ca_bundle, pace=pace)
    service = S3Service(chain, unsigned_payload=settings.unsigned_payload)
    return S3Store(service, pool, part_size=settings.part_size, attempts=settings.max_attempts, verify=settings.verify)


def open_file(settings: Settings) -> Store:
    """Make the store of `file://`."""
    from s3dlio.stores.local import LocalStore

    return LocalStore()


def open_direct(settings: Settings) -> Store:
    """Make the store of `direct://`."""
    from s3dlio.stores.direct import DirectStore

    return DirectStore()
