"""The reader: samples of a listing, in order, fetched ahead of whoever consumes them.

What is fetched ahead is bounded by objects and by bytes. An error of a sample is raised at that sample's
turn, and closing or dropping the iterator stops the fetching.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator

import numpy as np

from s3dlio import config, verbs
from s3dlio.buffer import BytesView
from s3dlio.loading.listing import Listing
from s3dlio.loading.order import Order
from s3dlio.loading.shards import Shard

_CHUNK = 4096  # positions looked up at once: a vectorised lookup costs as much for one as for hundreds


def uris_in_order(listing: Listing, order: Order, epoch: int, positions: range) -> Iterator[str]:
    """Yield the URIs of the samples at these positions of an epoch."""
    for first in range(0, len(positions), _CHUNK):
        chunk = positions[first : first + _CHUNK]
        for index in order.indices(epoch, np.arange(chunk.start, chunk.stop, chunk.step)):
            yield listing[int(index)]


def read_ahead(
    listing: Listing, order: Order, *, epoch: int = 0, start: int = 0, shard: Shard, prefetch: int
) -> Generator[tuple[str, BytesView]]:
    """Yield URI and bytes of each sample of a shard, from global position `start` of an epoch on.

    At most `prefetch` objects are fetched or waiting at a time. The bytes that all workers of a rank may hold
    are the setting `max_in_flight_bytes`, of which each takes its share.

    Raises:
        S3dlioError: a sample could not be read; it names the URI. An epoch never ends short.
    """
    positions = shard.positions(len(listing), start)
    share = config.current().max_in_flight_bytes // shard.workers
    wanted = uris_in_order(listing, order, epoch, positions)
    named = uris_in_order(listing, order, epoch, positions)
    arriving = verbs.iter_many(wanted, workers=prefetch, ordered=True, max_bytes=share)
    for uri, (_, data) in zip(named, arriving, strict=True):
        yield uri, data
