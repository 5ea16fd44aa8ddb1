"""The operation log as a file: what stands in a line, where it is written, and for how long."""

import os
import re
import stat
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from inspect import iscoroutine
from pathlib import Path
from types import CoroutineType

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

import s3dlio
from s3dlio import operations
from s3dlio.oplog.row import HEADER, Row, escaped
from s3dlio.oplog.writer import Writer
from tests.core.oplog_lines import COLUMNS, Log, lines_of, logged


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    with logged(tmp_path / "operations.tsv") as log:
        yield log


class TestALine:
    @given(st.text(), st.text())
    def test_S22_stays_one_line_of_13_columns_whatever_the_key(self, key: str, error: str) -> None:
        row = Row("GET", f"s3://bucket/{key}", 0, 0, 0, error=error)
        text = row.text(0, "me")
        assert text.count("\n") == 1
        assert text.endswith("\n")
        assert len(text.splitlines()) == 1
        assert len(text.split("\t")) == len(COLUMNS)
        assert '"' not in text

    @given(st.text())
    def test_S22_has_no_character_that_a_terminal_obeys_and_can_be_turned_back(self, text: str) -> None:
        written = escaped(text)
        assert written.isprintable()
        assert re.sub(r"\\(x..|u....|U........|.)", turned_back, written) == text

    def test_keeps_a_plain_key_as_it_is(self) -> None:
        assert escaped("s3://bucket/a b/ünïcode/?x=1&y=%41#🙂") == "s3://bucket/a b/ünïcode/?x=1&y=%41#🙂"


def turned_back(escape: re.Match[str]) -> str:
    """Return the character that an escape stands for."""
    word = escape[1]
    return {"t": "\t", "n": "\n", "r": "\r", "\\": "\\"}[word] if len(word) == 1 else chr(int(word[1:], 16))


