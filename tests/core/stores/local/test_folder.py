"""What is downloaded lands in its folder or nowhere: whatever the keys, whatever is exchanged meanwhile."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from s3dlio.errors import InvalidUriError, LocalFileError, S3dlioError
from s3dlio.stores.drafts import is_draft
from s3dlio.stores.folder import FolderStore
from tests.core.stores.local.bucket import Bucket, content, fingerprint, refused, serving
from tests.core.stores.local.files import descriptors, run

TRAPS = ["out", "up", "root", "loop", "kept", "here", "pipe"]
PARTS = st.one_of(
    st.sampled_from(["..", ".", "", "a", "b", "sub", *TRAPS]),
    st.sampled_from(["folder-1", "..\\..", "a\\..", "c:", "C:\\x", "~", "~root", "-rf", "*", "%2e%2e", "%2F", "..%00"]),
    st.sampled_from(
        ["...", ".. ", " ..", "..\n", "x" * 255, "x" * 256, "é", "e\u0301", "\u2024\u2024", "\uff0e\uff0e"]
    ),
    st.sampled_from([".s3dlio-1-0123456789abcdef.tmp", "aux", "nul.txt", "proc", "etc", "A", "SUB", "\u202e", "\x7f"]),
    st.text(st.characters(codec="utf-8"), max_size=5),
)
KEYS = st.lists(PARTS, min_size=1, max_size=5).map("/".join)
HOSTILE_KEYS = st.sets(KEYS.filter(lambda key: 0 < len(key.encode()) <= 900), min_size=20, max_size=40)


@pytest.fixture
def bucket(without_accounts: None) -> Iterator[Bucket]:
    """A bucket of its own for each test."""
    with serving() as bucket:
        yield bucket


def trapped(place: Path) -> Path:
    """Make a folder with traps for a downloader, and its neighbours."""
    folder, outside = place / "folder", place / "outside"
    (outside / "sub").mkdir(parents=True)
    for name in ("kept", "sub/kept"):
        (outside / name).write_bytes(b"canary")
    (place / "folder-1").mkdir()
    folder.mkdir()
    targets: dict[str, str | Path] = {
        "out": outside,
        "up": "..",
        "root": "/",
        "loop": "loop",
        "kept": outside / "kept",
        "here": ".",
    }
    for name, target in targets.items():
        (folder / name).symlink_to(target)
    os.mkfifo(folder / "pipe")
    return folder


def outside_of(folder: Path) -> dict[str, tuple[int, ...]]:
    """Return the fingerprint of everything beside a folder."""
    everything = fingerprint(folder.parent).items()
    return {path: state for path, state in everything if path != str(folder) and not path.startswith(f"{folder}/")}


class TestHostileKeys:
    # More of them: --hypothesis-profile=thorough
    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None)
    @given(keys=HOSTILE_KEYS)
    def test_S1_S2_change_no_inode_outside_and_hinder_no_other(
        self, bucket: Bucket, tmp_path_factory: pytest.TempPathFactory, keys: set[str]
    ) -> None:
        folder = trapped(tmp_path_factory.mktemp("hostile"))
        before = outside_of(folder)
        bucket.keys = sorted({*keys, "good", "sub-good/good"}, key=str.encode)
        errors = refused(bucket, folder, workers=3)
        assert outside_of(folder) == before
        assert not {"good", "sub-good/good"} & {*errors}
        for key in {*bucket.keys} - {*errors}:
            path = f"{folder}/{key}"
            above = os.path.dirname(path.rstrip("/"))
            assert os.path.realpath(above) == above
            if not key.endswith("/"):
                assert Path(path).read_bytes() == content(key)
        assert not [path for path in fingerprint(folder) if is_draft(os.path.basename(path)) and "0123456" not in path]

    @pytest.mark.parametrize(
        "key",
        [
            "..",
            "../x",
            "a/../../x",
            "/etc/x",
            "//x",
            "",
            "/",
            ".",
            "./a",
            "a//b",
            "a/..",
            "a\\b",
            "..\\x",
            "a\0b",
            "\0",
        ],
    )
    def test_S1_that_are_no_plain_paths_are_refused_before_anything_is_made(self, tmp_path: Path, key: str) -> None:
        folder = FolderStore(f"{tmp_path}/folder")
        with pytest.raises(InvalidUriError, match="no plain name"):
            folder.target(key)
        folder.close()
        assert os.listdir(tmp_path / "folder") == []

    def test_S1_that_no_file_system_can_write_are_refused(self, tmp_path: Path) -> None:
        folder = FolderStore(str(tmp_path))
        with pytest.raises(InvalidUriError, match="no valid Unicode"):
            folder.target("a\ud800b")
        folder.close()

    def test_S1_that_are_too_long_for_the_file_system_fail_by_themselves(self, bucket: Bucket, tmp_path: Path) -> None:
        bucket.keys = ["good", "x" * 256, "y/" * 400 + "deep"]
        errors = refused(bucket, tmp_path)
        assert isinstance(errors.pop("x" * 256), LocalFileError)
        assert errors == {}
        assert (tmp_path / "good").read_bytes() == content("good")

    def test_that_need_a_file_to_be_a_directory_fail_by_themselves(self, bucket: Bucket, tmp_path: Path) -> None:
        bucket.keys = ["a", "a/b", "c"]
        (problem,) = refused(bucket, tmp_path, workers=1).values()
        assert isinstance(problem, LocalFileError)
        assert problem.errno == errno.ENOTDIR
        assert sorted(os.listdir(tmp_path)) == ["a", "c"]


class TestTheFolder:
    def test_may_be_reached_through_links_that_its_owner_made(self, bucket: Bucket, tmp_path: Path) -> None:
        (tmp_path / "real").mkdir()
        (tmp_path / "link").symlink_to("real")
        bucket.keys = ["a/b"]
        assert refused(bucket, tmp_path / "link") == {}
        assert (tmp_path / "real/a/b").read_bytes() == content("a/b")

    def test_S2_gets_a_file_in_place_of_a_link(self, bucket: Bucket, tmp_path: Path) -> None:
        folder = trapped(tmp_path)
        before = outside_of(folder)
        bucket.keys = ["kept"]
        assert refused(bucket, folder) == {}
        assert not (folder / "kept").is_symlink()
        assert (folder / "kept").read_bytes() == content("kept")
        assert outside_of(folder) == before

    @pytest.mark.parametrize("key", ["out/x", "up/x", "here/x", "loop/x", "root/tmp/x", "out/sub/", "out/sub/x"])
    def test_S2_is_not_left_through_a_link(self, bucket: Bucket, tmp_path: Path, key: str) -> None:
        folder = trapped(tmp_path)
        before = outside_of(folder)
        bucket.keys = [key]
        (problem,) = refused(bucket, folder).values()
        assert "symbolic link" in str(problem)
        assert outside_of(folder) == before

    def test_F14_gives_new_files_and_directories_what_the_umask_leaves(self, bucket: Bucket, tmp_path: Path) -> None:
        bucket.keys = ["a/b"]
        before = os.umask(0o027)
        try:
            assert refused(bucket, tmp_path) == {}
        finally:
            os.umask(before)
        assert (tmp_path / "a/b").stat().st_mode & 0o777 == 0o640
        assert (tmp_path / "a").stat().st_mode & 0o777 == 0o750

    def test_leaves_no_descriptor_open(self, bucket: Bucket, tmp_path: Path) -> None:
        bucket.keys = [f"{number % 7}/{number}" for number in range(50)] + ["out/x"]
        folder = trapped(tmp_path)
        refused(bucket, folder)
        before = files_open(tmp_path)
        refused(bucket, folder)
        assert files_open(tmp_path) == before == 0

    def test_F13_keeps_keys_apart_that_the_file_system_takes_for_one(
        self, bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fold_names(monkeypatch)
        keys = ["a", "A", "sub/é", "sub/e\u0301", "Sub/x", "plain"]
        bucket.keys = sorted(keys, key=str.encode)
        errors = refused(bucket, tmp_path, workers=3)
        assert sorted(errors) == ["a", "sub/é"]
        assert all("the same name" in str(error) for error in errors.values())
        assert (tmp_path / "a").read_bytes() == content("A")
        assert (tmp_path / "sub/x").read_bytes() == content("Sub/x")

    def test_F13_keeps_both_where_names_are_told_apart(self, bucket: Bucket, tmp_path: Path) -> None:
        bucket.keys = ["A", "a"]
        assert refused(bucket, tmp_path) == {}
        assert [(tmp_path / name).read_bytes() for name in "Aa"] == [content("A"), content("a")]


def files_open(place: Path) -> int:
    """Return how many descriptors this process has open on what lies in a place."""
    return sum(os.path.realpath(f"/proc/self/fd/{fd}").startswith(str(place)) for fd in os.listdir("/proc/self/fd"))


def fold_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every name in a directory be looked up in lower case, as file systems do that fold names."""

    def folded(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            if {"dir_fd", "src_dir_fd"} & {*options}:
                args = tuple(arg.lower() if isinstance(arg, str) else arg for arg in args)
            return real(*args, **options)

        return call

    for name in ("open", "stat", "mkdir", "rename", "unlink"):
        monkeypatch.setattr(os, name, folded(getattr(os, name)))


class TestAnExchangeOfADirectoryForALink:
    def exchange(self, folder: Path, outside: Path) -> None:
        (folder / "sub").rename(folder / "moved")
        (folder / "sub").symlink_to(outside)

    @pytest.mark.parametrize("late", [False, True], ids=["before it is opened", "after it was opened"])
    def test_S1_S2_leads_nothing_away(
        self, bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, late: bool
    ) -> None:
        folder = trapped(tmp_path)
        (folder / "sub").mkdir()
        before, real = outside_of(folder), os.open

        def swap(path: Any, flags: int, *args: Any, **options: Any) -> int:
            if path != "sub" or (folder / "sub").is_symlink():
                return real(path, flags, *args, **options)
            fd = real(path, flags, *args, **options) if late else -1
            self.exchange(folder, tmp_path / "outside")
            return fd if late else real(path, flags, *args, **options)

        monkeypatch.setattr(os, "open", swap)
        bucket.keys = ["sub/x"]
        errors = refused(bucket, folder)
        assert outside_of(folder) == before
        assert [*errors] == ([] if late else ["sub/x"])
        assert os.listdir(folder / "moved") == (["x"] if late else [])

    def test_S1_S2_leads_no_part_of_a_large_file_away(self, tmp_path: Path) -> None:
        place = trapped(tmp_path)
        (place / "sub").mkdir()
        before, folder = outside_of(place), FolderStore(str(place))
        upload = run(folder.start_upload(folder.target("sub/x"), 20))
        parts = [run(folder.write_part(upload, 1, 0, memoryview(b"0123456789")))]
        self.exchange(place, tmp_path / "outside")
        parts.append(run(folder.write_part(upload, 2, 10, memoryview(b"9876543210"))))
        run(folder.complete_upload(upload, parts))
        folder.close()
        assert (place / "moved/x").read_bytes() == b"01234567899876543210"
        assert outside_of(place) == before

    def test_S1_S2_again_and_again_leads_nothing_away(self, bucket: Bucket, tmp_path: Path) -> None:
        folder, outside, ending = trapped(tmp_path), tmp_path / "outside", threading.Event()
        (folder / "sub").mkdir()
        before = outside_of(folder)

        def keep_exchanging() -> None:
            for number in count():
                if ending.is_set():
                    return
                (folder / "sub").rename(folder / f"moved{number}")
                with suppress(FileExistsError):  # the download has made the directory anew
                    (folder / "sub").symlink_to(outside)
                    (folder / "sub").unlink()
                (folder / "sub").mkdir(exist_ok=True)

        bucket.keys = [f"sub/{number}" for number in range(100)]
        thread = threading.Thread(target=keep_exchanging)
        thread.start()
        try:
            outcomes = [refused(bucket, folder) for _ in range(10)]
        finally:
            ending.set()
            thread.join()
        assert outside_of(folder) == before
        assert any(outcomes), "no link was met: the exchange came to nothing"
        assert all(len(errors) < 100 for errors in outcomes), "no directory was met"


class TestALargeFile:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Iterator[FolderStore]:
        folder = FolderStore(str(tmp_path))
        yield folder
        folder.close()

    def test_that_is_aborted_leaves_nothing(self, folder: FolderStore, tmp_path: Path) -> None:
        before = descriptors()
        upload = run(folder.start_upload(folder.target("x"), 10))
        run(folder.write_part(upload, 1, 0, memoryview(b"01234")))
        assert [is_draft(name) for name in os.listdir(tmp_path)] == [True]
        for _ in range(2):
            run(folder.abort_upload(upload))
        assert os.listdir(tmp_path) == []
        assert descriptors() == before

    def test_that_lacks_a_part_is_refused(self, folder: FolderStore, tmp_path: Path) -> None:
        upload = run(folder.start_upload(folder.target("x"), 10))
        part = run(folder.write_part(upload, 1, 0, memoryview(b"01234")))
        with pytest.raises(S3dlioError, match="5 bytes of 10"):
            run(folder.complete_upload(upload, [part]))
        folder.close()
        assert os.listdir(tmp_path) == []

    def test_F4_whose_sync_fails_is_not_believed(
        self, folder: FolderStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(fd: int) -> None:
            raise OSError(errno.EIO, "lost")

        (tmp_path / "x").write_bytes(b"old")
        upload = run(folder.start_upload(folder.target("x"), 5))
        part = run(folder.write_part(upload, 1, 0, memoryview(b"01234")))
        monkeypatch.setattr(os, "fsync", fail)
        with pytest.raises(LocalFileError, match="lost"):
            run(folder.complete_upload(upload, [part], durable=True))
        assert (tmp_path / "x").read_bytes() == b"old"
        assert os.listdir(tmp_path) == ["x"]
