"""`ls` and `stat` show what is there, one line each, and any key exactly on request."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import s3dlio
from tests.cli.program import good, here
from tests.servers.environment import S3Bucket

ROW = re.compile(r" *(\d+\.\d [KMG]iB|\d+ B|\d+|-)  (\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ|- +)  (\S.*)")
ODD = "line\nbreak\x1b[2Jclear\tüñ"


@pytest.fixture
def filled(base: str) -> str:
    """A place with three objects on two levels."""
    s3dlio.put_many([(f"{base}a.txt", b"hello"), (f"{base}sub/b.bin", bytes(3000)), (f"{base}sub/c.txt", b"")])
    return base


def rows(lines: list[str]) -> list[tuple[str, str]]:
    """Return size and URI of each line of a listing; every line has its date."""
    matches = [ROW.fullmatch(line) for line in lines]
    return [(match[1], match[3]) for match in matches if match is not None]


def test_ls_shows_one_level_with_sizes_and_prefixes(filled: str) -> None:
    assert rows(good("ls", filled)) == [("5 B", f"{filled}a.txt"), ("-", f"{filled}sub/")]


def test_ls_recursive_shows_everything_below(filled: str) -> None:
    assert rows(good("ls", "-r", filled)) == [
        ("5 B", f"{filled}a.txt"),
        ("2.9 KiB", f"{filled}sub/b.bin"),
        ("0 B", f"{filled}sub/c.txt"),
    ]


def test_ls_bytes_shows_exact_sizes(filled: str) -> None:
    assert ("3000", f"{filled}sub/b.bin") in rows(good("ls", "-r", "--bytes", filled))


def test_ls_pattern_chooses_by_the_relative_key(filled: str) -> None:
    assert [uri for _, uri in rows(good("ls", "-r", "--pattern", "*.txt", filled))] == [
        f"{filled}a.txt",
        f"{filled}sub/c.txt",
    ]


def test_ls_count_adds_up(filled: str) -> None:
    assert good("ls", "--count", "-r", filled) == ["3 objects, 2.9 KiB"]
    assert good("ls", "--count", "--bytes", filled) == ["1 object, 5 bytes, 1 prefix"]
    assert json.loads(good("ls", "--count", "--json", "-r", filled)[0]) == {"objects": 3, "prefixes": 0, "bytes": 3005}


def test_ls_json_is_one_document_a_line(filled: str) -> None:
    first, second = map(json.loads, good("ls", "--json", filled))
    assert (first["uri"], first["size"]) == (f"{filled}a.txt", 5)
    assert first["last_modified"] == s3dlio.stat(f"{filled}a.txt")["last_modified"][:19] + first["last_modified"][19:]
    assert second == {"uri": f"{filled}sub/", "prefix": True}


def test_ls_null_gives_uris_alone(filled: str) -> None:
    assert here("ls", "-0", "-r", filled).out.decode().split("\0") == [*s3dlio.list(filled, recursive=True), ""]


def test_ls_of_nothing_is_empty(base: str) -> None:
    assert good("ls", f"{base}nothing/") == []


def test_S22_a_key_cannot_break_a_line_or_steer_a_terminal(tmp_path: Path) -> None:
    uri = f"file://{tmp_path}/{ODD}"
    s3dlio.put(uri, b"")
    shown = f"file://{tmp_path}/line\\nbreak\\x1b[2Jclear\\tüñ"
    assert [each for _, each in rows(good("ls", f"file://{tmp_path}/line"))] == [shown]
    assert good("rm", "-r", "--dry-run", f"file://{tmp_path}/") == [shown]
    missing = here("stat", f"{uri}\n")
    assert missing.err.count("\n") == 1
    assert "\x1b" not in missing.err
    assert "clear\\tüñ\\n" in missing.err


def test_S22_json_and_null_keep_a_key_exactly(tmp_path: Path) -> None:
    uri = f"file://{tmp_path}/{ODD}"
    s3dlio.put(uri, b"")
    assert json.loads(good("ls", "--json", f"file://{tmp_path}/line")[0])["uri"] == uri
    assert here("ls", "-0", f"file://{tmp_path}/line").out == f"{uri}\0".encode()


def test_a_name_that_is_no_utf_8_can_be_listed(tmp_path: Path) -> None:
    (tmp_path / "odd\udcff").write_bytes(b"x")
    assert [uri for _, uri in rows(good("ls", f"file://{tmp_path}/odd"))] == [f"file://{tmp_path}/odd\\xff"]
    assert here("ls", "-0", f"file://{tmp_path}/odd").out == f"file://{tmp_path}/odd".encode() + b"\xff\0"


def test_ls_of_a_bare_scheme_shows_the_buckets(s3: S3Bucket) -> None:
    assert f"s3://{s3.bucket}/" in good("ls", "s3://")
    assert {"uri": f"s3://{s3.bucket}/"} in map(json.loads, good("ls", "--json", "s3://"))
    assert f"s3://{s3.bucket}/\0".encode() in here("ls", "-0", "s3://").out
    assert re.fullmatch(r"[\d,]+ buckets?", good("ls", "--count", "s3://")[0])


def test_stat_shows_what_is_known(filled: str) -> None:
    lines = dict(line.split(None, 1) for line in good("stat", f"{filled}a.txt"))
    known = s3dlio.stat(f"{filled}a.txt")
    assert (lines["uri"], lines["size"], lines["etag"]) == (f"{filled}a.txt", "5", known["etag"])
    assert "version_id" not in lines
    assert json.loads(good("stat", "--json", f"{filled}a.txt")[0]) == {"uri": f"{filled}a.txt", **known}


def test_stat_shows_metadata(moto_s3: S3Bucket) -> None:
    moto_s3.client.put_object(Bucket=moto_s3.bucket, Key="k", Body=b"", Metadata={"who": "me"})
    assert "metadata.who   me" in good("stat", moto_s3.uri("k"))


def test_null_goes_with_neither_count_nor_json(tmp_path: Path) -> None:
    for other in ("--count", "--json"):
        assert here("ls", "-0", other, f"file://{tmp_path}/").code == 2
