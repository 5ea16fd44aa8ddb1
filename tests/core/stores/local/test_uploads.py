"""A file in parts is seen when all of its parts are there."""

from __future__ import annotations

import errno
import os
import stat
import threading
from typing import Any

import pytest

from s3dlio.errors import (
    IntegrityError,
    LocalFileError,
    NotFoundError,
    PreconditionFailedError,
)
from s3dlio.stores.store import Upload
from tests.core.stores.local.files import (
    LARGE,
    NEW,
    OLD,
    Files,
    descriptors,
    run,
)


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

    def test_F2_F4_that_is_durable_and_cannot_be_synced_is_not_believed(
        self, files: Files, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(fd: int) -> None:
            synced.append(os.path.basename(os.readlink(f"/proc/self/fd/{fd}")))
            raise OSError(errno.EIO, "lost")

        files.put("object", OLD)
        upload, synced = self.start(files, len(NEW)), list[str]()
        part = run(files.store.write_part(upload, 1, 0, memoryview(NEW)))
        monkeypatch.setattr(os, "fsync", fail)
        with pytest.raises(LocalFileError, match="lost"):
            run(files.store.complete_upload(upload, [part], durable=True))
        run(files.store.abort_upload(upload))
        assert synced == [os.path.basename(upload.id)]
        assert files.get("object") == OLD
        assert files.everything() == ["object"]

    def test_F3_that_cannot_get_its_space_leaves_nothing(self, files: Files) -> None:
        with pytest.raises(LocalFileError) as caught:
            self.start(files, 1 << 60)
        assert caught.value.errno in (errno.ENOSPC, errno.EFBIG)
        assert files.everything() == []
