"""`bench` measures what it says, tells it in three ways, and leaves nothing behind."""

from __future__ import annotations

import importlib.util
import json
import signal
import subprocess
from pathlib import Path

import pytest

import s3dlio
from s3dlio.cli import figures
from s3dlio.cli.text import size_of
from tests.cli.conftest import Serve
from tests.cli.program import SCRIPT, good, here
from tests.servers.scripted import STALL, Asked, Fault, response

WORDS = ("get", "put", "list")


@pytest.mark.parametrize("word", WORDS)
def test_a_table_has_each_round_and_the_median(base: str, word: str) -> None:
    size = [] if word == "list" else ["--size", "10KiB"]
    lines = good("bench", word, base, *size, "--count", "7", "--concurrency", "3", "--repeat", "2")
    of = "" if word == "list" else " of 10.0 KiB"
    assert lines[0] == f"{word}: 7 objects{of}, 3 in flight"
    assert [line.split()[0] for line in lines[1:]] == ["round", "1", "2", "median"]
    assert s3dlio.list(base, recursive=True) == []


@pytest.mark.parametrize("word", WORDS)
def test_json_has_each_round_and_the_median(base: str, word: str) -> None:
    (line,) = good("bench", word, base, "--count", "5", "--repeat", "3", "--json")
    told = json.loads(line)
    assert (told["work"], told["count"], told["concurrency"]) == (word, 5, 16)
    assert told["size"] == (0 if word == "list" else 1 << 20)
    assert len(told["rounds"]) == 3
    assert told["median"] in told["rounds"]
    for each in told["rounds"]:
        assert each["operations_per_second"] == pytest.approx(5 / each["seconds"])
        assert each["bytes_per_second"] == pytest.approx(5 * told["size"] / each["seconds"])


@pytest.mark.parametrize(("suffix", "beginning"), [("svg", b"<?xml"), ("png", b"\x89PNG")])
@pytest.mark.parametrize("word", ["get", "list"])
def test_a_plot_is_a_picture(tmp_path: Path, word: str, suffix: str, beginning: bytes) -> None:
    good("bench", word, f"file://{tmp_path}/", "--count", "3", "--plot", tmp_path / f"plot.{suffix}")
    picture = (tmp_path / f"plot.{suffix}").read_bytes()
    assert picture.startswith(beginning)
    if suffix == "svg":
        assert b"MiB/s" in picture if word == "get" else b"op/s" in picture


def test_without_matplotlib_a_plot_is_refused_before_any_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        figures, "find_spec", lambda name: None if name == "matplotlib" else importlib.util.find_spec(name)
    )
    done = here("bench", "put", f"file://{tmp_path}/place/", "--plot", tmp_path / "plot.svg")
    assert (done.code, "pip install 's3dlio-core[plot]'" in done.err) == (2, True)
    assert list(tmp_path.iterdir()) == []


def test_a_plot_of_no_known_kind_is_refused_before_any_work(tmp_path: Path) -> None:
    assert here("bench", "put", f"file://{tmp_path}/place/", "--plot", tmp_path / "plot.gif").code == 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "size"), [("0", 0), ("4096", 4096), ("4k", 4096), ("64KiB", 65536), ("1.5 MB", 3 << 19), ("2GiB", 2 << 30)]
)
def test_a_size_may_have_a_unit(text: str, size: int) -> None:
    assert size_of(text) == size


@pytest.mark.parametrize("text", ["", "x", "-1", "1X", "1KiBB"])
def test_what_is_no_size_is_wrong_usage(text: str, tmp_path: Path) -> None:
    assert here("bench", "put", f"file://{tmp_path}/", "--size", text).code == 2


def test_a_bench_that_cannot_remove_what_it_put_says_where_it_is(serve: Serve) -> None:
    with serve(lambda request: [response(200, ETag='"one"') if request.method == "PUT" else response(403)]):
        done = here("bench", "put", "s3://bucket/", "--count", "1", "--size", "1")
    assert done.code == 4
    assert "objects may be left below s3://bucket/s3dlio-bench-" in done.err


def test_an_interrupted_bench_removes_what_it_put(serve: Serve) -> None:
    stored: set[str] = set()

    def storage(request: Asked) -> list[bytes | Fault]:
        path = request.target.partition("?")[0]
        if request.method == "PUT":
            stored.add(path)
            return [response(200, ETag='"one"')]
        if "list-type" in request.target:
            keys = "".join(
                f"<Contents><Key>{key.removeprefix('/bucket/')}</Key><Size>1</Size></Contents>" for key in stored
            )
            return [
                response(200, f"<ListBucketResult><IsTruncated>false</IsTruncated>{keys}</ListBucketResult>".encode())
            ]
        if request.method == "POST":
            stored.clear()
            return [response(200, b"<DeleteResult></DeleteResult>")]
        return [STALL] if request.method == "GET" else [response(204)]

    with serve(storage) as server:
        command = [SCRIPT, "bench", "get", "s3://bucket/", "--count", "2", "--size", "1"]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        with child:
            while not any(each.method == "GET" for each in list(server.asked)):
                assert child.poll() is None
            child.send_signal(signal.SIGINT)
            out, err = child.communicate(timeout=60)
    assert (child.returncode, out, err) == (130, "", "s3dlio: interrupted\n")
    assert stored == set()
