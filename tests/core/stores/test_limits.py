"""How large the parts of an object are, decided before the first of them is sent (W5)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3dlio.errors import S3dlioError
from s3dlio.stores.store import Limits
from s3dlio.uri import Uri

MIB, GIB = 1 << 20, 1 << 30
URI = Uri("s3", "bucket", "key")
LARGEST = 10_000 * 5 * GIB  # "Maximum object size" of the service's guide


@given(st.integers(0, LARGEST), st.integers(5 * MIB, 6 * GIB))
def test_W5_every_object_that_fits_has_parts_that_the_service_takes(size: int, wanted: int) -> None:
    part = Limits(part_size=wanted).part_for(URI, size)
    assert 5 * MIB <= part <= 5 * GIB
    assert -(-size // part) <= 10_000
    assert part >= min(wanted, 5 * GIB)


@given(st.integers(0, 10_000), st.integers(5 * MIB, GIB))
def test_W5_parts_are_as_large_as_wanted_where_that_is_enough(count: int, wanted: int) -> None:
    assert Limits(part_size=wanted).part_for(URI, count * wanted) == wanted


@pytest.mark.parametrize("size", [LARGEST, LARGEST - 1, 9_999 * 5 * GIB + 1])
def test_W5_the_largest_objects_have_the_largest_parts(size: int) -> None:
    assert Limits(part_size=8 * MIB).part_for(URI, size) == 5 * GIB


def test_W5_what_no_object_can_hold_is_refused_by_name_and_size() -> None:
    with pytest.raises(S3dlioError, match=str(LARGEST + 1)) as caught:
        Limits(part_size=8 * MIB).part_for(URI, LARGEST + 1)
    assert caught.value.uri == "s3://bucket/key"


def test_W5_parts_below_the_least_are_made_as_large_as_that() -> None:
    assert Limits(part_size=1).part_for(URI, 10) == 5 * MIB
