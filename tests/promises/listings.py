"""Listings: complete, in the order of the keys' bytes, one level or all of them, chosen by a pattern."""

from __future__ import annotations

import re
from typing import Any

import pytest

import s3dlio
from tests.promises.place import Place

# Around the slash in the order of bytes: ! # + - . / 0 a ~
AROUND_SLASH = ["d!", "d#x", "d+x", "d-x", "d.x", "d/-", "d/x", "d/y/z", "d0x", "da", "d~"]
MANY = 2300  # keys; more than two pages


class Listings(Place):
    """list and what is made of it."""

    def test_one_level_shows_objects_and_prefixes_in_the_order_of_bytes(self) -> None:
        self.store(*reversed(AROUND_SLASH))
        expected = ["d!", "d#x", "d+x", "d-x", "d.x", "d/", "d0x", "da", "d~"]
        assert self.relative(s3dlio.list(self.base)) == expected
        assert self.relative(s3dlio.list(self.base, recursive=False)) == expected

    def test_all_levels_show_objects_only_in_the_order_of_bytes(self) -> None:
        self.store(*reversed(AROUND_SLASH))
        assert self.relative(s3dlio.list(self.base, recursive=True)) == AROUND_SLASH
        assert self.relative(s3dlio.list(self.base, True)) == AROUND_SLASH

    def test_the_order_is_that_of_utf_8(self) -> None:
        keys = ["A", "B", "a", "z", "é", "ー", "\uff5e", "\U0001f600"]
        self.store(*reversed(keys))
        assert self.relative(s3dlio.list(self.base)) == keys

    def test_a_deeper_prefix_lists_what_is_below_it(self) -> None:
        self.store(*AROUND_SLASH)
        assert self.relative(s3dlio.list(self.uri("d/"))) == ["d/-", "d/x", "d/y/"]
        assert self.relative(s3dlio.list(self.uri("d/"), recursive=True)) == ["d/-", "d/x", "d/y/z"]
        assert self.relative(s3dlio.list(self.uri("d/y/"))) == ["d/y/z"]

    def test_a_prefix_without_a_slash_at_its_end_is_the_start_of_keys(self) -> None:
        self.store("train-1", "train-2", "train/3", "trial", "test")
        assert self.relative(s3dlio.list(self.uri("train"))) == ["train-1", "train-2", "train/"]
        assert self.relative(s3dlio.list(self.uri("tr"), recursive=True)) == [
            "train-1",
            "train-2",
            "train/3",
            "trial",
        ]
        assert self.relative(s3dlio.list(self.uri("train/3"))) == ["train/3"]

    def test_a_missing_prefix_is_an_empty_list(self) -> None:
        self.store("one")
        assert s3dlio.list(self.uri("missing/")) == []
        assert s3dlio.list(self.uri("missing/deeper/"), recursive=True) == []
        assert s3dlio.list(self.uri("missing")) == []

    @pytest.mark.parametrize(
        ("pattern", "expected"),
        [
            ("*.npz", ["a.npz", "b.npz", "sub/c.npz"]),
            ("?.npz", ["a.npz", "b.npz"]),
            ("[ab].*", ["a.npz", "b.npz", "b.txt"]),
            ("sub/*", ["sub/c.npz", "sub/d.txt"]),
            ("a.npz", ["a.npz"]),
            ("npz", []),
            ("*", ["a.npz", "b.npz", "b.txt", "sub/c.npz", "sub/d.txt"]),
            (re.compile(r"^b"), ["b.npz", "b.txt"]),
            (re.compile(r"txt$"), ["b.txt", "sub/d.txt"]),
            (re.compile(r"/"), ["sub/c.npz", "sub/d.txt"]),
        ],
    )
    def test_a_pattern_is_matched_with_the_relative_key(self, pattern: Any, expected: list[str]) -> None:
        self.store("a.npz", "b.npz", "b.txt", "sub/c.npz", "sub/d.txt")
        assert self.relative(s3dlio.list(self.base, recursive=True, pattern=pattern)) == expected

    def test_a_pattern_chooses_on_one_level_too(self) -> None:
        self.store("a.npz", "b.txt", "sub/c.npz")
        assert self.relative(s3dlio.list(self.base, pattern="*.npz")) == ["a.npz"]
        assert self.relative(s3dlio.list(self.base, pattern="sub*")) == ["sub/"]
        assert self.relative(s3dlio.list(self.uri("sub/"), pattern="c.*")) == ["sub/c.npz"]

    @pytest.mark.parametrize("pattern", [5, b"*.npz", ["*.npz"]])
    def test_what_is_no_pattern_is_refused(self, pattern: Any) -> None:
        with pytest.raises(TypeError, match="pattern"):
            s3dlio.list(self.base, pattern=pattern)

    def test_a_listing_gives_uris_that_can_be_read(self) -> None:
        self.store("one", "two/three")
        uris = s3dlio.list(self.base, recursive=True)
        assert s3dlio.get_many(uris) == [b"one", b"two/three"]

    def test_list_keys_are_relative_to_the_prefix(self) -> None:
        self.store("run/file1.bin", "run/file2.bin", "run/sub/file3.bin")
        assert s3dlio.list_keys(self.uri("run/")) == ["file1.bin", "file2.bin", "sub/"]
        assert s3dlio.list_keys(self.uri("run/"), recursive=True) == ["file1.bin", "file2.bin", "sub/file3.bin"]
        assert s3dlio.list_keys(self.uri("run/"), pattern="*2*") == ["file2.bin"]
        assert s3dlio.list_keys(self.uri("run/file")) == ["file1.bin", "file2.bin"]

    def test_list_full_uris_is_list(self) -> None:
        self.store("a", "b/c")
        assert s3dlio.list_full_uris(self.base) == s3dlio.list(self.base)
        assert s3dlio.list_full_uris(self.base, recursive=True) == s3dlio.list(self.base, recursive=True)

    def test_list_objects_still_gives_keys_and_says_what_to_use(self) -> None:
        uris = self.store("a", "b")
        with pytest.warns(DeprecationWarning, match="list_keys"):
            keys = s3dlio.list_objects(self.base)
        assert all(uri.endswith(f"/{key.lstrip('/')}") for uri, key in zip(uris, keys, strict=True))
        assert [key.rpartition("/")[2] for key in keys] == ["a", "b"]

    def test_2300_objects_are_stored_listed_streamed_and_removed(self) -> None:
        expected = [f"many/{number:05}" for number in range(MANY)]
        s3dlio.put_many(((self.uri(key), b"") for key in expected), workers=16)
        s3dlio.put(self.uri("other"), b"stays")
        assert self.relative(s3dlio.list(self.uri("many/"))) == expected
        streamed = s3dlio.list_iter(self.base, recursive=True)
        assert next(streamed) == self.uri("many/00000")
        assert self.relative(list(streamed)) == [*expected[1:], "other"]
        s3dlio.delete(self.uri("many/"), recursive=True)
        assert self.left() == ["other"]
