"""The contract on direct://, on a disk and where the file system has nothing but memory."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import s3dlio
from tests.contract import Contract
from tests.promises.place import MIB, content, digest

MEMORY = "/dev/shm"


class TestDirect(Contract):
    large = 40 * MIB  # parts are 16 MiB

    @pytest.fixture(autouse=True)
    def place(self, tmp_path_factory: pytest.TempPathFactory) -> None:
        self.base = f"direct://{tmp_path_factory.mktemp('here')}/"
        self.elsewhere = f"file://{tmp_path_factory.mktemp('elsewhere')}/"

    @pytest.mark.parametrize("size", [1, 511, 512, 4095, 4096, 4097, 3 * MIB + 5])
    @pytest.mark.parametrize("offset", [0, 1, 512, 4096, 5000])
    def test_a_range_need_not_fit_the_blocks_of_the_disk(self, offset: int, size: int) -> None:
        data = content(4 * MIB + 3)
        s3dlio.put(self.uri("object"), data)
        assert digest(s3dlio.get_range(self.uri("object"), offset, size)) == digest(data[offset : offset + size])

    def test_what_is_stored_is_a_plain_file(self) -> None:
        s3dlio.put(self.uri("sub/object"), content(5000))
        assert s3dlio.get(f"file://{self.base.removeprefix('direct://')}sub/object") == content(5000)


class TestDirectInMemory(Contract):
    large = 40 * MIB  # parts are 16 MiB

    @pytest.fixture(autouse=True)
    def place(self, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
        folder = Path(tempfile.mkdtemp(prefix="s3dlio-tests-", dir=MEMORY))
        self.base = f"direct://{folder}/"
        self.elsewhere = f"file://{tmp_path_factory.mktemp('elsewhere')}/"
        yield
        shutil.rmtree(folder)
