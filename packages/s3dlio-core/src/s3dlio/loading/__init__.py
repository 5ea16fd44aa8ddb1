"""Loading: what every dataset shares, which is a listing, an epoch's order, shards of it, and reading ahead.

Nothing here knows a tensor.
"""

from s3dlio.loading.listing import Listing, list_samples
from s3dlio.loading.order import Order, Permutation
from s3dlio.loading.reader import read_ahead
from s3dlio.loading.shards import Shard

__all__ = ["Listing", "Order", "Permutation", "Shard", "list_samples", "read_ahead"]
