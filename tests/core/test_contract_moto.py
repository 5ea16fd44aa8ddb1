"""The contract on s3://, kept by moto."""

import pytest

from tests.contract import ObjectStoreContract
from tests.servers.environment import S3Bucket

pytestmark = pytest.mark.xdist_group("moto")


class TestMoto(ObjectStoreContract):
    @pytest.fixture(autouse=True)
    def place(self, moto_s3: S3Bucket, tmp_path_factory: pytest.TempPathFactory) -> None:
        self.bucket = moto_s3.uri()
        self.base = moto_s3.uri("run/")
        self.elsewhere = f"file://{tmp_path_factory.mktemp('elsewhere')}/"
