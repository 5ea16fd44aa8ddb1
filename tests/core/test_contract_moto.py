"""The contract on s3://, kept by moto."""

from collections.abc import Iterator

import pytest

from tests.contract import ObjectStoreContract
from tests.servers.process import S3Server

pytestmark = pytest.mark.xdist_group("moto")

LINE_FEED = "the routes of moto end at a line feed, and it answers 404"


class TestMoto(ObjectStoreContract):
    refused = {"line\nfeed": LINE_FEED, "both\r\nof them": LINE_FEED}  # noqa: RUF012 - a constant of the class

    @pytest.fixture(autouse=True)
    def place(self, moto_server: S3Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
        with self.keeping(moto_server, tmp_path_factory.mktemp("elsewhere")):
            yield
