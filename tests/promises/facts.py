"""What is known of an object, whether it is there, and how it goes."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest

import s3dlio
from s3dlio.errors import LocalFileError, NotFoundError
from tests.promises.place import Place, content

KEYS = ("size", "last_modified", "etag", "content_type", "metadata", "version_id", "storage_class")


class Facts(Place):
    """stat, exists, delete, mkdir."""

    def test_stat_tells_size_time_and_etag(self) -> None:
        before = datetime.now(UTC) - timedelta(minutes=5)
        s3dlio.put(self.uri("object"), content(4321))
        facts = s3dlio.stat(self.uri("object"))
        assert set(KEYS) <= set(facts)
        assert type(facts["size"]) is int
        assert facts["size"] == 4321
        when = datetime.fromisoformat(facts["last_modified"])
        assert before < when < datetime.now(UTC) + timedelta(minutes=5)
        assert isinstance(facts["etag"], str)
        assert facts["etag"]
        assert isinstance(facts["metadata"], dict)
        for name in ("content_type", "version_id", "storage_class"):
            assert facts[name] is None or isinstance(facts[name], str)

    def test_the_etag_changes_with_the_content(self) -> None:
        s3dlio.put(self.uri("object"), b"first")
        first = s3dlio.stat(self.uri("object"))["etag"]
        assert s3dlio.stat(self.uri("object"))["etag"] == first
        s3dlio.put(self.uri("object"), b"second")
        assert s3dlio.stat(self.uri("object"))["etag"] != first

    def test_stat_object_is_stat(self) -> None:
        (uri,) = self.store("object")
        assert s3dlio.stat_object(uri) == s3dlio.stat(uri)

    def test_stat_of_a_missing_object_is_an_error_that_names_it(self) -> None:
        with pytest.raises(NotFoundError, match="missing") as caught:
            s3dlio.stat(self.uri("missing"))
        assert caught.value.uri == self.uri("missing")

    def test_stat_of_a_prefix_is_an_error(self) -> None:
        self.store("prefix/object")
        with pytest.raises(NotFoundError):
            s3dlio.stat(self.uri("prefix"))

    def test_stat_many_keeps_the_order(self) -> None:
        sizes = [7, 3, 9, 0, 1]
        uris = [self.uri(f"{number}") for number in range(5)]
        s3dlio.put_many((uri, b"x" * size) for uri, size in zip(uris, sizes, strict=True))
        assert [facts["size"] for facts in s3dlio.stat_many(uris, workers=3)] == sizes
        assert [facts["size"] for facts in s3dlio.stat_many(uris[::-1])] == sizes[::-1]
        assert [facts["size"] for facts in s3dlio.get_many_stats(uris, concurrency=100)] == sizes
        assert s3dlio.stat_many([]) == []

    def test_stat_many_raises_the_failure_and_names_its_object(self) -> None:
        (uri,) = self.store("object")
        with pytest.raises(NotFoundError, match="missing"):
            s3dlio.stat_many([uri, self.uri("missing")])

    @pytest.mark.parametrize("size", [3, 3000])
    def test_sizes_learned_before_never_decide_what_get_returns(self, size: int) -> None:
        uri = self.uri("object")
        s3dlio.put(uri, content(1000))
        s3dlio.get_many_stats([uri])
        s3dlio.put(uri, content(size))
        assert bytes(s3dlio.get(uri)) == content(size)
        assert [bytes(view) for view in s3dlio.get_many([uri])] == [content(size)]

    def test_exists_tells_whether_an_object_is_there(self) -> None:
        (uri,) = self.store("object")
        assert s3dlio.exists(uri) is True
        assert s3dlio.exists(self.uri("missing")) is False
        s3dlio.delete(uri)
        assert s3dlio.exists(uri) is False

    def test_a_prefix_is_no_object(self) -> None:
        self.store("prefix/object")
        assert s3dlio.exists(self.uri("prefix")) is False
        assert s3dlio.exists(self.uri("prefix/obj")) is False

    def test_delete_removes_one_object(self) -> None:
        self.store("a", "ab", "b")
        s3dlio.delete(self.uri("a"))
        assert self.relative(s3dlio.list(self.base)) == ["ab", "b"]

    def test_deleting_a_missing_object_is_success(self) -> None:
        s3dlio.delete(self.uri("missing"))
        s3dlio.delete(self.uri("missing/deeper"))

    @pytest.mark.parametrize("key", ["*", "?", "a*", "[ab]", "dir/*", "**", "%2A"])
    def test_delete_expands_nothing(self, key: str) -> None:
        names = ["a", "b", "dir/a"]
        self.store(*names)
        s3dlio.delete(self.uri(key))
        assert self.relative(s3dlio.list(self.base, recursive=True)) == names

    def test_deleting_a_prefix_without_recursive_leaves_what_is_below(self) -> None:
        self.store("dir/a", "dir/b")
        for key in ("dir/", "dir"):
            with suppress(LocalFileError):  # a directory is refused; on an object store there is none
                s3dlio.delete(self.uri(key))
        assert self.relative(s3dlio.list(self.base, recursive=True)) == ["dir/a", "dir/b"]

    def test_deleting_recursively_removes_all_below_a_prefix_and_nothing_beside_it(self) -> None:
        self.store("dir/a", "dir/b/c", "dir/b/d", "dir2/e", "f")
        s3dlio.delete(self.uri("dir/"), recursive=True)
        assert self.left() == ["dir2/e", "f"]
        s3dlio.delete(self.uri("dir/"), recursive=True)
        s3dlio.delete(self.uri("never/"), True)

    def test_deleting_recursively_takes_a_tree_by_its_name_and_not_its_neighbours(self) -> None:
        self.store("dir/a", "dir/b/c", "dir2/d", "dir3", "di")
        s3dlio.delete(self.uri("dir"), recursive=True)
        assert self.left() == ["di", "dir2/d", "dir3"]

    def test_deleting_recursively_removes_an_object_that_has_nothing_below(self) -> None:
        self.store("object", "object2")
        s3dlio.delete(self.uri("object"), recursive=True)
        assert self.left() == ["object2"]

    def test_mkdir_makes_a_directory_that_may_be_there_already(self) -> None:
        s3dlio.mkdir(self.uri("made/"))
        s3dlio.mkdir(self.uri("made/"))
        s3dlio.mkdir(self.uri("deep/er"))
        assert self.relative(s3dlio.list(self.base)) == ["deep/", "made/"]
        self.store("made/object")
        assert s3dlio.get(self.uri("made/object")) == b"made/object"
