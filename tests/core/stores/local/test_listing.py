"""A listing is complete and in order, or an error, and stays inside the tree."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from s3dlio.errors import (
    AccessDeniedError,
    InvalidUriError,
    LocalFileError,
)
from tests.core.stores.local.files import (
    Files,
    descriptors,
    run,
)


class TestAListing:
    def test_is_the_start_of_a_key_and_no_directory(self, files: Files) -> None:
        for name in ("pre", "prefix", "pre-1/a", "other"):
            files.put(name, b"")
        assert files.list("pre") == ["pre", "pre-1/a", "prefix"]
        assert files.list("pre", recursive=False) == ["pre", "pre-1/", "prefix"]
        assert files.list("pre-1") == ["pre-1/a"]
        assert files.list("pre-1", recursive=False) == ["pre-1/"]
        assert files.list("pre-1/", recursive=False) == ["pre-1/a"]

    @pytest.mark.parametrize("prefix", ["nothing", "nothing/", "nothing/at/all/", "file/", "file/x"])
    def test_of_nothing_is_empty(self, files: Files, prefix: str) -> None:
        files.put("file", b"")
        assert files.pages(prefix) == []

    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50)
    @given(names=st.sets(st.text("ab-.0é\udcff\U0001f600/", min_size=1, max_size=6), max_size=12))
    def test_is_in_the_byte_order_of_the_keys_across_directories(
        self, tmp_path_factory: pytest.TempPathFactory, names: set[str]
    ) -> None:
        files = Files("file", tmp_path_factory.mktemp("tree"))
        made: set[str] = set()
        for name in names:
            path = os.path.normpath(name.strip("/"))
            if path.startswith(".."):
                continue
            try:
                files.put(path, b"")
            except (LocalFileError, InvalidUriError):  # a file where a directory is, or the other way round
                continue
            made.add(path)
        in_order = sorted(made, key=os.fsencode)
        pages = files.pages("")
        keys = [entry[0].removeprefix(f"{files.directory}/") for page in pages for entry in page.entries]
        assert keys == in_order
        one_level = {name if "/" not in name else name.partition("/")[0] + "/" for name in made}
        assert files.list(recursive=False) == sorted(one_level, key=os.fsencode)

    def test_comes_in_pages_that_are_in_order(self, files: Files) -> None:
        names = sorted(f"{number % 7}/{number:05}" for number in range(2500))
        for name in names:
            (files.directory / name).parent.mkdir(exist_ok=True)
            (files.directory / name).touch()
        assert [len(page.entries) for page in files.pages("")] == [1000, 1000, 500]
        assert files.list() == names

    def test_hides_drafts(self, files: Files) -> None:
        run(files.store.start_upload(files.uri("object"), 10))
        assert len(files.everything()) == 1
        assert files.list() == files.list(".s3dlio") == files.list(recursive=False) == []

    def test_F11_does_not_go_round_a_loop(self, files: Files) -> None:
        files.put("a/object", b"")
        (files.directory / "a/loop").symlink_to(files.directory)
        (files.directory / "a/self").symlink_to("self")
        assert files.list() == ["a/object"]
        assert files.list("a/", recursive=False) == ["a/loop/", "a/object"]

    def test_F11_does_not_leave_the_tree(self, files: Files, canary: Path) -> None:
        (files.directory / "out").symlink_to(canary)
        assert files.list() == files.list("out") == []
        assert files.list(recursive=False) == ["out/"]
        assert files.list("out/") == ["out/kept", "out/sub/kept"]

    def test_shows_links_to_files_and_skips_links_to_nothing(self, files: Files, canary: Path) -> None:
        (files.directory / "link").symlink_to(canary / "kept")
        (files.directory / "broken").symlink_to("nowhere")
        assert files.list() == ["link"]
        assert files.get("link") == b"canary"
        assert files.pages("")[0].entries[0][1] == len(b"canary")

    def test_leaves_out_what_vanishes_meanwhile(self, files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("a", "b", "c/d", "e"):
            files.put(name, b"")
        real = os.stat

        def remove(path: str, **options: Any) -> os.stat_result:
            status = real(path, **options)
            if path.endswith("/a"):
                (files.directory / "b").unlink()
                (files.directory / "c/d").unlink()
                (files.directory / "c").rmdir()
            return status

        monkeypatch.setattr(os, "stat", remove)
        assert files.list() == ["a", "e"]

    def test_that_may_not_look_into_a_directory_is_no_short_listing(
        self, files: Files, unprivileged: Callable[[Path], None]
    ) -> None:
        files.put("a", b"")
        files.put("closed/b", b"")
        unprivileged(files.directory / "closed")
        with pytest.raises(AccessDeniedError, match="permissions"):
            files.list()
        assert files.list(recursive=False) == ["a", "closed/"]
        with pytest.raises(AccessDeniedError):
            files.get("closed/b")

    def test_that_is_given_up_leaves_no_descriptor_open(self, files: Files) -> None:
        for number in range(1200):
            (files.directory / str(number)).touch()
        before = descriptors()

        async def first() -> int:
            pages = files.store.pages(files.uri(""), recursive=True)
            page = await anext(pages)
            await pages.aclose()
            return len(page.entries)

        assert run(first()) == 1000
        assert descriptors() == before
