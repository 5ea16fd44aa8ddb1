"""A delete takes what it was told to take and follows no link; directories are made, containers are not."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from s3dlio.errors import (
    AccessDeniedError,
    InvalidUriError,
    LocalFileError,
    PartialFailureError,
)
from s3dlio.uri import Uri
from tests.core.stores.local.files import (
    Files,
    dead_process,
    descriptors,
    draft_of,
    run,
)


class TestADelete:
    def test_of_nothing_is_success(self, files: Files) -> None:
        files.put("file", b"")
        for name in ("nothing", "nothing/at/all", "file/below", "file/"):
            run(files.store.delete(files.uri(name)))
        assert files.list() == ["file"]

    @pytest.mark.parametrize("name", ["a", "a/"])
    def test_of_a_directory_is_refused(self, files: Files, name: str) -> None:
        files.put("a/object", b"")
        with pytest.raises(LocalFileError, match="recursive=True") as caught:
            run(files.store.delete(files.uri(name)))
        assert caught.value.errno == errno.EISDIR
        assert files.list() == ["a/object"]

    def test_S2_of_a_link_removes_the_link(self, files: Files, canary: Path) -> None:
        (files.directory / "file").symlink_to(canary / "kept")
        (files.directory / "directory").symlink_to(canary)
        with pytest.raises(LocalFileError, match="recursive=True"):
            run(files.store.delete(files.uri("directory/")))
        for name in ("file", "directory"):
            run(files.store.delete(files.uri(name)))
        assert files.everything() == []

    def test_of_many_removes_what_it_can_and_tells_the_rest(self, files: Files) -> None:
        for name in ("a", "b", "directory/c"):
            files.put(name, b"")
        uris = [files.uri(name) for name in ("a", "directory", "b", "nothing")]
        with pytest.raises(PartialFailureError, match="1 of 4") as caught:
            run(files.store.delete_many(uris))
        assert list(caught.value.errors) == [str(uris[1])]
        assert list(caught.value.results) == [str(uris[index]) for index in (0, 2, 3)]
        assert files.list() == ["directory/c"]


class TestADeleteOfATree:
    def test_takes_what_starts_with_the_prefix(self, files: Files) -> None:
        for name in ("pre", "prefix/a/b", "pre-1", "other/pre"):
            files.put(name, b"")
        run(files.store.delete_tree(files.uri("pre")))
        assert files.everything() == ["other"]

    def test_takes_the_directory_and_not_its_neighbour(self, files: Files) -> None:
        for name in ("a/b/c", "a/d", "a-1/x", "ab"):
            files.put(name, b"")
        (files.directory / "a/empty").mkdir()
        run(files.store.delete_tree(files.uri("a/")))
        assert files.everything() == ["a-1", "ab"]

    @pytest.mark.parametrize("name", ["nothing", "nothing/", "nothing/at/all/", "file/"])
    def test_of_nothing_is_success(self, files: Files, name: str) -> None:
        files.put("file", b"")
        run(files.store.delete_tree(files.uri(name)))
        assert files.list() == ["file"]

    def test_F11_S2_unlinks_links_and_does_not_follow_them(self, files: Files, canary: Path) -> None:
        files.put("tree/a", b"")
        (files.directory / "tree/out").symlink_to(canary)
        (files.directory / "tree/file").symlink_to(canary / "kept")
        (files.directory / "tree/loop").symlink_to(files.directory / "tree")
        run(files.store.delete_tree(files.uri("tree/")))
        assert files.everything() == []

    @pytest.mark.parametrize("name", ["out", "out/", "ou"])
    def test_F11_S2_of_a_link_removes_the_link(self, files: Files, canary: Path, name: str) -> None:
        (files.directory / "out").symlink_to(canary)
        run(files.store.delete_tree(files.uri(name)))
        assert files.everything() == []

    def test_S2_is_not_led_away_by_a_link_that_replaces_a_directory(
        self, files: Files, canary: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        files.put("tree/sub/kept", b"")
        sub, real = files.directory / "tree/sub", os.open

        def swap(path: str, *args: Any, **options: Any) -> int:
            if path == "sub" and not sub.is_symlink():
                sub.rename(files.directory / "moved")
                sub.symlink_to(canary / "sub")
            return real(path, *args, **options)

        monkeypatch.setattr(os, "open", swap)
        run(files.store.delete_tree(files.uri("tree/")))
        assert files.everything() == ["moved"]

    def test_leaves_no_descriptor_open(self, files: Files) -> None:
        before = descriptors()
        deep = "/".join("d" * 150)
        files.put(f"{deep}/object", b"")
        run(files.store.delete_tree(files.uri("d/")))
        assert files.everything() == []
        assert descriptors() == before

    @pytest.mark.parametrize("path", ["/", "//", "/./", "/tmp/../", "/tmp/./"])
    def test_of_everything_is_refused(self, files: Files, path: str) -> None:
        with pytest.raises(InvalidUriError, match="name the directory itself"):
            run(files.store.delete_tree(Uri(files.scheme, "", path)))

    def test_takes_the_drafts_of_the_dead_and_leaves_those_of_the_living(self, files: Files) -> None:
        (files.directory / "dead").mkdir()
        (files.directory / "dead" / draft_of(dead_process())).touch()
        upload = run(files.store.start_upload(files.uri("live/object"), None))
        for name in ("dead/", "live/"):
            run(files.store.delete_tree(files.uri(name)))
        assert files.everything() == ["live"]
        run(files.store.complete_upload(upload, []))
        assert files.list() == ["live/object"]

    def test_without_permission_says_so(self, files: Files, unprivileged: Callable[[Path], None]) -> None:
        files.put("tree/closed/b", b"")
        unprivileged(files.directory / "tree/closed")
        with pytest.raises(AccessDeniedError, match="permissions"):
            run(files.store.delete_tree(files.uri("tree/")))


class TestDirectoriesAndContainers:
    def test_a_directory_is_made_with_those_above_it_and_may_be_there(self, files: Files) -> None:
        for _ in range(2):
            run(files.store.make_directory(files.uri("a/b/")))
        assert (files.directory / "a/b").is_dir()

    def test_a_directory_is_not_made_where_a_file_is(self, files: Files) -> None:
        files.put("a", b"")
        with pytest.raises(LocalFileError, match="in the way") as caught:
            run(files.store.make_directory(files.uri("a")))
        assert caught.value.errno == errno.EEXIST

    def test_containers_do_not_exist(self, files: Files) -> None:
        for task in (
            files.store.create_container(files.uri("a")),
            files.store.delete_container(files.uri("a")),
            files.store.list_containers(),
        ):
            with pytest.raises(InvalidUriError, match="use mkdir"):
                run(task)
        assert files.everything() == []
