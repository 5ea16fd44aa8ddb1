"""What the READMEs show is what happens: Python blocks run, shell lines name what exists.

The blocks of a page run in order in one process, with a real server behind `s3://` and a temporary folder
behind `file:///`. Every bucket a page names is there before it starts.
"""

import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.house.repository import PACKAGES, ROOT, repository_files
from tests.servers.environment import S3Bucket

BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
WORDS = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
HARMLESS = {"cd", "git", "export"}
PAGES = [
    path
    for path in repository_files()
    if path.suffix == ".md" and (path.parent == ROOT or path.name == "README.md" or path.is_relative_to(ROOT / "docs"))
]

each_page = pytest.mark.parametrize("page", [pytest.param(p, id=p.relative_to(ROOT).as_posix()) for p in PAGES])


def blocks(page: Path, *languages: str) -> list[str]:
    """Return the fenced blocks of a page that are in one of the languages."""
    found: list[tuple[str, str]] = BLOCK.findall(page.read_text(encoding="utf-8"))
    return [text for language, text in found if language in languages]


def shell_lines() -> list[tuple[str, str]]:
    """Return each command of each page, with its page."""
    return [
        (page.relative_to(ROOT).as_posix(), line)
        for page in PAGES
        for block in blocks(page, "shell", "bash", "sh", "console")
        for line in block.splitlines()
        if line.strip() and not line.startswith("#")
    ]


def known(command: list[str]) -> bool:
    """Return whether a shell command names a word of the Makefile or installs what is built here."""
    while command and re.fullmatch(r"[A-Z][A-Z0-9_]*=.*", command[0]):
        command = command[1:]
    match command:
        case []:
            return True
        case ["make", *words]:
            return all("=" in word or word in WORDS for word in words)
        case ["pip", "install", *wanted]:
            return all(installable(name) for name in wanted)
        case ["bash", script]:
            return (ROOT / script).is_file()
        case [program, *_]:
            return program in HARMLESS
        case _:
            return False


def installable(requirement: str) -> bool:
    """Return whether a distribution of this repository, and its extras, are what the requirement names."""
    parts = re.fullmatch(r"(s3dlio-\w+)(?:\[([\w,-]+)\])?", requirement)
    if parts is None or not (PACKAGES / parts[1]).is_dir():
        return False
    project = tomllib.loads((PACKAGES / parts[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = set((parts[2] or "").split(",")) - {""}
    return extras <= set(project.get("optional-dependencies", {}))


@each_page
def test_the_python_of_a_page_runs(page: Path, moto_s3: S3Bucket, tmp_path: Path) -> None:
    source = "\n".join(blocks(page, "python")).replace("file:///", f"file://{tmp_path}/")
    for bucket in sorted(set(re.findall(r"s3://([a-z0-9.-]+)", source))):
        moto_s3.client.create_bucket(Bucket=bucket)
    command = [sys.executable, "-W", "error", "-c", source]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    empty(moto_s3, source)
    assert done.returncode == 0, done.stderr


def empty(s3: S3Bucket, source: str) -> None:
    """Remove the buckets of a page, so that the next page finds none of its objects."""
    for bucket in set(re.findall(r"s3://([a-z0-9.-]+)", source)):
        for item in s3.client.list_objects_v2(Bucket=bucket).get("Contents", []):
            s3.client.delete_object(Bucket=bucket, Key=item["Key"])
        s3.client.delete_bucket(Bucket=bucket)


@pytest.mark.parametrize(("page", "line"), shell_lines())
def test_a_shell_line_names_what_exists(page: str, line: str) -> None:
    assert known(shlex.split(line, comments=True)), f"{page}: {line}"


@pytest.mark.parametrize("line", ["make nonsense", "pip install s3dlio-nonsense", "pip install s3dlio-core[x]", "rm a"])
def test_a_shell_line_that_names_nothing_is_seen(line: str) -> None:
    assert not known(shlex.split(line))


@pytest.mark.parametrize("page", [pytest.param(p, id=p.relative_to(ROOT).as_posix()) for p in PAGES])
def test_a_link_of_a_page_leads_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    assert [target for target in targets if not (page.parent / target).exists()] == []