class TestTheFile:
    def test_has_the_columns_that_warp_reads(self) -> None:
        assert HEADER.split() == list(COLUMNS)
        assert HEADER.count("\t") == len(COLUMNS) - 1

    def test_is_readable_by_its_owner_alone(self, log: Log) -> None:
        assert stat.S_IMODE(log.path.stat().st_mode) == 0o600

    def test_may_be_named_by_a_path_a_str_or_a_uri(self, tmp_path: Path) -> None:
        for name in (tmp_path / "one", str(tmp_path / "two"), f"file://{tmp_path}/three"):
            s3dlio.init_op_log(name)
            s3dlio.finalize_op_log()
        assert [(tmp_path / name).read_text() for name in ("one", "two", "three")] == [HEADER] * 3

    def test_that_ends_in_zst_is_compressed(self, tmp_path: Path) -> None:
        path = tmp_path / "log.tsv.zst"
        s3dlio.init_op_log(path)
        for _ in range(2000):
            s3dlio.exists(f"file://{tmp_path}/nothing")
        s3dlio.finalize_op_log()
        plain = tmp_path / "log.tsv"
        with path.open("rb") as source, plain.open("wb") as target:
            zstandard.ZstdDecompressor().copy_stream(source, target)
        assert len(lines_of(plain)) == 2000
        assert s3dlio.op_log_stats()["bytes_written"] == path.stat().st_size < plain.stat().st_size / 4

    def test_replaces_the_one_of_an_earlier_run(self, tmp_path: Path) -> None:
        path = tmp_path / "log"
        path.write_text("old" * 10_000)
        path.chmod(0o644)
        s3dlio.init_op_log(path)
        s3dlio.finalize_op_log()
        assert path.read_text() == HEADER
        assert stat.S_IMODE(path.stat().st_mode) == 0o600

    def test_S12_is_not_written_through_a_link_that_was_planted(self, tmp_path: Path) -> None:
        (tmp_path / "victim").write_text("mine")
        (tmp_path / "log").symlink_to(tmp_path / "victim")
        with pytest.raises(s3dlio.LocalFileError, match="no regular file"):
            s3dlio.init_op_log(tmp_path / "log")
        os.unlink(tmp_path / "log")
        os.link(tmp_path / "victim", tmp_path / "log")
        s3dlio.init_op_log(tmp_path / "log")
        s3dlio.finalize_op_log()
        assert (tmp_path / "victim").read_text() == "mine"

    @pytest.mark.parametrize("name", ["folder", "fifo"])
    def test_is_no_directory_and_no_fifo(self, tmp_path: Path, name: str) -> None:
        (tmp_path / "folder").mkdir()
        os.mkfifo(tmp_path / "fifo")
        with pytest.raises(s3dlio.LocalFileError, match=name):
            s3dlio.init_op_log(tmp_path / name)
        assert not s3dlio.is_op_log_active()

    def test_needs_its_directory(self, tmp_path: Path) -> None:
        with pytest.raises(s3dlio.NotFoundError, match="create it first"):
            s3dlio.init_op_log(tmp_path / "no" / "log")
        assert not s3dlio.is_op_log_active()

    @pytest.mark.parametrize("path", ["", "s3://bucket/log", "direct:///tmp/log", "http://host/log", "a\0b"])
    def test_is_a_local_place(self, path: str) -> None:
        with pytest.raises(s3dlio.InvalidUriError):
            s3dlio.init_op_log(path)

    @pytest.mark.parametrize("path", [None, 5, b"/tmp/log"])
    def test_is_named_by_text(self, path: object) -> None:
        with pytest.raises(TypeError, match="a path or a file:// URI"):
            s3dlio.init_op_log(path)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # the point

    def test_is_full_of_what_was_written_before_the_disk_was(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("s3dlio.oplog._open", lambda place: os.open("/dev/full", os.O_WRONLY))
        s3dlio.init_op_log(tmp_path / "log")
        for _ in range(3):
            s3dlio.exists(f"file://{tmp_path}/nothing")
        with pytest.raises(s3dlio.LocalFileError, match="incomplete, writing it failed: No space left"):
            s3dlio.finalize_op_log()
        stats = s3dlio.op_log_stats()
        assert (stats["operations"], stats["dropped"], stats["active"]) == (0, 3, False)


class TestTheLog:
    def test_is_off_until_it_is_opened_and_again_after_its_end(self, tmp_path: Path) -> None:
        assert not s3dlio.is_op_log_active()
        s3dlio.init_op_log(tmp_path / "log")
        assert s3dlio.is_op_log_active()
        s3dlio.finalize_op_log()
        assert not s3dlio.is_op_log_active()
        s3dlio.finalize_op_log()

    def test_that_is_off_leaves_the_operations_as_they_are(self, tmp_path: Path) -> None:
        uri = f"file://{tmp_path}/one"
        for task in (operations.get(uri), operations.stat(uri), operations.delete(uri, False)):
            assert type(task) is CoroutineType
            assert iscoroutine(task)
            task.close()

    def test_can_be_opened_again(self, tmp_path: Path) -> None:
        for name in ("one", "two"):
            s3dlio.init_op_log(tmp_path / name)
            s3dlio.exists(f"file://{tmp_path}/{name}")
            s3dlio.finalize_op_log()
        for name in ("one", "two"):
            told = [(line["idx"], line["file"]) for line in lines_of(tmp_path / name)]
            assert told == [("0", f"file://{tmp_path}/{name}")]

    def test_that_is_open_is_not_opened_again(self, log: Log, tmp_path: Path) -> None:
        with pytest.raises(s3dlio.S3dlioError, match="finalize_op_log first"):
            s3dlio.init_op_log(tmp_path / "other")
        assert not (tmp_path / "other").exists()
        assert s3dlio.is_op_log_active()

    def test_counts_what_it_holds(self, log: Log, tmp_path: Path) -> None:
        with pytest.raises(s3dlio.NotFoundError):
            s3dlio.get(f"file://{tmp_path}/nothing")
        s3dlio.exists(f"file://{tmp_path}/nothing")
        assert s3dlio.op_log_stats()["operations"] == 2
        log.finished()
        size = log.path.stat().st_size
        assert s3dlio.op_log_stats() == {
            "path": str(log.path),
            "active": False,
            "operations": 2,
            "errors": 1,
            "dropped": 0,
            "bytes_written": size,
        }

    def test_is_finished_when_the_program_ends(self, tmp_path: Path) -> None:
        code = (
            "import s3dlio, sys\ns3dlio.init_op_log(sys.argv[1])\n"
            "for _ in range(500): s3dlio.exists('file:///nothing')\n"
        )
        for name in ("log.tsv", "log.tsv.zst"):
            subprocess.run([sys.executable, "-X", "dev", "-c", code, str(tmp_path / name)], check=True)
        (tmp_path / "plain").write_bytes(zstandard.decompress((tmp_path / "log.tsv.zst").read_bytes(), 1 << 20))
        assert len(lines_of(tmp_path / "log.tsv")) == len(lines_of(tmp_path / "plain")) == 500

    def test_belongs_to_the_process_that_opened_it(self, log: Log, tmp_path: Path) -> None:
        s3dlio.exists(f"file://{tmp_path}/before")

        def child() -> bool:
            quiet = not s3dlio.is_op_log_active() and s3dlio.op_log_stats()["path"] is None
            s3dlio.exists(f"file://{tmp_path}/in-child")
            s3dlio.init_op_log(tmp_path / "of-child")
            s3dlio.exists(f"file://{tmp_path}/in-child-again")
            s3dlio.finalize_op_log()
            return quiet

        assert in_a_fork(child)
        s3dlio.exists(f"file://{tmp_path}/after")
        assert [uri for _, uri in log.ops()] == [f"file://{tmp_path}/{name}" for name in ("before", "after")]
        assert [line["file"] for line in lines_of(tmp_path / "of-child")] == [f"file://{tmp_path}/in-child-again"]

    def test_P8_has_every_operation_of_128_threads(self, log: Log, tmp_path: Path) -> None:
        uris = [f"file://{tmp_path}/{number}" for number in range(128)]
        together = threading.Barrier(128)

        def work(uri: str) -> None:
            together.wait()
            for _ in range(20):
                s3dlio.exists(uri)

        threads = [threading.Thread(target=work, args=(uri,)) for uri in uris]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        lines = log.finished()
        assert [line["idx"] for line in lines] == [str(number) for number in range(128 * 20)]
        assert Counter(line["file"] for line in lines) == Counter(uris * 20)
        assert len({(line["thread"], line["file"]) for line in lines}) == 128
        assert {int(line["thread"]) for line in lines} <= set(range(256))


def in_a_fork(work: Callable[[], bool]) -> bool:
    """Run a function in the child of a fork; return whether it said True there."""
    child = os.fork()
    if child == 0:
        status = 2
        try:
            status = 0 if work() else 1
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


class TestTheQueue:
    def test_makes_who_is_ahead_of_the_disk_wait_and_loses_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("s3dlio.oplog.writer._MOST", 64)
        monkeypatch.setattr("s3dlio.oplog.writer._URGENT", 32)
        reading, writing = os.pipe()
        writer = Writer(writing, "me", None)
        waiting: list[int] = []

        def add_all() -> None:
            for number in range(5000):
                writer.add(Row("GET", f"s3://bucket/{number}", 0, 0, 0))
                waiting.append(writer.accepted - writer.operations)
            writer.finish()

        adding = threading.Thread(target=add_all)
        adding.start()
        with os.fdopen(reading, encoding="utf-8") as pipe:
            lines = list(pipe)
        adding.join()
        assert [line.split("\t")[7] for line in lines[1:]] == [f"s3://bucket/{number}" for number in range(5000)]
        assert max(waiting) < 64
        assert writer.dropped == 0
