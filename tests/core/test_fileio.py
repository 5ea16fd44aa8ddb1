"""Local file input and output: half-done system calls are finished, and refusals are explained."""

from __future__ import annotations

import errno
import os
import pickle
from pathlib import Path

import pytest

from s3dlio import fileio
from s3dlio.errors import AccessDeniedError, LocalFileError, NotFoundError
from s3dlio.uri import Uri


@pytest.fixture
def descriptor(tmp_path: Path) -> int:
    """A descriptor of a new file that holds ten bytes."""
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    return os.open(path, os.O_RDWR)


class TestReading:
    def test_F5_short_counts_are_read_on_from(self, descriptor: int, monkeypatch: pytest.MonkeyPatch) -> None:
        real = os.preadv
        monkeypatch.setattr(os, "preadv", lambda fd, to, at: real(fd, (to[0][:3],), at))
        memory = bytearray(8)
        assert fileio.read_into(descriptor, memoryview(memory), 1) == 8
        assert memory == b"12345678"
        os.close(descriptor)

    def test_the_end_of_the_file_ends_a_read(self, descriptor: int) -> None:
        memory = bytearray(8)
        assert fileio.read_into(descriptor, memoryview(memory), 6) == 4
        assert memory == b"6789\0\0\0\0"
        os.close(descriptor)


class TestWriting:
    def test_F5_short_counts_are_written_on_from(self, descriptor: int, monkeypatch: pytest.MonkeyPatch) -> None:
        real = os.pwrite
        monkeypatch.setattr(os, "pwrite", lambda fd, data, at: real(fd, data[:3], at))
        fileio.write_from(descriptor, memoryview(b"abcdefgh"), 1)
        assert os.pread(descriptor, 20, 0) == b"0abcdefgh9"
        os.close(descriptor)

    def test_a_file_system_that_takes_nothing_is_an_error_and_no_endless_loop(
        self, descriptor: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(os, "pwrite", lambda fd, data, at: 0)
        with pytest.raises(OSError, match="took no bytes"):
            fileio.write_from(descriptor, memoryview(b"abc"), 0)
        os.close(descriptor)


class TestCopying:
    @pytest.mark.parametrize("code", [errno.EXDEV, errno.ENOSYS, errno.EOPNOTSUPP])
    def test_is_done_by_another_call_where_the_first_is_refused(
        self, descriptor: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
    ) -> None:
        def refuse(*_: object) -> int:
            raise OSError(code, os.strerror(code))

        monkeypatch.setattr(os, "copy_file_range", refuse)
        target = os.open(tmp_path / "copy", os.O_RDWR | os.O_CREAT)
        assert fileio.copy_all(descriptor, target, 10) == 10
        assert os.pread(target, 20, 0) == b"0123456789"
        os.close(target)
        os.close(descriptor)

    def test_other_refusals_are_passed_on(self, descriptor: int, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(*_: object) -> int:
            raise OSError(errno.ENOSPC, "full")

        monkeypatch.setattr(os, "copy_file_range", refuse)
        with pytest.raises(OSError, match="full"):
            fileio.copy_all(descriptor, descriptor, 10)
        os.close(descriptor)

    def test_a_source_that_ends_early_is_told_by_the_count(self, descriptor: int, tmp_path: Path) -> None:
        target = os.open(tmp_path / "copy", os.O_RDWR | os.O_CREAT)
        assert fileio.copy_all(descriptor, target, 100) == 10
        os.close(target)
        os.close(descriptor)


class TestRefusals:
    @pytest.mark.parametrize(
        ("code", "kind"),
        [
            (errno.ENOENT, NotFoundError),
            (errno.ENOTDIR, NotFoundError),
            (errno.EACCES, AccessDeniedError),
            (errno.EPERM, AccessDeniedError),
            (errno.ENOSPC, LocalFileError),
            (errno.EIO, LocalFileError),
        ],
    )
    def test_become_the_error_that_says_what_to_catch(self, code: int, kind: type[Exception]) -> None:
        problem = OSError(code, os.strerror(code))
        assert type(fileio.translate(problem, "file:///x", "read")) is kind

    @pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EROFS, errno.EMFILE])
    def test_keep_the_errno_and_name_the_uri_also_after_pickling(self, code: int) -> None:
        error = fileio.translate(OSError(code, os.strerror(code)), "file:///x", "write")
        again = pickle.loads(pickle.dumps(error))
        assert isinstance(again, OSError)
        assert again.errno == code
        assert "file:///x" in str(again)
        assert os.strerror(code) in str(again)

    def test_a_full_disk_says_what_to_do(self) -> None:
        assert "free some space" in str(fileio.translate(OSError(errno.ENOSPC, "full"), "file:///x", "write"))

    def test_are_explained_with_their_cause(self) -> None:
        with pytest.raises(NotFoundError) as caught, fileio.translated("file:///x", "read"):
            os.stat("/nowhere/at/all")
        assert isinstance(caught.value.__cause__, FileNotFoundError)

    def test_errors_of_ours_pass_as_they_are(self) -> None:
        ours = NotFoundError("gone", "file:///y")
        with pytest.raises(NotFoundError) as caught, fileio.translated("file:///x", "read"):
            raise ours
        assert caught.value is ours


class TestAVersion:
    def test_is_named_by_inode_time_and_size(self, tmp_path: Path) -> None:
        path = tmp_path / "file"
        path.write_bytes(b"abc")
        os.utime(path, ns=(0, 1_700_000_000_123_456_789))
        status = os.stat(path)
        assert fileio.etag(status) == f"{status.st_ino:x}-{1_700_000_000_123_456_789:x}-3"

    @pytest.mark.parametrize(
        ("nanoseconds", "text"),
        [
            (1_700_000_000_123_456_789, "2023-11-14T22:13:20.123456Z"),
            (0, "1970-01-01T00:00:00.000000Z"),
            (-1_000, "1969-12-31T23:59:59.999999Z"),
        ],
    )
    def test_has_a_time_in_rfc_3339_to_the_microsecond(self, tmp_path: Path, nanoseconds: int, text: str) -> None:
        path = tmp_path / "file"
        path.touch()
        os.utime(path, ns=(0, nanoseconds))
        assert fileio.modified(os.stat(path)) == text


def test_F10_opening_what_is_no_regular_file_leaves_no_descriptor_open(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(NotFoundError, match="is a directory"):
        fileio.open_regular(Uri("file", "", str(tmp_path)))
    assert len(os.listdir("/proc/self/fd")) == before
