"""file:// and direct://: one version or an error, whole or not at all, and nothing outside the tree."""

from __future__ import annotations

import errno
import os
import pickle
import resource
import socket
import stat
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from s3dlio.checksum import CRC64NVME, crc64nvme
from s3dlio.errors import (
    AccessDeniedError,
    IntegrityError,
    InvalidRangeError,
    InvalidUriError,
    LocalFileError,
    NotFoundError,
    ObjectChangedError,
    PartialFailureError,
    PreconditionFailedError,
)
from s3dlio.stores.store import Upload
from s3dlio.uri import Uri
from tests.core.stores.files import STORES, Files, descriptors, failing, run

OLD = b"the old content"
NEW = os.urandom(3 * 4096 + 77)
LARGE = (1 << 20) + 5  # bytes; from 1 MiB on the space is reserved first

NAMES = [
    "plain",
    "é",
    "e\u0301",
    "\U0001f600",
    "\u202eright to left",
    "100%",
    "%41",
    "%2F",
    "a+b",
    "a b",
    "#",
    "?",
    "&=;~",
    "'\"",
    "*",
    "[x]{y}",
    "back\\slash",
    "c:",
    "pi|pe",
    "tab\t",
    "line\nbreak\r",
    "\x01\x7f",
    "...",
    ".hidden",
    "x" * 255,
    "deep/er/still",
]


@pytest.fixture(params=sorted(STORES))
def files(request: pytest.FixtureRequest, tmp_path: Path) -> Files:
    """A store and an empty directory."""
    return Files(request.param, tmp_path)


