"""Trees and copies: names kept, nothing half written, and no key that leaves the directory."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

import s3dlio
from s3dlio.errors import InvalidUriError, NotFoundError
from tests.promises.place import MIB, Place, content, digest

FILES = {"one.dat": 10, "two.txt": 0, "sub/three.dat": 5000, "sub/deeper/four.dat": MIB + 1, "sub/é x.dat": 3}


def plant(folder: Path) -> Path:
    """Make the tree of `FILES` in a folder."""
    for name, size in FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content(size))
    return folder


def harvest(folder: Path) -> dict[str, int]:
    """Return the relative names and sizes of the files in a folder, hidden ones too, if each is whole."""
    found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    assert all(path.read_bytes() == content(path.stat().st_size) for path in found.values())
    return {name: path.stat().st_size for name, path in found.items()}


class Trees(Place):
    """upload, download and copy."""

    def test_upload_keeps_the_tree_and_tells_what_it_moved(self, tmp_path: Path) -> None:
        folder = plant(tmp_path / "from")
        summary = s3dlio.upload(f"file://{folder}/", self.base)
        assert (summary["files"], summary["bytes"]) == (len(FILES), sum(FILES.values()))
        assert summary["seconds"] > 0
        assert sorted(s3dlio.list_keys(self.base, recursive=True)) == sorted(FILES)
        for name, size in FILES.items():
            assert digest(s3dlio.get(self.uri(name))) == digest(content(size))

    def test_download_brings_the_tree_back_and_tells_what_it_moved(self, tmp_path: Path) -> None:
        s3dlio.upload(plant(tmp_path / "from"), self.base)
        summary = s3dlio.download(self.base, tmp_path / "to" / "here")
        assert (summary["files"], summary["bytes"]) == (len(FILES), sum(FILES.values()))
        assert harvest(tmp_path / "to" / "here") == FILES

    @pytest.mark.parametrize("pattern", ["*.dat", re.compile(r"\.dat$")], ids=["glob", "regular"])
    def test_a_pattern_chooses_what_moves(self, tmp_path: Path, pattern: str | re.Pattern[str]) -> None:
        folder = plant(tmp_path / "from")
        chosen = {name: size for name, size in FILES.items() if name.endswith(".dat")}
        s3dlio.upload(folder, self.uri("some/"), pattern=pattern)
        assert sorted(s3dlio.list_keys(self.uri("some/"), recursive=True)) == sorted(chosen)
        s3dlio.upload(folder, self.uri("all/"))
        s3dlio.download(self.uri("all/"), tmp_path / "to", pattern=pattern)
        assert harvest(tmp_path / "to") == chosen

    def test_one_level_moves_without_what_is_below(self, tmp_path: Path) -> None:
        folder = plant(tmp_path / "from")
        assert s3dlio.upload(folder, self.uri("top/"), recursive=False)["files"] == 2
        assert s3dlio.list_keys(self.uri("top/"), recursive=True) == ["one.dat", "two.txt"]
        s3dlio.upload(folder, self.uri("all/"))
        assert s3dlio.download(self.uri("all/"), tmp_path / "to", recursive=False)["files"] == 2
        assert harvest(tmp_path / "to") == {"one.dat": 10, "two.txt": 0}

    def test_the_older_names_of_the_arguments_work(self, tmp_path: Path) -> None:
        folder = plant(tmp_path / "from")
        s3dlio.upload(local_dir=str(folder), remote_uri=self.base, pattern="*.dat")
        s3dlio.download(remote_uri=self.base, local_dir=str(tmp_path / "to"), pattern="*.dat")
        assert harvest(tmp_path / "to") == {name: size for name, size in FILES.items() if name.endswith(".dat")}

    def test_source_and_destination_are_each_given_once(self, tmp_path: Path) -> None:
        with pytest.raises(TypeError, match="dest_uri"):
            s3dlio.upload(tmp_path)
        with pytest.raises(TypeError, match="src_uri"):
            s3dlio.download(self.base, tmp_path, remote_uri=self.base)

    def test_one_file_is_uploaded_below_a_prefix_or_as_a_key(self, tmp_path: Path) -> None:
        path = plant(tmp_path) / "one.dat"
        s3dlio.upload(path, self.uri("prefix/"))
        s3dlio.upload(path, self.uri("renamed"))
        assert self.relative(s3dlio.list(self.base, recursive=True)) == ["prefix/one.dat", "renamed"]
        assert bytes(s3dlio.get(self.uri("renamed"))) == content(10)

    def test_one_object_is_downloaded_by_its_name(self, tmp_path: Path) -> None:
        s3dlio.put(self.uri("sub/one.dat"), content(10))
        assert s3dlio.download(self.uri("sub/one.dat"), tmp_path / "to")["files"] == 1
        assert harvest(tmp_path / "to") == {"one.dat": 10}

    def test_a_prefix_without_a_slash_is_a_directory_and_not_its_neighbours(self, tmp_path: Path) -> None:
        s3dlio.put_many((self.uri(key), content(4)) for key in ("train/a", "train2/b", "train.txt"))
        s3dlio.download(self.uri("train"), tmp_path / "to")
        assert harvest(tmp_path / "to") == {"a": 4}

    def test_nothing_to_upload_is_an_error(self, tmp_path: Path) -> None:
        with pytest.raises(NotFoundError, match="nowhere"):
            s3dlio.upload(tmp_path / "nowhere", self.base)

    def test_nothing_to_download_by_name_is_an_error(self, tmp_path: Path) -> None:
        with pytest.raises(NotFoundError, match="missing"):
            s3dlio.download(self.uri("missing"), tmp_path / "to")

    def test_progress_is_told_after_every_file(self, tmp_path: Path) -> None:
        calls: list[tuple[int, int]] = []
        s3dlio.upload(plant(tmp_path / "from"), self.base, progress=lambda files, size: calls.append((files, size)))
        assert [files for files, _ in calls] == list(range(1, len(FILES) + 1))
        assert calls[-1][1] == sum(FILES.values())
        calls.clear()
        s3dlio.download(self.base, tmp_path / "to", progress=lambda files, size: calls.append((files, size)))
        assert [files for files, _ in calls] == list(range(1, len(FILES) + 1))
        assert calls[-1][1] == sum(FILES.values())

    def test_an_interrupted_download_leaves_no_half_file(self, tmp_path: Path) -> None:
        uris = [self.uri(f"{number}") for number in range(12)]
        s3dlio.put_many((uri, content(100_000)) for uri in uris)

        def interrupt(files: int, size: int) -> None:
            if files == 3:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            s3dlio.download(self.base, tmp_path / "to", progress=interrupt, workers=2)
        found = harvest(tmp_path / "to")
        assert 3 <= len(found) < 12
        assert set(found.values()) == {100_000}

    def test_a_download_replaces_files_and_leaves_others(self, tmp_path: Path) -> None:
        (tmp_path / "one.dat").write_bytes(content(99))
        (tmp_path / "mine.dat").write_bytes(content(7))
        s3dlio.put(self.uri("one.dat"), content(10))
        s3dlio.download(self.base, tmp_path)
        assert harvest(tmp_path) == {"one.dat": 10, "mine.dat": 7}

    def test_S2_a_download_does_not_write_through_a_symbolic_link(self, tmp_path: Path) -> None:
        outside, target = tmp_path / "outside", tmp_path / "to"
        outside.mkdir()
        target.mkdir()
        (target / "sub").symlink_to(outside)
        s3dlio.put_many([(self.uri("sub/a"), content(4)), (self.uri("b"), content(4))])
        with pytest.raises(s3dlio.PartialFailureError, match="symbolic link") as caught:
            s3dlio.download(self.base, target)
        assert list(caught.value.errors) == [self.uri("sub/a")]
        assert harvest(outside) == {}
        assert (target / "b").read_bytes() == content(4)

    def test_S2_an_upload_enters_no_link_to_a_directory_and_takes_one_to_a_file_for_the_file(
        self, tmp_path: Path
    ) -> None:
        folder, outside = plant(tmp_path / "from"), tmp_path / "outside"
        outside.mkdir()
        (outside / "far.dat").write_bytes(content(77))
        (folder / "sub/out").symlink_to(outside)
        (folder / "loop").symlink_to(folder)
        (folder / "near.dat").symlink_to(outside / "far.dat")
        (folder / "broken").symlink_to(tmp_path / "nowhere")
        s3dlio.upload(folder, self.base)
        assert sorted(s3dlio.list_keys(self.base, recursive=True)) == sorted([*FILES, "near.dat"])
        assert bytes(s3dlio.get(self.uri("near.dat"))) == content(77)

    def test_only_local_places_are_uploaded_from_and_downloaded_to(self) -> None:
        with pytest.raises(InvalidUriError, match="local"):
            s3dlio.upload("s3://bucket/prefix/", self.base)
        with pytest.raises(InvalidUriError, match="local"):
            s3dlio.download(self.base, "s3://bucket/prefix/")

    def test_copy_within_the_backend(self) -> None:
        s3dlio.put(self.uri("from"), content(5000))
        s3dlio.put(self.uri("to"), b"old")
        s3dlio.copy(self.uri("from"), self.uri("to"))
        s3dlio.copy(self.uri("from"), self.uri("new/place é"))
        assert bytes(s3dlio.get(self.uri("to"))) == content(5000)
        assert bytes(s3dlio.get(self.uri("new/place é"))) == content(5000)
        assert s3dlio.exists(self.uri("from"))

    @pytest.mark.parametrize("size", [0, 5000, 17 * MIB])
    def test_copy_between_backends_both_ways(self, size: int) -> None:
        away, back = f"{self.elsewhere}copy", self.uri("back")
        s3dlio.put(self.uri("from"), content(size))
        s3dlio.copy(self.uri("from"), away)
        s3dlio.copy(away, back)
        assert digest(s3dlio.get(away)) == digest(s3dlio.get(back)) == digest(content(size))

    def test_copying_what_is_missing_is_an_error_and_makes_nothing(self) -> None:
        for target in (self.uri("to"), f"{self.elsewhere}to"):
            with pytest.raises(NotFoundError, match="missing"):
                s3dlio.copy(self.uri("missing"), target)
            assert not s3dlio.exists(target)

    def test_a_path_may_be_relative_to_the_working_directory(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        plant(tmp_path / "from")
        monkeypatch.chdir(tmp_path)
        s3dlio.upload("from", self.base)
        s3dlio.download(self.base, os.path.join("to", "here"))
        assert harvest(tmp_path / "to" / "here") == FILES
