"""Streams over tables of records, for the tests of both: what they bring, and what they ask for."""

from contextlib import closing
from itertools import islice

from s3dlio.loading import Plan, Shard, Start, Stream, Table, Tally, list_samples, table_of
from tests.core.loading.shards import Kind
from tests.core.oplog_lines import Log


def table(root: str, kind: Kind) -> Table:
    return table_of(list_samples(root), kind.decode)


def stream(table: Table, plan: Plan | None = None, shard: Shard | None = None, start: Start | None = None) -> Stream:
    plan = plan or Plan()
    start = start or Start(table.order(plan.shuffle, plan.seed))
    return Stream(table, plan, start, shard or Shard(), Tally())


def indices(stream: Stream, count: int | None = None) -> list[int]:
    """Take samples, all of them if no number is given; return their indices."""
    with closing(stream.samples()) as samples:
        return [index for index, _ in islice(samples, count)]


def gets(log: Log) -> list[dict[str, str]]:
    return [line for line in log.finished() if line["op"] == "GET"]
