"""What the pages show of the program is what happens: each command runs, in order, and prints what is shown.

Dates, times, rates and the working directory are the only differences allowed.
"""

from __future__ import annotations

import os
import re
import subprocess
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

from s3dlio.cli import ending
from s3dlio.cli.app import program
from s3dlio.cli.bench import bench
from tests.house.repository import ROOT
from tests.servers.environment import S3Bucket

PAGES = ("docs/cli.md", "README.md", "packages/s3dlio-core/README.md")
SESSION = re.compile(r"^```shellsession\n(.*?)^```$", re.MULTILINE | re.DOTALL)
CHANGING = (
    (r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d+)?Z", "DATE"),
    (r"[\d.]+ s( \([\d.]+ \w+/s\))?", "TIME"),
    (r"^(\d+|median)  +[\d.]+ .*", r"\1 FIGURES"),  # a row of a table of `bench`
    (r" {2,}", "  "),
)


def session(page: str) -> Iterator[tuple[str, list[str]]]:
    """Yield the commands of a page, each with the lines that it prints."""
    for block in SESSION.findall((ROOT / page).read_text(encoding="utf-8")):
        for step in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, *lines = step.replace("\\\n", "").splitlines()
            yield command, lines


def settled(line: str, folder: Path) -> str:
    """Return a line without what differs from run to run."""
    line = line.replace(str(folder), "/data")
    for pattern, word in CHANGING:
        line = re.sub(pattern, word, line)
    return line.strip()


def run(command: str, folder: Path) -> list[str]:
    """Run a command in a shell and return what it prints, on both of its outputs."""
    environment = {**os.environ, "PATH": f"{sysconfig.get_path('scripts')}:{os.environ['PATH']}", "COLUMNS": "80"}
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=60,
    )
    return [line.rstrip() for line in done.stdout.splitlines()]


def prepare(folder: Path) -> None:
    """Make the directory `digits` that the pages begin with."""
    for name, size in {"labels.csv": 1200, "train/0.bin": 65536, "train/1.bin": 65536}.items():
        path = folder / "digits" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(size))


@pytest.mark.parametrize("page", PAGES)
def test_every_command_of_a_page_prints_what_the_page_shows(page: str, moto_s3: S3Bucket, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    prepare(folder)
    steps = list(session(page))
    assert steps
    for command, shown in steps:
        printed = [settled(line, folder) for line in run(command, folder)]
        assert printed == [settled(line, folder) for line in shown], command
    assert [each["Name"] for each in moto_s3.client.list_buckets()["Buckets"] if "digits" in each["Name"]] == []


def test_the_page_shows_every_command() -> None:
    shown = "\n".join(command for command, _ in session("docs/cli.md"))
    assert [name for name in program.commands if f"s3dlio {name} " not in shown] == []


def test_the_page_names_every_option() -> None:
    text = (ROOT / "docs/cli.md").read_text(encoding="utf-8")
    commands = [program, *program.commands.values(), *bench.commands.values()]
    options = {option for command in commands for param in command.params for option in param.opts}
    assert sorted(each for each in options if each.startswith("--") and f"`{each}" not in text) == []


def test_the_page_has_every_exit_code() -> None:
    text = (ROOT / "docs/cli.md").read_text(encoding="utf-8")
    rows = {int(code) for code in re.findall(r"^\| (\d+) \|", text, re.MULTILINE)}
    named = (ending.FAILED, ending.USAGE, ending.NOT_FOUND, ending.DENIED, ending.PARTIAL)
    assert rows == {0, *named, ending.INTERRUPTED, ending.CLOSED_PIPE}
