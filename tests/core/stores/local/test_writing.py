"""A write is seen whole or not at all, and never goes where a link leads."""

from __future__ import annotations

import errno
import os
import resource
import stat
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from s3dlio.errors import (
    InvalidUriError,
    LocalFileError,
    NotFoundError,
    ObjectChangedError,
    PreconditionFailedError,
)
from s3dlio.stores.drafts import is_draft
from tests.core.stores.local.files import (
    LARGE,
    NEW,
    OLD,
    Files,
    dead_process,
    descriptors,
    draft_of,
    failing,
    run,
)


def refusal(action: Callable[[], object]) -> LocalFileError | None:
    """Return the error that an action meets, if it meets one."""
    try:
        action()
    except LocalFileError as problem:
        return problem
    return None


def tidied(files: Files) -> None:
    """Let the search for stale drafts, whose failure is nobody's, be over in this directory."""
    files.put("first", b"")
    run(files.store.delete(files.uri("first")))


@contextmanager
def noted(monkeypatch: pytest.MonkeyPatch) -> Generator[list[str]]:
    """Yield what is written, synced and renamed while the block runs, in order; several writes in a row are one."""
    order: list[str] = []
    write, sync, rename = os.pwrite, os.fsync, os.rename

    def note(what: str, fd: int) -> None:
        name = os.path.basename(os.readlink(f"/proc/self/fd/{fd}"))
        line = f"{what} {'draft' if is_draft(name) else name}"
        if order[-1:] != [line]:
            order.append(line)

    def note_write(fd: int, data: memoryview, at: int) -> int:
        if len(data):
            note("write", fd)
        return write(fd, data, at)

    def note_sync(fd: int) -> None:
        note("sync", fd)
        sync(fd)

    def note_rename(*args: Any, **options: Any) -> None:
        order.append("rename")
        rename(*args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", note_write)
        patch.setattr(os, "fsync", note_sync)
        patch.setattr(os, "rename", note_rename)
        yield order


class TestAWrite:
    def test_makes_the_directories_it_needs(self, files: Files) -> None:
        files.put("a/b/c", NEW)
        assert files.get("a/b/c") == NEW

    def test_below_a_file_is_refused(self, files: Files) -> None:
        files.put("a", OLD)
        for name in ("a/b", "a/b/c"):
            with pytest.raises(LocalFileError, match="part of the path is a file") as caught:
                files.put(name, NEW)
            assert caught.value.errno == errno.ENOTDIR
        assert files.get("a") == OLD

    @pytest.mark.parametrize("name", ["", "a/", "a/.", "a/.."])
    def test_to_the_name_of_a_directory_is_refused_before_any_io(self, files: Files, name: str) -> None:
        with pytest.raises(InvalidUriError, match="names a directory"):
            files.put(name, NEW)
        assert files.everything() == []

    def test_F12_onto_a_directory_is_refused(self, files: Files) -> None:
        (files.directory / "a").mkdir()
        with pytest.raises(LocalFileError, match="name a file in it") as caught:
            files.put("a", NEW)
        assert caught.value.errno == errno.EISDIR
        assert files.everything() == ["a"]

    def test_F5_goes_on_after_short_counts(self, files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
        real = os.pwrite
        monkeypatch.setattr(os, "pwrite", lambda fd, data, at: real(fd, data[:512], at))
        files.put("object", NEW)
        assert Path(files.uri("object").key).read_bytes() == NEW

    def test_F3_that_meets_the_limit_on_file_sizes_keeps_the_old_file(self, files: Files) -> None:
        files.put("object", OLD)
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, limits[1]))
        try:
            for size in (LARGE, 2 * LARGE):
                with pytest.raises(LocalFileError) as caught:
                    files.put("object", bytes(size))
                assert caught.value.errno == errno.EFBIG
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert files.everything() == ["object"]
        assert files.get("object") == OLD

    @pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EXDEV])
    @pytest.mark.parametrize("exists", [True, False], ids=["replacing", "new"])
    @pytest.mark.parametrize("durable", [True, False], ids=["durable", "plain"])
    def test_F3_F12_that_fails_in_any_system_call_leaves_the_old_file_or_the_new_one(
        self, files: Files, code: int, exists: bool, durable: bool
    ) -> None:
        if exists:
            files.put("object", OLD)
        tidied(files)
        before, allowed = descriptors(), ([OLD] if exists else [None]) + [NEW]
        calls = 0
        for index in range(100):
            with failing(index, code) as made:
                problem = refusal(lambda: files.put("object", NEW, durable=durable))
            if problem is None:
                calls = index
                break
            assert problem.errno == code
            assert str(files.uri("object")) in str(problem)
            names = files.everything()
            content = files.get("object") if names else None
            assert names in ([], ["object"])
            assert content in allowed
            if content == NEW:
                assert "rename" in made
        assert calls >= 7
        assert files.get("object") == NEW
        assert descriptors() == before

    def test_F3_of_a_new_file_that_fails_in_any_system_call_is_made_or_not_made(self, files: Files) -> None:
        tidied(files)
        for index in range(100):
            with failing(index, errno.ENOSPC) as made:
                problem = refusal(lambda: files.put("object", NEW, if_none_match=True))
            if problem is None:
                break
            assert problem.errno == errno.ENOSPC
            linked = "link" in made and made[index] != "link"
            assert files.everything() == (["object"] if linked else [])
            run(files.store.delete(files.uri("object")))
        assert files.get("object") == NEW

    def test_F4_whose_sync_fails_is_not_believed(self, files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
        synced: list[int] = []

        def fail(fd: int) -> None:
            synced.append(fd)
            raise OSError(errno.EIO, "lost")

        files.put("object", OLD)
        monkeypatch.setattr(os, "fsync", fail)
        with pytest.raises(LocalFileError, match="lost"):
            files.put("object", NEW, durable=True)
        assert len(synced) == 1
        assert files.everything() == ["object"]
        assert files.get("object") == OLD

    def test_F2_that_is_durable_is_written_synced_and_renamed_in_that_order_as_is_each_new_directory(
        self, files: Files, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with noted(monkeypatch) as order:
            files.put("a/b/object", NEW, durable=True)
        here = files.directory.name
        assert order == ["sync a", f"sync {here}", "write draft", "sync draft", "rename", "sync b"]

    def test_F2_that_need_not_be_durable_waits_for_no_disk(self, files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
        with noted(monkeypatch) as order:
            files.put("a/b/object", NEW)
        assert order == ["write draft", "rename"]

    def test_F14_gets_the_mode_that_the_umask_leaves(self, files: Files) -> None:
        before = os.umask(0o027)
        try:
            files.put("object", NEW)
        finally:
            os.umask(before)
        assert stat.S_IMODE(os.stat(files.uri("object").key).st_mode) == 0o640

    @pytest.mark.parametrize("mode", [0o600, 0o664, 0o755])
    def test_F14_keeps_the_mode_of_the_file_it_replaces(self, files: Files, mode: int) -> None:
        files.put("object", OLD)
        os.chmod(files.uri("object").key, mode)
        files.put("object", NEW)
        assert stat.S_IMODE(os.stat(files.uri("object").key).st_mode) == mode

    def test_S12_is_the_owners_alone_until_it_is_whole(self, files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
        modes: list[int] = []
        real = os.pwrite

        def look(fd: int, data: memoryview, at: int) -> int:
            modes.append(stat.S_IMODE(os.fstat(fd).st_mode))
            return real(fd, data, at)

        monkeypatch.setattr(os, "pwrite", look)
        files.put("object", NEW)
        assert set(modes) == {0o600}

    def test_S12_does_not_follow_a_link_planted_at_its_draft(
        self, files: Files, canary: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(os, "urandom", lambda count: b"\x11" * count)
        planted = files.directory / f".s3dlio-{os.getpid()}-{'11' * 8}.tmp"
        planted.symlink_to(canary / "kept")
        with pytest.raises(LocalFileError) as caught:
            files.put("object", NEW)
        assert caught.value.errno == errno.EEXIST
        assert not (files.directory / "object").exists()

    def test_S2_replaces_a_link_and_leaves_alone_what_it_names(self, files: Files, canary: Path) -> None:
        (files.directory / "object").symlink_to(canary / "kept")
        files.put("object", NEW)
        assert not (files.directory / "object").is_symlink()
        assert files.get("object") == NEW


class TestACreateOnlyWrite:
    def test_W10_makes_what_is_not_there(self, files: Files) -> None:
        files.put("object", NEW, if_none_match=True)
        assert files.get("object") == NEW
        assert files.everything() == ["object"]

    def test_W10_leaves_what_is_there(self, files: Files) -> None:
        files.put("object", OLD)
        with pytest.raises(PreconditionFailedError, match="exists already"):
            files.put("object", NEW, if_none_match=True)
        assert files.get("object") == OLD
        assert files.everything() == ["object"]

    def test_W10_is_won_by_one_of_many(self, files: Files) -> None:
        gate, won = threading.Barrier(8), list[int]()

        def contend(number: int) -> None:
            gate.wait()
            try:
                files.put("object", bytes([number]) * 100_000, if_none_match=True)
                won.append(number)
            except PreconditionFailedError:
                return

        threads = [threading.Thread(target=contend, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(won) == 1
        assert files.get("object") == bytes(won) * 100_000
        assert files.everything() == ["object"]

    def test_W10_that_loses_at_the_last_moment_leaves_the_winner(
        self, files: Files, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        real = os.fchmod

        def overtake(fd: int, mode: int) -> None:
            real(fd, mode)
            (files.directory / "object").write_bytes(OLD)

        monkeypatch.setattr(os, "fchmod", overtake)
        with pytest.raises(PreconditionFailedError):
            files.put("object", NEW, if_none_match=True)
        assert files.get("object") == OLD
        assert files.everything() == ["object"]


class TestACopy:
    @pytest.mark.parametrize("size", [0, 1, LARGE])
    def test_has_the_same_bytes(self, files: Files, size: int) -> None:
        data = os.urandom(size)
        files.put("source", data)
        run(files.store.copy(files.uri("source"), files.uri("a/target")))
        assert files.get("a/target") == files.get("source") == data

    def test_onto_itself_changes_nothing(self, files: Files) -> None:
        files.put("source", NEW)
        run(files.store.copy(files.uri("source"), files.uri("source")))
        assert files.get("source") == NEW

    def test_F6_of_a_file_that_shrinks_leaves_the_old_target(
        self, files: Files, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        files.put("source", NEW)
        files.put("target", OLD)
        real = os.copy_file_range

        def shrink(*args: Any) -> int:
            os.truncate(files.uri("source").key, 10)
            return real(*args)

        monkeypatch.setattr(os, "copy_file_range", shrink)
        with pytest.raises(ObjectChangedError, match="source"):
            run(files.store.copy(files.uri("source"), files.uri("target")))
        assert files.get("target") == OLD
        assert files.everything() == ["source", "target"]

    def test_of_nothing_makes_nothing(self, files: Files) -> None:
        with pytest.raises(NotFoundError, match="nothing"):
            run(files.store.copy(files.uri("nothing"), files.uri("a/target")))
        assert files.everything() == []


class TestStaleDrafts:
    @pytest.mark.parametrize(("dead", "hours", "kept"), [(True, 2, False), (True, 0, True), (False, 2, True)])
    def test_F1_are_removed_by_a_write_when_they_are_old_and_their_process_is_dead(
        self, files: Files, dead: bool, hours: int, kept: bool
    ) -> None:
        draft = files.directory / draft_of(dead_process() if dead else os.getpid())
        draft.touch()
        changed = draft.stat().st_mtime - hours * 3600
        os.utime(draft, (changed, changed))
        files.put("object", NEW)
        assert draft.exists() == kept

    def test_F1_are_looked_for_once_an_hour_in_a_directory(self, files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
        looks: list[object] = []
        real = os.scandir

        def look(path: Any) -> Any:
            looks.append(path)
            return real(path)

        monkeypatch.setattr(os, "scandir", look)
        for _ in range(3):
            files.put("object", NEW)
        assert len(looks) == 1

    def test_F1_are_only_files_with_the_name_of_a_draft(self, files: Files) -> None:
        names = [".s3dlio-1-0123.tmp", "x.s3dlio-99-0123456789abcdef.tmp", ".s3dlio-9-0123456789abcdeg.tmp"]
        for name in names:
            (files.directory / name).touch()
            os.utime(files.directory / name, (0, 0))
        files.put("object", NEW)
        assert files.everything() == sorted([*names, "object"])
