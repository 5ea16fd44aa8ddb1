"""Keys are opaque: put, list, get, stat, delete hold for every one of them, byte for byte."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import pytest

import s3dlio
from s3dlio.errors import S3dlioError
from tests.promises.place import Place

KEYS = [
    "plain",
    "caf\u00e9",
    "cafe\u0301",
    "日本語/キー",
    "\U0001f600",
    "\u202etfel ot thgir",
    "100%",
    "%",
    "%41",
    "%2F",
    "%2f%2e%2e",
    "a+b",
    "a b",
    " leading and trailing ",
    "a#b",
    "a?b",
    "a?versionId=null",
    "a&b=c;d",
    "~tilde",
    "'single'",
    '"double"',
    "a*b",
    "[a]",
    "{a}",
    "<a>",
    "a\\b",
    "a:b",
    "a|b",
    "a,b",
    "a@b",
    "a$b!(c)",
    "a^`b",
    "tab\there",
    "line\nfeed",
    "carriage\rreturn",
    "both\r\nof them",
    "\x01first control",
    "\x1fcontrols\x1b",
    "delete\x7f",
    "\x85\xa0next line",
    "...",
    "..a/.b",
    "dot./a.",
    "x" * 255,
    "deep/" * 40 + "er",
]
# Only where a key is no path.
STRANGE_PATHS = [
    "http://host/path",
    "/lead",
    "//x",
    "a//b",
    "a///b",
    "trailing/",
    "trailing//",
    "a/./b",
    "a/../b",
    "../x",
    "../../outside/x",
    ".",
    "..",
    "./",
    "x" * 1000,
]


class Keys(Place):
    """Any key that the backend can store."""

    refused: ClassVar[Mapping[str, str]] = {}
    """Keys that this server cannot store, with the reason: an error says so, and nothing is stored."""
    merged: ClassVar[Mapping[str, str]] = {}
    """Keys that this server takes for others, and the key that it lists instead."""

    def keep(self, base: str, key: str) -> None:
        """Hold the round trip for one key, in a place that holds nothing else of that start."""
        uri = f"{base}{key}"
        if key in self.refused:
            with pytest.raises(S3dlioError):
                s3dlio.put(uri, key.encode())
            assert self.left(base) == []
            return
        s3dlio.put(uri, key.encode())
        listed = f"{base}{self.merged.get(key, key)}"
        assert s3dlio.list(base, recursive=True) == [listed]
        assert s3dlio.list(listed, recursive=True) == [listed]
        assert s3dlio.get(uri) == key.encode()
        assert s3dlio.stat(uri)["size"] == len(key.encode())
        assert s3dlio.get_many([uri]) == [key.encode()]
        s3dlio.delete(uri)
        assert s3dlio.list(base, recursive=True) == []
        assert not s3dlio.exists(uri)

    @pytest.mark.parametrize("key", KEYS)
    def test_a_key_is_kept_byte_for_byte(self, key: str) -> None:
        self.keep(self.base, key)

    def test_keys_that_look_alike_are_different_objects(self) -> None:
        alike = ["caf\u00e9", "cafe\u0301", "%41", "A", "a", "a b", "a+b", "a%20b", "a%2Bb"]
        self.store(*alike)
        assert sorted(s3dlio.list_keys(self.base)) == sorted(alike)
        assert s3dlio.get_many([self.uri(key) for key in alike]) == [key.encode() for key in alike]

    def test_keys_of_any_kind_are_removed_together(self) -> None:
        kept = [key for key in KEYS if key not in self.refused and "/" not in key]
        self.store(*(f"all/{key}" for key in kept))
        assert sorted(s3dlio.list_keys(self.uri("all/"))) == sorted(kept)
        s3dlio.delete(self.uri("all/"), recursive=True)
        assert self.left() == []

    def test_a_key_of_any_kind_is_copied(self) -> None:
        self.store("from %41+é?#")
        s3dlio.copy(self.uri("from %41+é?#"), self.uri("to %42+é?#"))
        assert s3dlio.get(self.uri("to %42+é?#")) == "from %41+é?#".encode()
