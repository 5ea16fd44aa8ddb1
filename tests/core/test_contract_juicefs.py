"""The contract on s3://, kept by a JuiceFS gateway, which checks every signature."""

import pytest

from tests.contract import ObjectStoreContract
from tests.servers.environment import S3Bucket

pytestmark = pytest.mark.xdist_group("juicefs")


class TestJuiceFS(ObjectStoreContract):
    @pytest.fixture(autouse=True)
    def place(self, juicefs_s3: S3Bucket, tmp_path_factory: pytest.TempPathFactory) -> None:
        self.bucket = juicefs_s3.uri()
        self.base = juicefs_s3.uri("run/")
        self.elsewhere = f"file://{tmp_path_factory.mktemp('elsewhere')}/"
