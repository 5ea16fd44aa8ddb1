"""`get`, `put` and `cat` move one object whole, or leave everything as it was."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import s3dlio
from s3dlio import checksum
from s3dlio.cli import streams
from tests.cli.conftest import Serve
from tests.cli.program import good, here, script
from tests.promises.place import MIB, content, digest
from tests.servers.environment import S3Bucket
from tests.servers.scripted import Asked, Fault, part, response

LARGE = 20 * MIB + 7
SMALL = b"small"


def names(folder: Path) -> list[str]:
    """Return all names in a folder, drafts too."""
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("size", [0, 5, LARGE], ids=["empty", "small", "large"])
def test_put_and_get_bring_a_file_back(base: str, tmp_path: Path, size: int) -> None:
    (tmp_path / "from").write_bytes(content(size))
    assert good("put", tmp_path / "from", f"{base}key") == []
    assert good("get", f"{base}key", tmp_path / "to") == []
    assert (tmp_path / "to").read_bytes() == content(size)


@pytest.mark.parametrize("size", [0, 5, LARGE], ids=["empty", "small", "large"])
def test_put_and_cat_go_through_pipes(base: str, size: int) -> None:
    assert here("put", "-", f"{base}key", stdin=content(size)).code == 0
    assert here("cat", f"{base}key").out == content(size)
    assert here("get", f"{base}key", "-").out == content(size)


@pytest.mark.parametrize("base", ["moto_server", "file"], indirect=True)
def test_the_script_moves_bytes_through_its_pipes(base: str) -> None:
    assert script("put", "-", f"{base}key", stdin=content(LARGE)).code == 0
    assert script("cat", f"{base}key", f"{base}key").out == content(LARGE) * 2


RANGES = [(0, 0), (0, 5), (3, None), (1, LARGE - 2), (LARGE - 1, 10), (LARGE, 5), (9 * MIB, 9 * MIB)]


def test_a_range_is_what_slicing_gives(base: str, tmp_path: Path) -> None:
    s3dlio.put(f"{base}key", content(LARGE))
    for offset, length in RANGES:
        wanted = content(LARGE)[offset : None if length is None else offset + length]
        options = ["--offset", str(offset), *(["--length", str(length)] if length is not None else [])]
        good("get", f"{base}key", tmp_path / "to", *options)
        assert digest((tmp_path / "to").read_bytes()) == digest(wanted)
        assert digest(here("get", f"{base}key", "-", *options).out) == digest(wanted)


def test_get_without_a_file_takes_the_name_of_the_key(
    base: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    s3dlio.put(f"{base}sub/name.txt", SMALL)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    good("get", f"{base}sub/name.txt")
    assert (tmp_path / "work/name.txt").read_bytes() == SMALL
    (tmp_path / "work/folder").mkdir()
    good("get", f"{base}sub/name.txt", "folder")
    assert (tmp_path / "work/folder/name.txt").read_bytes() == SMALL


def test_put_completes_a_uri_that_ends_in_a_slash(base: str, tmp_path: Path) -> None:
    (tmp_path / "name.txt").write_bytes(SMALL)
    good("put", tmp_path / "name.txt", f"{base}sub/")
    assert s3dlio.get(f"{base}sub/name.txt") == SMALL


@pytest.mark.parametrize("size", [5, LARGE], ids=["small", "large"])
@pytest.mark.parametrize("source", ["file", "pipe"])
@pytest.mark.parametrize("base", ["moto_server", "file", "direct"], indirect=True)  # the gateway knows no conditions
def test_create_only_refuses_an_existing_object_and_leaves_it(
    base: str, tmp_path: Path, size: int, source: str
) -> None:
    (tmp_path / "from").write_bytes(content(size))
    given = str(tmp_path / "from") if source == "file" else "-"
    assert here("put", "--create-only", given, f"{base}key", stdin=content(size)).code == 0
    assert s3dlio.get(f"{base}key") == content(size)
    s3dlio.put(f"{base}key", SMALL)
    assert here("put", "--create-only", given, f"{base}key", stdin=content(size)).code == 1
    assert s3dlio.get(f"{base}key") == SMALL
    assert s3dlio.list(base, recursive=True) == [f"{base}key"]


def test_a_get_that_fails_leaves_the_old_file(base: str, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "to").write_bytes(b"old")
    for options in ([], ["--offset", "1"], ["--length", "0"]):
        assert here("get", f"{base}missing", folder / "to", *options).code == 3
    assert (folder / "to").read_bytes() == b"old"
    assert names(folder) == ["to"]


def test_a_directory_is_not_put(tmp_path: Path) -> None:
    done = here("put", tmp_path, f"file://{tmp_path}/x")
    assert (done.code, "use upload" in done.err) == (2, True)


def test_a_key_without_a_name_needs_a_file(tmp_path: Path) -> None:
    assert here("get", "s3://bucket/").code == 2


def test_a_pipe_that_breaks_leaves_no_object_and_no_upload(moto_s3: S3Bucket) -> None:
    def breaking() -> Iterator[memoryview]:
        yield memoryview(bytes(8 * MIB))
        yield memoryview(bytes(8 * MIB))
        raise OSError("the pipe broke")

    with pytest.raises(OSError, match="the pipe broke"):
        streams.write(moto_s3.uri("key"), breaking())
    assert "Uploads" not in moto_s3.client.list_multipart_uploads(Bucket=moto_s3.bucket)
    assert s3dlio.list(moto_s3.uri()) == []


def test_pieces_of_two_versions_are_not_put_together(serve: Serve) -> None:
    def replaced(request: Asked) -> list[bytes | Fault]:
        pinned = request.fields.get("if-match", '"1"')
        return [part(request, content(LARGE), ETag='"1"') if pinned == '"1"' and not request.number else response(412)]

    with serve(replaced):
        done = here("cat", "s3://bucket/key")
    assert done.code == 1
    assert "was replaced" in done.err
    assert done.out == content(LARGE)[: 8 * MIB]


def test_pieces_without_a_version_come_in_one_request(serve: Serve) -> None:
    def without_etag(request: Asked) -> list[bytes | Fault]:
        return [part(request, content(LARGE)).replace(b'ETag: "one"\r\n', b"")]

    with serve(without_etag):
        assert here("cat", "s3://bucket/key").out == content(LARGE)


def test_D8_a_flipped_bit_in_a_later_piece_fails_and_replaces_nothing(serve: Serve, tmp_path: Path) -> None:
    stored = checksum.CRC64NVME.encode(checksum.crc64nvme(content(LARGE)))
    flipped = bytearray(content(LARGE))
    flipped[15 * MIB] ^= 1
    (tmp_path / "to").write_bytes(b"old")
    with serve(lambda request: [part(request, bytes(flipped), x_amz_checksum_crc64nvme=stored)]):
        done = here("get", "s3://bucket/key", tmp_path / "to", "--length", str(LARGE))
        assert (done.code, "checksum" in done.err) == (1, True)
        assert here("cat", "s3://bucket/key").code == 1
    assert (tmp_path / "to").read_bytes() == b"old"
