"""How the items of a distributed checkpoint are read: together where they lie together, and of one version."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import s3dlio
from s3dlio_compat.s3torchconnector import S3Client, S3Exception
from s3dlio_compat.s3torchconnector.dcp.reading import arriving, extents
from s3dlio_compat.s3torchconnector.uris import parse_s3_uri

KIB, MIB = 1 << 10, 1 << 20


def placed(*places: tuple[str, int, int]) -> tuple[list[Any], dict[Any, Any]]:
    """Return a plan's items, and where each is: file, offset, length."""
    items = [SimpleNamespace(storage_index=number) for number in range(len(places))]
    names = ("relative_path", "offset", "length")
    return items, {number: SimpleNamespace(**dict(zip(names, each, strict=True))) for number, each in enumerate(places)}


def ranges(*places: tuple[str, int, int]) -> list[tuple[str, int, int, int]]:
    return [(each.path, each.offset, each.length, len(each.items)) for each in extents(*placed(*places))]


def test_neighbours_in_a_file_are_one_request() -> None:
    assert ranges(("a", 0, KIB), ("a", KIB, KIB), ("a", 4 * KIB, KIB)) == [("a", 0, 5 * KIB, 3)]


def test_items_of_another_file_or_far_away_are_requests_of_their_own() -> None:
    assert ranges(("b", 0, KIB), ("a", 0, KIB), ("a", MIB, KIB)) == [
        ("a", 0, KIB, 1),
        ("a", MIB, KIB, 1),
        ("b", 0, KIB, 1),
    ]


def test_large_items_stay_alone() -> None:
    assert ranges(("a", 0, 16 * MIB), ("a", 16 * MIB, KIB)) == [("a", 0, 16 * MIB, 1), ("a", 16 * MIB, KIB, 1)]


@pytest.mark.parametrize("scheme", ["file", "s3"])
def test_a_file_that_is_replaced_while_it_is_read_is_an_error(
    request: pytest.FixtureRequest, tmp_path: Path, scheme: str
) -> None:
    uri = f"file://{tmp_path}/data" if scheme == "file" else request.getfixturevalue("moto_s3").uri("data")
    s3dlio.put(uri, bytes(100 * MIB))
    client = S3Client("us-east-1")
    items, storage = placed(*(("data", number * MIB, KIB) for number in range(100)))
    reading = arriving(extents(items, storage), lambda _: client.opened(*parse_s3_uri(uri)))
    next(reading)
    s3dlio.put(uri, b"1" * (100 * MIB))
    with pytest.raises(S3Exception, match="was replaced while it was read"):
        list(reading)