@pytest.fixture
def canary(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A tree that nobody was told to touch."""
    outside = tmp_path_factory.mktemp("outside")
    (outside / "kept").write_bytes(b"canary")
    (outside / "sub").mkdir()
    (outside / "sub/kept").write_bytes(b"canary")
    yield outside
    assert [(outside / name).read_bytes() for name in ("kept", "sub/kept")] == [b"canary"] * 2


@pytest.fixture
def unprivileged(tmp_path: Path) -> Iterator[Callable[[Path], None]]:
    """Take a directory's permissions away, and root's exemption from them as well."""
    taken: list[Path] = []
    root = os.geteuid() == 0

    def take(directory: Path) -> None:
        taken.append(directory)
        directory.chmod(0)
        if root:
            for above in tmp_path.parents[:-2]:
                above.chmod(above.stat().st_mode | 0o055)
            tmp_path.chmod(0o755)
            os.seteuid(65534)

    yield take
    if root:
        os.seteuid(0)
    for directory in taken:
        directory.chmod(0o755)


class TestTheRoundTrip:
    @pytest.mark.parametrize("name", NAMES)
    def test_holds_for_every_name_that_a_file_can_have(self, files: Files, name: str) -> None:
        files.put(name, NEW)
        assert files.list() == [name]
        assert files.get(name) == NEW
        assert run(files.store.stat(files.uri(name))).size == len(NEW)
        run(files.store.delete(files.uri(name)))
        assert files.list() == []

    @pytest.mark.parametrize("size", [0, 1, 4095, 4096, 4097, LARGE])
    def test_holds_for_every_size(self, files: Files, size: int) -> None:
        data = os.urandom(size)
        files.put("object", data)
        assert files.get("object") == data
        assert files.everything() == ["object"]

    def test_of_a_double_slash_lists_a_single_one(self, files: Files) -> None:
        files.put("a//b", NEW)
        assert files.get("a//b") == NEW
        assert files.list() == ["a/b"]

    def test_of_a_name_that_is_too_long_is_an_error_before_anything_is_written(self, files: Files) -> None:
        with pytest.raises(LocalFileError, match="255 bytes") as caught:
            files.put("x" * 256, NEW)
        assert caught.value.errno == errno.ENAMETOOLONG
        assert files.everything() == []

    def test_of_a_name_that_is_not_utf_8_goes_by_the_name_that_was_listed(self, files: Files) -> None:
        (Path(os.fsdecode(os.fsencode(files.directory) + b"/\xff\xfe"))).write_bytes(NEW)
        (name,) = files.list()
        assert files.get(name) == NEW


class TestARead:
    @pytest.mark.parametrize("offset", [0, 1, 4096, len(NEW) - 1])
    @pytest.mark.parametrize("length", [0, 1, 4096, 5000, 1 << 30])
    def test_gives_the_range(self, files: Files, offset: int, length: int) -> None:
        files.put("object", NEW)
        data, received = files.receive("object", offset, length)
        assert data == NEW[offset : offset + length]
        assert (received.size, received.length) == (len(NEW), len(data))

    @pytest.mark.parametrize("offset", [len(NEW), len(NEW) + 1, 1 << 62])
    def test_F9_past_the_end_is_empty(self, files: Files, offset: int) -> None:
        files.put("object", NEW)
        assert files.get("object", offset, 10) == b""

    @pytest.mark.parametrize(("offset", "length"), [(-1, 1), (0, -1)])
    def test_of_a_negative_range_is_refused(self, files: Files, offset: int, length: int) -> None:
        files.put("object", NEW)
        with pytest.raises(InvalidRangeError, match="negative"):
            files.get("object", offset, length)

    def test_computes_the_checksum_that_is_asked_for(self, files: Files) -> None:
        files.put("object", NEW)
        memory = bytearray(100)
        task = files.store.read(
            files.uri("object"), 7, 100, lambda _size, _length: memoryview(memory), algorithm=CRC64NVME
        )
        assert run(task).digest == crc64nvme(NEW[7:107])

    def test_F5_goes_on_after_short_counts(self, files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
        files.put("object", NEW)
        real = os.preadv
        monkeypatch.setattr(os, "preadv", lambda fd, to, at: real(fd, (to[0][:512],), at))
        assert files.get("object") == NEW
        assert files.get("object", 3, 9000) == NEW[3:9003]

    @pytest.mark.parametrize("keep", [0, 1, 4096, len(NEW) - 1])
    def test_F6_of_a_file_that_shrinks_is_an_error(self, files: Files, keep: int) -> None:
        files.put("object", NEW)
        with pytest.raises(ObjectChangedError):
            files.receive("object", meanwhile=lambda: os.truncate(files.uri("object").key, keep))

    def test_F6_of_a_file_that_grows_is_an_error(self, files: Files) -> None:
        files.put("object", NEW)
        path = Path(files.uri("object").key)
        with pytest.raises(ObjectChangedError):
            files.receive("object", meanwhile=lambda: path.write_bytes(NEW + b"more"))

    def test_F6_of_a_file_that_is_written_in_place_is_an_error(self, files: Files) -> None:
        files.put("object", NEW)
        path = Path(files.uri("object").key)
        os.utime(path, ns=(0, 0))
        with pytest.raises(ObjectChangedError):
            files.receive("object", meanwhile=lambda: path.write_bytes(NEW[::-1]))

    def test_F6_of_a_file_that_is_replaced_meanwhile_gives_the_old_one_whole(self, files: Files) -> None:
        files.put("object", NEW)
        assert files.receive("object", meanwhile=lambda: files.put("object", OLD))[0] == NEW

    def test_pinned_to_another_version_is_an_error(self, files: Files) -> None:
        files.put("object", NEW)
        pin = run(files.store.stat(files.uri("object"))).etag
        assert files.get("object", 5, 5, pin) == NEW[5:10]
        files.put("object", NEW)
        with pytest.raises(ObjectChangedError, match="object"):
            files.get("object", 5, 5, pin)

    def test_of_nothing_says_so(self, files: Files) -> None:
        files.put("object", OLD)
        for name in ("nothing", "object/below", "object/"):
            with pytest.raises(NotFoundError, match="cannot read"):
                files.get(name)

    def test_leaves_no_descriptor_open_however_it_ends(self, files: Files) -> None:
        files.put("object", NEW)
        before = descriptors()
        files.get("object")
        with pytest.raises(ZeroDivisionError):
            files.receive("object", meanwhile=lambda: 1 // 0)
        with pytest.raises(ObjectChangedError):
            files.get("object", pin="another")
        assert descriptors() == before


class TestWhatIsNoRegularFile:
    @pytest.fixture
    def odd(self, files: Files) -> Iterator[Files]:
        """A directory with one of each kind."""
        os.mkfifo(files.uri("fifo").key)
        (files.directory / "directory").mkdir()
        (files.directory / "device").symlink_to("/dev/null")
        with socket.socket(socket.AF_UNIX) as listener:
            here = os.getcwd()
            os.chdir(files.directory)  # the path of a socket has at most 107 bytes
            try:
                listener.bind("socket")
            finally:
                os.chdir(here)
            yield files

    @pytest.mark.parametrize("name", ["fifo", "device", "socket"])
    def test_F10_cannot_be_read(self, odd: Files, name: str) -> None:
        with pytest.raises(LocalFileError, match="not a regular file"):
            odd.get(name)

    @pytest.mark.parametrize("name", ["fifo", "device", "socket"])
    def test_F10_has_no_status(self, odd: Files, name: str) -> None:
        with pytest.raises(LocalFileError, match="not a regular file"):
            run(odd.store.stat(odd.uri(name)))

    @pytest.mark.parametrize("name", ["fifo", "device", "socket"])
    def test_F10_is_not_replaced(self, odd: Files, name: str) -> None:
        with pytest.raises(LocalFileError, match="a device, a FIFO or a socket"):
            odd.put(name, NEW)
        assert odd.everything() == ["device", "directory", "fifo", "socket"]

    def test_F10_is_not_listed(self, odd: Files) -> None:
        assert odd.list() == []
        assert odd.list(recursive=False) == ["directory/"]

    def test_F10_and_a_directory_is_not_found_as_an_object(self, odd: Files) -> None:
        for name in ("directory", "directory/"):
            with pytest.raises(NotFoundError, match="is a directory"):
                odd.get(name)
            with pytest.raises(NotFoundError, match="is a directory"):
                run(odd.store.stat(odd.uri(name)))

    def test_F10_and_a_file_that_hides_its_size_is_not_taken_for_empty(self, files: Files) -> None:
        elsewhere = Files(files.scheme, Path("/proc"))
        with pytest.raises((LocalFileError, ObjectChangedError)):
            elsewhere.get("version")


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
        before, allowed = descriptors(), ([OLD] if exists else [None]) + [NEW]
        calls = 0
        for index in range(100):
            with failing(index, code) as made:
                try:
                    files.put("object", NEW, durable=durable)
                except LocalFileError as problem:
                    assert problem.errno == code
                    assert str(files.uri("object")) in str(problem)
                else:
                    calls = index
                    break
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
        for index in range(100):
            with failing(index, errno.ENOSPC) as made:
                try:
                    files.put("object", NEW, if_none_match=True)
                except LocalFileError as problem:
                    assert problem.errno == errno.ENOSPC
                else:
                    break
            assert files.everything() == (["object"] if made.count("link") and "unlink" in made else [])
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

    def test_F2_that_is_durable_syncs_the_file_before_its_name_and_each_new_directory(
        self, files: Files, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        order: list[str] = []
        sync, rename = os.fsync, os.rename

        def note_sync(fd: int) -> None:
            order.append(os.path.basename(os.readlink(f"/proc/self/fd/{fd}")).partition("-")[0])
            sync(fd)

        def note_rename(*args: Any, **options: Any) -> None:
            order.append("rename")
            rename(*args, **options)

        monkeypatch.setattr(os, "fsync", note_sync)
        monkeypatch.setattr(os, "rename", note_rename)
        files.put("a/b/object", NEW, durable=True)
        assert order == ["a", files.directory.name.partition("-")[0], ".s3dlio", "rename", "b"]

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

    def test_S12_is_the_owners_alone_until_it_is_whole(
        self, files: Files, monkeypatch: pytest.MonkeyPatch
    ) -> None:
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


class TestAnUpload:
    def start(self, files: Files, size: int | None) -> Upload:
        return run(files.store.start_upload(files.uri("object"), size))

    @pytest.mark.parametrize("size", [2 * LARGE, None], ids=["announced", "open"])
    def test_takes_its_parts_in_any_order(self, files: Files, size: int | None) -> None:
        data = os.urandom(2 * LARGE)
        upload = self.start(files, size)
        assert files.list() == []
        second = run(files.store.write_part(upload, 2, LARGE, memoryview(data)[LARGE:]))
        first = run(files.store.write_part(upload, 1, 0, memoryview(data)[:LARGE]))
        run(files.store.complete_upload(upload, [second, first]))
        assert files.get("object") == data
        assert files.everything() == ["object"]

    def test_takes_its_parts_from_several_threads(self, files: Files) -> None:
        step, count = 4096 * 3 + 11, 16
        data = os.urandom(step * count)
        upload = self.start(files, len(data))

        def write(number: int) -> None:
            piece = memoryview(data)[number * step : (number + 1) * step]
            parts.append(run(files.store.write_part(upload, number + 1, number * step, piece)))

        parts: list[Any] = []
        threads = [threading.Thread(target=write, args=(number,)) for number in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        run(files.store.complete_upload(upload, parts))
        assert files.get("object") == data

    def test_of_no_parts_is_an_empty_file(self, files: Files) -> None:
        run(files.store.complete_upload(self.start(files, None), []))
        assert files.get("object") == b""

    @pytest.mark.parametrize("offsets", [(0, 101), (0, 99), (100, 0), (1, 101)])
    def test_with_a_hole_or_an_overlap_is_refused(self, files: Files, offsets: tuple[int, int]) -> None:
        upload = self.start(files, None)
        parts = [
            run(files.store.write_part(upload, number, offset, memoryview(bytes(100))))
            for number, offset in enumerate(offsets, 1)
        ]
        with pytest.raises(IntegrityError, match="does not begin at byte"):
            run(files.store.complete_upload(upload, parts))
        assert files.list() == []

    @pytest.mark.parametrize("size", [200, None], ids=["announced", "open"])
    def test_that_lacks_its_last_part_is_refused(self, files: Files, size: int | None) -> None:
        upload = self.start(files, size)
        first = run(files.store.write_part(upload, 1, 0, memoryview(bytes(100))))
        run(files.store.write_part(upload, 2, 100, memoryview(bytes(100))))
        with pytest.raises(IntegrityError, match="100 bytes of 200"):
            run(files.store.complete_upload(upload, [first]))

    def test_that_is_aborted_leaves_nothing_and_takes_no_more(self, files: Files) -> None:
        before = descriptors()
        upload = self.start(files, LARGE)
        run(files.store.write_part(upload, 1, 0, memoryview(NEW)))
        run(files.store.abort_upload(upload))
        run(files.store.abort_upload(upload))
        assert files.everything() == []
        with pytest.raises(NotFoundError):
            run(files.store.write_part(upload, 2, len(NEW), memoryview(NEW)))
        with pytest.raises(NotFoundError):
            run(files.store.complete_upload(upload, []))
        assert descriptors() == before

    def test_W10_that_may_only_create_leaves_what_came_first(self, files: Files) -> None:
        upload = self.start(files, None)
        files.put("object", OLD)
        with pytest.raises(PreconditionFailedError):
            run(files.store.complete_upload(upload, [], if_none_match=True))
        run(files.store.abort_upload(upload))
        assert files.get("object") == OLD
        assert files.everything() == ["object"]

    def test_F14_keeps_the_mode_of_the_file_it_replaces(self, files: Files) -> None:
        files.put("object", OLD)
        os.chmod(files.uri("object").key, 0o640)
        upload = self.start(files, 0)
        assert stat.S_IMODE(os.stat(upload.id).st_mode) == 0o600
        run(files.store.complete_upload(upload, []))
        assert stat.S_IMODE(os.stat(files.uri("object").key).st_mode) == 0o640

    def test_F3_that_cannot_get_its_space_leaves_nothing(self, files: Files) -> None:
        with pytest.raises(LocalFileError) as caught:
            self.start(files, 1 << 60)
        assert caught.value.errno in (errno.ENOSPC, errno.EFBIG)
        assert files.everything() == []


class TestStat:
    def test_agrees_with_reading_and_listing(self, files: Files) -> None:
        files.put("object", NEW)
        info = run(files.store.stat(files.uri("object")))
        ((entry,),) = [page.entries for page in files.pages("")]
        assert entry == (files.uri("object").key, info.size, info.last_modified, info.etag, "")
        assert files.receive("object")[1].etag == info.etag

    def test_of_nothing_says_so(self, files: Files) -> None:
        with pytest.raises(NotFoundError) as caught:
            run(files.store.stat(files.uri("nothing")))
        assert caught.value.uri == str(files.uri("nothing"))


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

    def test_without_permission_says_so(
        self, files: Files, unprivileged: Callable[[Path], None]
    ) -> None:
        files.put("tree/closed/b", b"")
        unprivileged(files.directory / "tree/closed")
        with pytest.raises(AccessDeniedError, match="permissions"):
            run(files.store.delete_tree(files.uri("tree/")))


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


def dead_process() -> int:
    """Return the id of a process that has ended."""
    child = os.posix_spawn(sys.executable, [sys.executable, "-S", "-c", ""], os.environ)
    os.waitpid(child, 0)
    return child


def draft_of(process: int) -> str:
    return f".s3dlio-{process}-0123456789abcdef.tmp"


class TestStaleDrafts:
    @pytest.mark.parametrize(
        ("dead", "hours", "kept"), [(True, 2, False), (True, 0, True), (False, 2, True)]
    )
    def test_F1_are_removed_by_a_write_when_they_are_old_and_their_process_is_dead(
        self, files: Files, dead: bool, hours: int, kept: bool
    ) -> None:
        draft = files.directory / draft_of(dead_process() if dead else os.getpid())
        draft.touch()
        changed = draft.stat().st_mtime - hours * 3600
        os.utime(draft, (changed, changed))
        files.put("object", NEW)
        assert draft.exists() == kept

    def test_F1_are_looked_for_once_an_hour_in_a_directory(
        self, files: Files, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        looks: list[object] = []
        real = os.scandir

        def look(path: Any) -> Any:
            looks.append(path)
            return real(path)

        monkeypatch.setattr(os, "scandir", look)
        for _ in range(3):
            files.put("object", NEW)
        assert looks == [str(files.directory)]

    def test_F1_are_only_files_with_the_name_of_a_draft(self, files: Files) -> None:
        names = [".s3dlio-1-0123.tmp", "x.s3dlio-99-0123456789abcdef.tmp", ".s3dlio-9-0123456789abcdeg.tmp"]
        for name in names:
            (files.directory / name).touch()
            os.utime(files.directory / name, (0, 0))
        files.put("object", NEW)
        assert files.everything() == sorted([*names, "object"])


@pytest.mark.parametrize("scheme", sorted(STORES))
def test_a_store_pickles(scheme: str) -> None:
    assert type(pickle.loads(pickle.dumps(STORES[scheme]))) is type(STORES[scheme])
