"""Loading: what every dataset shares, which is a listing, an epoch's order, shards of it, and reading ahead.

Nothing here knows a tensor.
"""

from s3dlio.loading.cursor import Cursor, Start, State, opened, together
from s3dlio.loading.decoding import Format
from s3dlio.loading.expecting import Expectation
from s3dlio.loading.generic import ObjectDataset, ObjectLoader, create_async_loader, create_dataset
from s3dlio.loading.listing import Listing, list_samples
from s3dlio.loading.options import PyLoaderOptions
from s3dlio.loading.order import Order, Permutation
from s3dlio.loading.progress import Progress
from s3dlio.loading.reading import Limits, Objects, Table
from s3dlio.loading.records import Records
from s3dlio.loading.shards import Deal, Shard, Uneven
from s3dlio.loading.slabs import Rows, get_together
from s3dlio.loading.stream import OnError, Plan, Stream, prefetch_of, skipped
from s3dlio.loading.tables import load_manifest, save_manifest, table_of
from s3dlio.loading.tally import LoadStats, Tally

__all__ = [
    "Cursor",
    "Deal",
    "Expectation",
    "Format",
    "Limits",
    "Listing",
    "LoadStats",
    "ObjectDataset",
    "ObjectLoader",
    "Objects",
    "OnError",
    "Order",
    "Permutation",
    "Plan",
    "Progress",
    "PyLoaderOptions",
    "Records",
    "Rows",
    "Shard",
    "Start",
    "State",
    "Stream",
    "Table",
    "Tally",
    "Uneven",
    "create_async_loader",
    "create_dataset",
    "get_together",
    "list_samples",
    "load_manifest",
    "opened",
    "prefetch_of",
    "save_manifest",
    "skipped",
    "table_of",
    "together",
]
