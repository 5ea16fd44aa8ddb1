"""The servers are real: they answer, they check what they say they check, and they end with the session."""

import os
import select
import subprocess
import sys
from pathlib import Path

import botocore.exceptions
import pytest

import s3dlio
from tests.servers.environment import S3Bucket, boto3_client
from tests.servers.moto import moto
from tests.servers.process import S3Server, ServerStartError, accepts, free_port, serving


def test_a_fresh_bucket_is_empty_and_stores_what_is_put(s3: S3Bucket) -> None:
    assert s3.client.list_objects_v2(Bucket=s3.bucket)["KeyCount"] == 0
    s3.client.put_object(Bucket=s3.bucket, Key="a/b", Body=b"payload")
    assert s3.client.get_object(Bucket=s3.bucket, Key="a/b")["Body"].read() == b"payload"


def test_s3dlio_and_boto3_see_the_same_bucket(s3: S3Bucket) -> None:
    s3dlio.put(s3.uri("from-here"), b"payload")
    assert s3.client.get_object(Bucket=s3.bucket, Key="from-here")["Body"].read() == b"payload"


def test_the_juicefs_gateway_refuses_a_wrong_secret(juicefs_s3: S3Bucket) -> None:
    server = juicefs_s3.server
    stranger = S3Server("stranger", server.endpoint, server.access_key, "not-the-secret")
    with pytest.raises(botocore.exceptions.ClientError, match="SignatureDoesNotMatch"):
        boto3_client(stranger).list_buckets()


def test_the_environment_points_at_the_server(moto_s3: S3Bucket) -> None:
    assert os.environ["AWS_ENDPOINT_URL"] == moto_s3.server.endpoint
    assert not Path(os.environ["AWS_CONFIG_FILE"]).exists()


def test_no_account_of_the_user_reaches_a_test() -> None:
    assert "AWS_ACCESS_KEY_ID" not in os.environ
    assert "AWS_ENDPOINT_URL" not in os.environ


def test_a_server_has_ended_when_its_block_is_left(tmp_path: Path) -> None:
    with moto(tmp_path) as server:
        port = int(server.endpoint.rpartition(":")[2])
        assert accepts(port)
    assert not accepts(port)


def test_a_server_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path\n"
        "from tests.servers.process import free_port, serving\n"
        "port = free_port()\n"
        "command = [sys.executable, '-m', 'http.server', '-b', '127.0.0.1', str(port)]\n"
        "with serving(command, port=port, log=Path('log'), env={}) as pid:\n"
        "    print(pid, flush=True)\n"
        "    sys.stdin.read()\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    path = os.pathsep.join(entry or "." for entry in sys.path)
    starter = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": path},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert starter.stdout is not None
    server = os.pidfd_open(int(starter.stdout.readline()))
    starter.communicate()
    ended, _, _ = select.select([server], [], [], 30)
    os.close(server)
    assert ended == [server]


def test_a_server_that_dies_is_an_error_that_shows_its_log(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "raise SystemExit('no such volume')"]
    with (
        pytest.raises(ServerStartError, match="no such volume"),
        serving(command, port=free_port(), log=tmp_path / "log", env={}),
    ):
        raise AssertionError("the block was entered")


def test_a_secret_is_not_in_the_repr_of_a_server() -> None:
    assert "hush" not in repr(S3Server("any", "http://127.0.0.1:1", "key", "hush"))
