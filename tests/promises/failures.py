"""Errors: of the kind that a Python user would catch, naming the URI, and arguments refused before any I/O."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import pytest

import s3dlio
from s3dlio.errors import InvalidUriError, NotFoundError, S3dlioError
from tests.promises.place import Place

BAD_URIS = {
    "nothing": "",
    "a path": "/tmp/object",
    "a word": "object",
    "unknown scheme": "ftp://host/object",
    "upper case": "S3://bucket/key",
    "no container": "s3:///key",
    "no account": "az://account",
    "relative": "file://relative/path",
    "NUL": "s3://bucket/a\0b",
    "NUL in a path": "file:///tmp/a\0b",
    "lone surrogate": "s3://bucket/\ud800",
    "too long": "s3://bucket/" + "x" * 1025,
    "user name": "s3://user:password@bucket/key",
    "line end": "s3://buc\r\nket/key",
}
NO_URIS: list[Any] = [None, 5, b"s3://bucket/key", ["s3://bucket/key"]]


def drained(uri: Any) -> list[str]:
    """Take the first of a streamed listing."""
    return list(s3dlio.list_iter(uri))


def deprecated(uri: Any) -> list[str]:
    """List with the deprecated verb."""
    with pytest.warns(DeprecationWarning, match="list_objects"):
        return s3dlio.list_objects(uri)


CALLS: dict[str, Callable[[Any], object]] = {
    "put": lambda uri: s3dlio.put(uri, b""),
    "put_bytes": lambda uri: s3dlio.put_bytes(uri, b""),
    "put_many": lambda uri: s3dlio.put_many([(uri, b"")]),
    "get": s3dlio.get,
    "get_object": s3dlio.get_object,
    "get_range": lambda uri: s3dlio.get_range(uri, 0),
    "get_into": lambda uri: s3dlio.get_into(uri, bytearray(1)),
    "get_many": lambda uri: s3dlio.get_many([uri]),
    "iter_many": lambda uri: list(s3dlio.iter_many([uri])),
    "list": s3dlio.list,
    "list_iter": drained,
    "list_keys": s3dlio.list_keys,
    "list_full_uris": s3dlio.list_full_uris,
    "list_objects": deprecated,
    "stat": s3dlio.stat,
    "stat_object": s3dlio.stat_object,
    "stat_many": lambda uri: s3dlio.stat_many([uri]),
    "get_many_stats": lambda uri: s3dlio.get_many_stats([uri]),
    "exists": s3dlio.exists,
    "delete": s3dlio.delete,
    "delete all": lambda uri: s3dlio.delete(uri, recursive=True),
    "mkdir": s3dlio.mkdir,
    "copy from": lambda uri: s3dlio.copy(uri, f"{uri}-copy"),
    "copy to": lambda uri: s3dlio.copy("s3://bucket/key", uri),
    "mp_get": lambda uri: s3dlio.mp_get(uri, procs=1, num=1),
}


class Failures(Place):
    """What goes wrong, and how it says so."""

    @pytest.mark.parametrize("call", CALLS)
    def test_a_bad_uri_is_refused_by_every_verb(self, call: str) -> None:
        for uri in BAD_URIS.values():
            with pytest.raises(InvalidUriError) as caught:
                CALLS[call](uri)
            assert isinstance(caught.value, ValueError)
            assert "password" not in str(caught.value)

    @pytest.mark.parametrize("call", CALLS)
    def test_what_is_no_uri_is_a_type_error_of_every_verb(self, call: str) -> None:
        for uri in NO_URIS:
            with pytest.raises(TypeError, match="URI must be a str"):
                CALLS[call](uri)

    def test_a_path_is_told_to_be_written_as_a_uri(self) -> None:
        with pytest.raises(InvalidUriError, match="file:///tmp/object"):
            s3dlio.get("/tmp/object")

    @pytest.mark.parametrize(
        "call", ["get", "get_range", "get_into", "get_many", "iter_many", "stat", "stat_many", "copy from"]
    )
    def test_a_missing_object_is_a_file_not_found_error_with_its_uri(self, call: str) -> None:
        uri = self.uri("missing é+%41")
        with pytest.raises(NotFoundError) as caught:
            CALLS[call](uri)
        error = caught.value
        assert isinstance(error, S3dlioError)
        assert isinstance(error, FileNotFoundError)
        assert isinstance(error, RuntimeError)
        assert error.uri == uri
        assert uri in str(error)

    def test_an_error_pickles_with_all_it_says(self) -> None:
        with pytest.raises(NotFoundError) as caught:
            s3dlio.get(self.uri("missing"))
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            again = pickle.loads(pickle.dumps(caught.value, protocol))
            assert type(again) is type(caught.value)
            assert str(again) == str(caught.value)
            assert vars(again) == vars(caught.value)

    def test_a_failed_put_leaves_the_old_object(self) -> None:
        self.store("object")
        strided: Any = memoryview(b"with gaps")[::2]
        with pytest.raises(ValueError, match="contiguous"):
            s3dlio.put(self.uri("object"), strided)
        assert s3dlio.get(self.uri("object")) == b"object"
