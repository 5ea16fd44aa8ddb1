"""Reads of objects that are not what the first answer made one expect: shorter meanwhile, or stored encoded."""

import gzip
import os
from collections.abc import Iterable

import pytest

import s3dlio
from tests.faults.conftest import Get, Serve
from tests.servers.environment import S3Bucket
from tests.servers.scripted import Asked, part

MIB = 1 << 20
SMALL = os.urandom(5000)
LARGE = os.urandom(20 * MIB)
URI = "s3://bucket/key"


def test_H11_an_object_that_shrinks_while_it_is_read_is_read_anew(serve: Serve, get: Get) -> None:
    def script(request: Asked) -> Iterable[bytes]:
        if request.number == 0:
            return [part(request, LARGE)]
        return [part(request, SMALL, ETag='"two"')]

    with serve(script):
        assert get(URI) == SMALL


@pytest.mark.parametrize("content", [SMALL, LARGE], ids=["small", "split"])
def test_H18_an_encoded_object_comes_as_it_is_stored_in_every_part(serve: Serve, get: Get, content: bytes) -> None:
    stored = gzip.compress(content, 1)
    with serve(lambda request: [part(request, stored, Content_Encoding="gzip")]) as server:
        assert get(URI) == stored
        assert {each.fields["accept-encoding"] for each in server.asked} == {"identity"}


def test_H18_real_services_give_an_encoded_object_as_it_is_stored(s3: S3Bucket) -> None:
    stored = gzip.compress(SMALL)
    s3.client.put_object(Bucket=s3.bucket, Key="object", Body=stored, ContentEncoding="gzip")
    assert s3dlio.get(s3.uri("object")) == stored
    assert s3dlio.get_range(s3.uri("object"), 3, 20) == stored[3:23]
