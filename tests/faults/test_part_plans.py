"""Which objects go out in parts: large ones, so that there is something to send side by side."""

import pytest

import s3dlio
from tests.faults.conftest import Serve
from tests.faults.processes import LARGE, URI, healthy

PARTS = 3  # of LARGE


@pytest.mark.parametrize(("count", "workers", "each"), [(1, 64, PARTS), (7, 64, PARTS), (8, 2, PARTS), (8, 64, 1)])
def test_objects_that_go_out_side_by_side_are_not_split_as_well(
    serve: Serve, count: int, workers: int, each: int
) -> None:
    with serve(healthy) as server:
        s3dlio.put_many([(f"{URI}{number}", LARGE) for number in range(count)], workers=workers)
    assert sum(request.method == "PUT" for request in server.asked) == count * each
