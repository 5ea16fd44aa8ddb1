"""A read gives one version of a file or an error, and a status is that of the same version."""

from __future__ import annotations

import errno
import os
import pickle
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from s3dlio.checksum import CRC64NVME, crc64nvme
from s3dlio.errors import (
    InvalidRangeError,
    LocalFileError,
    NotFoundError,
    ObjectChangedError,
)
from tests.core.stores.local.files import (
    LARGE,
    NEW,
    OLD,
    STORES,
    Files,
    descriptors,
    run,
)

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


@pytest.mark.parametrize("scheme", sorted(STORES))
def test_a_store_pickles(scheme: str) -> None:
    assert type(pickle.loads(pickle.dumps(STORES[scheme]))) is type(STORES[scheme])
