"""`upload` and `download` keep a tree, leave out what is there, and say what they did."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

import s3dlio
from s3dlio.cli.moving import Lines
from tests.cli.program import Done, good, here, on_a_terminal
from tests.promises.place import MIB, content
from tests.servers.environment import S3Bucket

SUMMARY = re.compile(
    r"(uploaded|downloaded|copied) (\d+) objects?, ([\d.]+ \w+) in [\d.]+ s(?: \([\d.]+ \w+/s\))?(?:, skipped (\d+))?"
)
NAMES = ["one.txt", "sub/deeper/three.txt", "sub/two.bin"]
LATER = 4_000_000_000  # seconds: in 2096, later than anything that is stored here


def summary(done: Done) -> tuple[str, int, str, int]:
    """Return word, objects, bytes and what was skipped, of the last line."""
    assert done.code == 0, done.err
    match = SUMMARY.fullmatch(done.err.splitlines()[-1])
    assert match is not None, done.err
    return match[1], int(match[2]), match[3], int(match[4] or 0)


def files(top: Path) -> dict[str, bytes]:
    """Return what lies below a directory."""
    return {path.relative_to(top).as_posix(): path.read_bytes() for path in top.rglob("*") if path.is_file()}


def test_a_tree_goes_up_and_comes_back(base: str, tree: Path, tmp_path: Path) -> None:
    assert summary(here("upload", tree, f"{base}train")) == ("uploaded", 3, "2.9 KiB", 0)
    assert s3dlio.list_keys(f"{base}train/", recursive=True) == NAMES
    assert summary(here("download", f"{base}train", tmp_path / "back")) == ("downloaded", 3, "2.9 KiB", 0)
    assert files(tmp_path / "back") == files(tree)


def test_one_file_goes_up_and_comes_back(base: str, tree: Path, tmp_path: Path) -> None:
    assert summary(here("upload", tree / "one.txt", f"{base}sub/"))[1] == 1
    assert summary(here("download", f"{base}sub/one.txt", tmp_path / "back"))[1] == 1
    assert files(tmp_path / "back") == {"one.txt": b"one"}


def test_a_pattern_chooses(base: str, tree: Path, tmp_path: Path) -> None:
    assert summary(here("upload", tree, base, "--pattern", "*.txt"))[1] == 2
    assert summary(here("download", base, tmp_path / "back", "--pattern", "sub/*"))[1] == 1
    assert set(files(tmp_path / "back")) == {"sub/deeper/three.txt"}


def test_skip_existing_uploads_what_is_new_and_what_has_changed(base: str, tree: Path) -> None:
    for name in NAMES:
        os.utime(tree / name, (0, 0))
    assert summary(here("upload", "--skip-existing", tree, base)) == ("uploaded", 3, "2.9 KiB", 0)
    assert summary(here("upload", "--skip-existing", tree, base)) == ("uploaded", 0, "0 B", 3)
    (tree / "a new one").write_bytes(b"new")
    (tree / "one.txt").write_bytes(b"other size")
    (tree / "sub/two.bin").write_bytes(b"3" * 3000)
    os.utime(tree / "sub/two.bin", (LATER, LATER))
    assert summary(here("upload", "--skip-existing", tree, base)) == ("uploaded", 3, "2.9 KiB", 1)
    assert s3dlio.get(f"{base}sub/two.bin") == b"3" * 3000


def test_skip_existing_downloads_what_is_new_and_what_has_changed(base: str, tree: Path, tmp_path: Path) -> None:
    s3dlio.upload(tree, base)
    back = tmp_path / "back"
    assert summary(here("download", "--skip-existing", base, back))[1::2] == (3, 0)
    for name in NAMES:
        os.utime(back / name, (LATER, LATER))
    assert summary(here("download", "--skip-existing", base, back))[1::2] == (0, 3)
    os.utime(back / "one.txt", (0, 0))
    (back / "sub/two.bin").unlink()
    (back / "something else").write_bytes(b"")
    assert summary(here("download", "--skip-existing", base, back))[1::2] == (2, 1)
    assert files(back) == {**files(tree), "something else": b""}


def test_skip_existing_knows_one_file_too(base: str, tree: Path, tmp_path: Path) -> None:
    os.utime(tree / "one.txt", (0, 0))
    assert [summary(here("upload", "--skip-existing", tree / "one.txt", base))[1::2] for _ in "12"] == [(1, 0), (0, 1)]
    command = ["download", "--skip-existing", f"{base}one.txt", str(tmp_path / "back")]
    assert summary(here(*command))[1::2] == (1, 0)
    os.utime(tmp_path / "back/one.txt", (LATER, LATER))
    assert summary(here(*command))[1::2] == (0, 1)


def test_names_that_share_a_beginning_are_told_apart(base: str, tmp_path: Path) -> None:
    top = tmp_path / "odd"
    names = ["a", "a!b", "a-b/c", "a.d/e", "a/z" if base.startswith("s3") else "az", "aé/f", "b"]
    for name in (each for each in names if each != "a/z"):
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_bytes(b"x")
        os.utime(top / name, (0, 0))
    good("upload", "-q", top, base)
    assert summary(here("upload", "--skip-existing", top, base))[1] == 0


def test_what_fails_is_named_and_the_others_are_done(tmp_path: Path, moto_s3: S3Bucket) -> None:
    s3dlio.put_many([(moto_s3.uri(f"t/{name}"), b"x") for name in ("good", "a/../evil", "fine")])
    done = here("download", moto_s3.uri("t/"), tmp_path / "back")
    assert done.code == 5
    assert [line.startswith("s3dlio: ") for line in done.err.splitlines()] == [True, True]
    assert "a/../evil" in done.err
    assert files(tmp_path / "back") == {"good": b"x", "fine": b"x"}


def test_a_missing_source_is_not_found(base: str, tmp_path: Path) -> None:
    assert here("upload", tmp_path / "missing", base).code == 3
    assert here("download", f"{base}missing", tmp_path / "back").code == 3


def test_quiet_says_nothing(base: str, tree: Path) -> None:
    assert here("upload", "-q", tree, base).err == ""


@pytest.mark.parametrize("base", ["juicefs_server", "file"], indirect=True)
def test_a_terminal_gets_a_bar_of_the_whole_and_a_summary(base: str, tree: Path, tmp_path: Path) -> None:
    (tree / "large").write_bytes(content(10 * MIB))
    done = on_a_terminal("upload", tree, base)
    assert done.code == 0, done.err
    assert done.out == b""
    assert "of 4 objects" in done.err
    assert "10.0 MiB" in done.err
    assert "uploaded 4 objects, 10.0 MiB in " in done.err
    os.utime(tree / "large", (0, 0))
    assert "of 3 objects" in on_a_terminal("download", "--pattern", "*t*", base, tmp_path / "back").err


def test_a_bar_leaves_out_what_is_skipped(tree: Path, tmp_path: Path) -> None:
    for name in NAMES:
        os.utime(tree / name, (0, 0))
    good("upload", tree, f"file://{tmp_path}/to")
    (tmp_path / "to/one.txt").unlink()
    done = on_a_terminal("upload", "--skip-existing", tree, f"file://{tmp_path}/to")
    assert "of 1 object" in done.err
    assert "uploaded 1 object, 3 B" in done.err
    assert "skipped 2" in done.err


def test_without_a_terminal_a_line_comes_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    clock = iter([0.0, 1.0, 5.0, 6.0, 11.0])
    lines = Lines(lambda: next(clock))
    for number in range(1, 5):
        lines.moved(number, number << 20)
    assert capsys.readouterr().err.splitlines() == [
        "2 objects, 2.0 MiB in 5.0 s (409.6 KiB/s)",
        "4 objects, 4.0 MiB in 11.0 s (372.4 KiB/s)",
    ]


def test_wanted_leaves_out_and_sees_names_sizes_and_times(base: str, tree: Path, tmp_path: Path) -> None:
    asked: list[tuple[str, int]] = []

    def wanted(relative: str, size: int, modified: str) -> bool:
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", modified)
        asked.append((relative, size))
        return relative != "one.txt"

    assert s3dlio.upload(tree, base, wanted=wanted)["files"] == 2
    assert asked == [("one.txt", 3), ("sub/deeper/three.txt", 0), ("sub/two.bin", 3000)]
    assert s3dlio.download(base, tmp_path / "back", wanted=lambda *_: False)["files"] == 0
