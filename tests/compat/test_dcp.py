"""Distributed checkpoints with both packages: each reads what the other has written."""

import io
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.filesystem import FileSystemWriter
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save as save_checkpoint

import s3dlio
from tests.compat.conftest import ORIGINAL, OURS, Connector
from tests.servers.environment import S3Bucket

PROGRAM = Path(__file__).with_name("sharded_program.py")


@pytest.fixture(autouse=True)
def reached_by_environment(moto_s3: S3Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", moto_s3.server.endpoint)


def state(fill: float | None = None) -> dict[str, Any]:
    torch.manual_seed(1)
    made = {f"layer{number}.weight": torch.randn(50, 30) for number in range(7)}
    if fill is not None:
        made = {name: torch.full_like(tensor, fill) for name, tensor in made.items()}
    return {**made, "step": 7 if fill is None else 0}


def save(connector: Connector, where: str, **options: Any) -> None:
    writer = connector.module("dcp").S3StorageWriter("us-east-1", where, connector.config, **options)
    save_checkpoint(state(), storage_writer=writer)


def loaded(connector: Connector, where: str, constructor: Any = None) -> dict[str, Any]:
    reader = connector.module("dcp").S3StorageReader("us-east-1", where, connector.config, constructor)
    found = state(0.0)
    load(found, storage_reader=reader)
    return found


def same(found: dict[str, Any]) -> bool:
    wanted = state()
    return found.keys() == wanted.keys() and all(
        torch.equal(found[name], wanted[name]) if name != "step" else found[name] == 7 for name in wanted
    )


@pytest.mark.filterwarnings("ignore:torch.distributed is disabled")
@pytest.mark.parametrize("kind", ["default", "sequential", "range_based"])
@pytest.mark.parametrize(("writes", "reads"), [(OURS, OURS), (ORIGINAL, OURS), (OURS, ORIGINAL)])
def test_a_checkpoint_is_saved_and_loaded(moto_s3: S3Bucket, writes: str, reads: str, kind: str) -> None:
    writer, reader = Connector(writes, moto_s3), Connector(reads, moto_s3)
    constructor = None if kind == "default" else getattr(reader.package.S3ReaderConstructor, kind)()
    save(writer, writer.uri("checkpoint"))
    assert same(loaded(reader, reader.uri("checkpoint"), constructor))


@pytest.mark.filterwarnings("ignore:torch.distributed is disabled", "ignore:Detected an existing checkpoint")
def test_what_is_there_is_replaced_only_if_it_may_be(connector: Connector) -> None:
    save(connector, connector.uri("checkpoint"))
    save(connector, connector.uri("checkpoint"))
    with pytest.raises(CheckpointException, match="Checkpoint already exists"):
        save(connector, connector.uri("checkpoint"), overwrite=False)


@pytest.mark.filterwarnings("ignore:torch.distributed is disabled")
def test_files_are_named_by_a_strategy(connector: Connector) -> None:
    strategy = connector.module("dcp").BinaryPrefixStrategy(epoch_num=3, min_prefix_length=4, prefix_count=2)
    save(connector, connector.uri("checkpoint"), prefix_strategy=strategy)
    assert names(connector) == ["checkpoint/.metadata", "checkpoint/0000/epoch_3/__0_0.distcp"]
    assert same(loaded(connector, connector.uri("checkpoint")))


@pytest.mark.filterwarnings("ignore:torch.distributed is disabled")
def test_a_save_is_one_request_for_each_object(ours: Connector, tmp_path: Path) -> None:
    s3dlio.init_op_log(tmp_path / "log.tsv")
    try:
        save(ours, ours.uri("checkpoint"))
    finally:
        s3dlio.finalize_op_log()
    lines = [line.split("\t") for line in (tmp_path / "log.tsv").read_text().splitlines()[1:]]
    assert [line[2] for line in lines if line[2] != "STAT"] == ["PUT", "PUT"]


@pytest.mark.filterwarnings("ignore:torch.distributed is disabled", "ignore:Detected an existing checkpoint")
def test_a_save_that_ends_before_its_metadata_leaves_none_of_it(ours: Connector) -> None:
    class Killed(BaseException):
        pass

    def end(*_: object) -> None:
        raise Killed

    for ends_early in (True, False):
        writer = ours.module("dcp").S3StorageWriter("us-east-1", ours.uri("checkpoint"), ours.config)
        if ends_early:
            writer.fs.rename = end
            with pytest.raises((Killed, CheckpointException)):
                save_checkpoint(state(), storage_writer=writer)
            assert names(ours) == ["checkpoint/__0_0.distcp"]
        else:
            save_checkpoint(state(), storage_writer=writer)
    assert names(ours) == ["checkpoint/.metadata", "checkpoint/__0_0.distcp"]
    assert same(loaded(ours, ours.uri("checkpoint")))


def names(connector: Connector) -> list[str]:
    listed = connector.bucket.client.list_objects_v2(Bucket=connector.bucket_name)
    return [each["Key"] for each in listed.get("Contents", [])]


STRATEGIES = [
    ("DefaultPrefixStrategy", {}),
    ("BinaryPrefixStrategy", {}),
    ("BinaryPrefixStrategy", {"epoch_num": 2, "min_prefix_length": 3, "prefix_count": 10}),
    ("HexPrefixStrategy", {"prefix_count": 300, "min_prefix_length": 1}),
    ("RoundRobinPrefixStrategy", {"user_prefixes": ["a", "b"], "epoch_num": 1}),
]


@pytest.mark.parametrize(("name", "options"), STRATEGIES)
def test_a_strategy_gives_the_same_names_as_the_original(moto_s3: S3Bucket, name: str, options: dict[str, Any]) -> None:
    both = [Connector(each, moto_s3).module("dcp.s3_prefix_strategy") for each in (ORIGINAL, OURS)]
    theirs, ours = (getattr(module, name)(**options) for module in both)
    assert [ours(rank) for rank in range(20)] == [theirs(rank) for rank in range(20)]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"min_prefix_length": 0}, "Minimum prefix length must be positive, got 0"),
        ({"epoch_num": "x"}, "Epoch number must be None or an integer, got x"),
        ({"prefix_count": 0}, "Prefix count must be a positive integer, got 0"),
    ],
)
def test_a_strategy_that_cannot_be_is_refused(connector: Connector, options: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        connector.module("dcp").HexPrefixStrategy(**options)


def test_a_file_system_of_objects(connector: Connector) -> None:
    system = connector.module("dcp").S3FileSystem("us-east-1", s3client_config=connector.config)
    path, other = connector.uri("folder/a [1]+%41"), connector.uri("folder/b")
    with system.create_stream(path, "wb") as stream:
        stream.write(b"content")
    assert system.exists(path)
    assert not system.exists(other)
    system.rename(path, other)
    assert (system.exists(path), system.exists(other)) == (False, True)
    with system.create_stream(other, "rb") as stream:
        assert stream.read() == b"content"
    system.rm_file(other)
    assert not system.exists(other)
    assert system.concat_path(connector.uri("a"), "b") == connector.uri("a/b")
    assert system.validate_checkpoint_id(connector.uri("a"))
    assert not system.validate_checkpoint_id("/a/path")
    with pytest.raises(ValueError, match="create_stream only supports"), system.create_stream(other, "r"):
        pass
    with pytest.raises(ValueError, match="cross-buckets"):
        system.rename(other, "s3://elsewhere/b")


class Payload:
    def __reduce__(self) -> Any:
        return print, ("the metadata ran code",)


@pytest.mark.filterwarnings("ignore:torch.distributed is disabled")
def test_metadata_runs_no_code(ours: Connector, capsys: pytest.CaptureFixture[str]) -> None:
    save(ours, ours.uri("checkpoint"))
    ours.put("checkpoint/.metadata", pickle.dumps(Payload()))
    with pytest.raises(CheckpointException) as caught:
        loaded(ours, ours.uri("checkpoint"))
    assert "names builtins.print" in str(caught.value)
    assert "ran code" not in capsys.readouterr().out


@pytest.mark.parametrize("name", [ORIGINAL, OURS])
def test_a_model_of_two_ranks_is_loaded_by_one(moto_s3: S3Bucket, name: str, tmp_path: Path) -> None:
    """The same program once with each package."""
    where = moto_s3.uri("sharded")
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--master-port=0"]
    launch += ["--rdzv-backend=c10d", "--rdzv-endpoint=127.0.0.1:0", str(PROGRAM), name, where]
    done = subprocess.run(launch, check=False, capture_output=True, text=True, timeout=120, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    alone = subprocess.run(
        [sys.executable, str(PROGRAM), name, where], check=False, capture_output=True, text=True, timeout=120
    )
    assert alone.returncode == 0, alone.stderr[-3000:]
    assert alone.stdout.split()[-1] == "equal"


def test_metadata_of_every_kind_is_read() -> None:
    from s3dlio_compat.s3torchconnector.dcp.metadata import read_metadata

    made = {"size": torch.Size([1, 2]), "type": torch.bfloat16, "layout": torch.strided, "set": {1, 2}}
    assert read_metadata(io.BytesIO(pickle.dumps(made))) == made


@pytest.mark.filterwarnings("ignore:torch.distributed is disabled")
def test_a_checkpoint_that_pytorch_wrote_to_a_folder_is_loaded_once_it_is_uploaded(
    connector: Connector, tmp_path: Path
) -> None:
    save_checkpoint(state(), storage_writer=FileSystemWriter(tmp_path / "checkpoint"))
    s3dlio.upload(f"{tmp_path}/checkpoint", connector.uri("checkpoint/"))
    assert same(loaded(connector, connector.uri("checkpoint")))
