"""How the program ends: its exit codes, its one line on standard error, closed pipes and interrupts."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import s3dlio
from s3dlio.cli import ending
from tests.cli.conftest import Serve
from tests.cli.program import SCRIPT, good, here, script
from tests.promises.place import MIB, content, nobody
from tests.servers.environment import S3Bucket
from tests.servers.scripted import STALL, Asked, Fault, part, response

DENIED = response(403, b"<Error><Code>AccessDenied</Code><Message>no</Message></Error>")
SOON = 5  # seconds: far less than any time-out of a request, far more than a busy machine takes to end a process


def one_line(err: str) -> bool:
    """Tell whether standard error has the one line that it should have."""
    return re.fullmatch(r"s3dlio: [^\n]+\n", err) is not None


def test_0_is_success(base: str) -> None:
    s3dlio.put(f"{base}key", b"x")
    done = script("cat", f"{base}key")
    assert (done.code, done.out, done.err) == (0, b"x", "")


def test_1_is_an_error_of_storage(monkeypatch: pytest.MonkeyPatch, moto_s3: S3Bucket) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", nobody())
    monkeypatch.setenv("S3DLIO_MAX_ATTEMPTS", "1")
    done = script("cat", moto_s3.uri("key"))
    assert (done.code, one_line(done.err)) == (1, True)


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["ls"],
        ["ls", "--nonsense", "file:///"],
        ["ls", "no-scheme"],
        ["cat", "s3://bucket"],
        ["get", "s3://bucket/key", "--offset", "-1"],
        ["bench", "get", "file:///", "--count", "0"],
    ],
    ids=" ".join,
)
def test_2_is_wrong_usage(arguments: list[str]) -> None:
    assert here(*arguments).code == 2


def test_2_is_a_setting_that_cannot_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("S3DLIO_PART_SIZE", "small")
    done = script("cat", "s3://bucket/key")
    assert (done.code, "S3DLIO_PART_SIZE" in done.err, one_line(done.err)) == (2, True, True)


def test_3_is_not_found(base: str) -> None:
    for arguments in (["cat", f"{base}missing"], ["stat", f"{base}missing"], ["cp", f"{base}missing", f"{base}to"]):
        done = here(*arguments)
        assert (done.code, one_line(done.err), f"{base}missing" in done.err) == (3, True, True)


def test_3_is_a_missing_bucket(s3: S3Bucket) -> None:
    assert here("ls", "s3://there-is-no-such-bucket/").code == 3


def test_4_is_access_denied(serve: Serve) -> None:
    with serve(lambda _: [DENIED]):
        done = here("cat", "s3://bucket/key")
    assert (done.code, one_line(done.err)) == (4, True)


def test_4_is_no_credentials(moto_s3: S3Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    s3dlio.reset()
    done = here("cat", moto_s3.uri("key"))
    assert (done.code, one_line(done.err)) == (4, True)


def test_4_is_a_wrong_secret(juicefs_s3: S3Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-the-secret")
    s3dlio.reset()
    done = here("cat", juicefs_s3.uri("key"))
    assert (done.code, "not-the-secret" in done.err) == (4, False)


def test_5_names_each_of_what_failed_up_to_a_number(serve: Serve, tmp_path: Path) -> None:
    for number in range(30):
        (tmp_path / f"{number:02}").write_bytes(b"")
    with serve(lambda _: [DENIED]):
        done = here("upload", tmp_path, "s3://bucket/")
    assert done.code == 5
    assert len(done.err.splitlines()) == 21
    assert done.err.splitlines()[-1] == "s3dlio: 30 failed, the others are done"


@pytest.mark.parametrize("unbuffered", ["", "1"], ids=["buffered", "unbuffered"])
def test_141_is_a_reader_that_went_away_and_nothing_is_said(tmp_path: Path, unbuffered: str) -> None:
    s3dlio.put(f"file://{tmp_path}/large", content(20 * MIB))
    reading, writing = os.pipe()
    environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    command = [SCRIPT, "cat", f"file://{tmp_path}/large"]
    with subprocess.Popen(command, stdout=writing, stderr=subprocess.PIPE, env=environment) as child:
        os.close(writing)
        assert os.read(reading, 4) == content(20 * MIB)[:4]
        os.close(reading)
        _, err = child.communicate(timeout=60)
    assert (child.returncode, err) == (141, b"")


@pytest.mark.parametrize("unbuffered", ["", "1"], ids=["buffered", "unbuffered"])
def test_a_slow_reader_gets_everything(tmp_path: Path, unbuffered: str) -> None:
    s3dlio.put(f"file://{tmp_path}/large", content(5 * MIB))
    environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    done = subprocess.run([SCRIPT, "cat", f"file://{tmp_path}/large"], env=environment, capture_output=True, check=True)
    assert done.stdout == content(5 * MIB)


def test_141_is_a_reader_that_went_away_before_the_last_flush(tmp_path: Path) -> None:
    s3dlio.put(f"file://{tmp_path}/small", b"x")
    reading, writing = os.pipe()
    os.close(reading)
    with subprocess.Popen([SCRIPT, "ls", f"file://{tmp_path}/"], stdout=writing, stderr=subprocess.PIPE) as child:
        os.close(writing)
        _, err = child.communicate(timeout=60)
    assert (child.returncode, err) == (141, b"")


STALLED = {
    "cat": ["cat", "s3://bucket/key"],
    "get": ["get", "s3://bucket/key", "{folder}/to"],
    "range": ["get", "s3://bucket/key", "{folder}/to", "--offset", "1"],
    "download": ["download", "s3://bucket/", "{folder}"],
    "list": ["ls", "s3://bucket/"],
    "upload": ["upload", "{source}", "s3://bucket/"],
    "copy": ["cp", "-r", "s3://bucket/", "s3://bucket/to"],
}


@pytest.mark.parametrize("word", STALLED)
def test_130_is_an_interrupt_which_leaves_nothing_half_written(serve: Serve, tmp_path: Path, word: str) -> None:
    (tmp_path / "source").write_bytes(content(MIB))
    folder = tmp_path / "folder"
    folder.mkdir()

    def stalling(request: Asked) -> list[bytes | Fault]:
        if "list-type" in request.target and word != "list":
            page = b"<Contents><Key>key</Key><Size>1</Size></Contents>"
            page = b"<ListBucketResult><IsTruncated>false</IsTruncated>" + page + b"</ListBucketResult>"
            return [response(200, page)]
        if request.range is not None:
            return [part(request, content(20 * MIB))[:MIB], STALL]
        return [STALL]

    names = {"folder": folder, "source": tmp_path / "source"}
    with serve(stalling) as server:
        command = [SCRIPT, *(each.format(**names) for each in STALLED[word])]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
            while not any("list-type" not in each.target or word == "list" for each in list(server.asked)):
                assert child.poll() is None, child.communicate()
            child.send_signal(signal.SIGINT)
            out, err = child.communicate(timeout=SOON)
    assert (child.returncode, err) == (130, "s3dlio: interrupted\n")
    assert "Traceback" not in out
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("base", ["file"], indirect=True)
def test_a_traceback_comes_only_when_asked_for(base: str) -> None:
    for options, wanted in ([], False), (["-v"], False), (["-vv"], True):
        done = script(*options, "cat", f"{base}missing")
        assert (done.code, "Traceback" in done.err) == (3, wanted)
        assert done.err.splitlines()[-1].startswith("s3dlio: ")


def test_verbose_logs(serve: Serve) -> None:
    with serve(lambda request: [response(500) if not request.number else part(request, b"x")]):
        assert "s3dlio" in script("-v", "cat", "s3://bucket/key").err
    with serve(lambda request: [response(500) if not request.number else part(request, b"x")]):
        assert script("cat", "s3://bucket/key").err == ""


def test_the_notes_of_an_error_are_told() -> None:
    error = ValueError("this")
    error.add_note("and that")
    assert ending.message_of(error) == "this; and that"


def test_the_module_is_the_program() -> None:
    for command in ([SCRIPT], [sys.executable, "-m", "s3dlio"]):
        done = script("--version", command=command)
        assert (done.code, done.out.decode()) == (0, f"s3dlio {s3dlio.__version__}\n")
        assert script("--help", command=command).out.startswith(b"Usage: s3dlio [OPTIONS] COMMAND")


def test_endpoint_and_region_are_options(moto_s3: S3Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    monkeypatch.delenv("AWS_REGION")
    s3dlio.reset()
    lines = good("--endpoint-url", moto_s3.server.endpoint, "--region", "us-east-1", "ls", "s3://")
    assert f"s3://{moto_s3.bucket}/" in lines


def test_a_profile_is_an_option(moto_s3: S3Bucket, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text(
        f"[profile mine]\naws_access_key_id=a\naws_secret_access_key=b\nregion=us-east-1\n"
        f"endpoint_url={moto_s3.server.endpoint}\n"
    )
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL", "AWS_REGION"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    s3dlio.reset()
    assert f"s3://{moto_s3.bucket}/" in good("--profile", "mine", "ls", "s3://")


def test_output_that_an_encoding_cannot_hold_is_escaped(tmp_path: Path) -> None:
    (tmp_path / "é").write_bytes(b"")
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run([SCRIPT, "ls", f"file://{tmp_path}/"], env=environment, capture_output=True, check=True)
    assert done.stdout.endswith(f"file://{tmp_path}/".encode() + b"\\xe9\n")


def test_the_library_needs_none_of_it() -> None:
    code = "import sys, s3dlio; s3dlio.list; print({'click', 'rich', 'matplotlib', 's3dlio.cli'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout == b"set()\n"


def test_an_operation_log_has_every_object(base: str, tmp_path: Path) -> None:
    log = tmp_path / "operations.tsv"
    for command, stdin in ((["put", "-", f"{base}key"], content(20 * MIB)), (["cat", f"{base}key"], b"")):
        assert here("--op-log", log, *command, stdin=stdin).code == 0
        header, *rows = [line.split("\t") for line in log.read_text().splitlines()]
        told = [dict(zip(header, row, strict=True)) for row in rows]
        assert {(row["op"], row["file"]) for row in told} == {("PUT" if stdin else "GET", told[0]["file"])}
        assert sum(int(row["bytes"]) for row in told) == 20 * MIB
        assert told[0]["file"].endswith("key")


def test_an_operation_log_that_cannot_be_is_said_before_anything_is_done(base: str, tmp_path: Path) -> None:
    assert here("--op-log", tmp_path / "missing/log", "put", "-", f"{base}key").code == 3
    assert s3dlio.list(base) == []
