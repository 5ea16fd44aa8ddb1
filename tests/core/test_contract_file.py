"""The contract on file://."""

import errno
from pathlib import Path

import pytest

import s3dlio
from s3dlio.errors import LocalFileError
from tests.contract import Contract
from tests.promises.place import MIB


class TestFile(Contract):
    large = 70 * MIB  # parts are 32 MiB

    @pytest.fixture(autouse=True)
    def place(self, tmp_path_factory: pytest.TempPathFactory) -> None:
        self.base = f"file://{tmp_path_factory.mktemp('here')}/"
        self.elsewhere = f"direct://{tmp_path_factory.mktemp('elsewhere')}/"

    def test_a_key_is_a_path_and_two_slashes_are_one(self) -> None:
        s3dlio.put(self.uri("a//b"), b"content")
        assert self.relative(s3dlio.list(self.base, recursive=True)) == ["a/b"]
        assert s3dlio.get(self.uri("a/../a/./b")) == b"content"

    def test_a_name_has_up_to_255_bytes(self) -> None:
        with pytest.raises(LocalFileError) as caught:
            s3dlio.put(self.uri("x" * 256), b"content")
        assert caught.value.errno == errno.ENAMETOOLONG
        assert isinstance(caught.value, OSError)

    def test_what_is_stored_is_a_plain_file(self) -> None:
        s3dlio.put(self.uri("sub/object"), b"content")
        path = Path(self.base.removeprefix("file://"))
        assert (path / "sub" / "object").read_bytes() == b"content"
        assert [each.name for each in (path / "sub").iterdir()] == ["object"]
