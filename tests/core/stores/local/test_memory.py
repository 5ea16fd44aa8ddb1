"""What the product keeps in memory has no file behind it: none that could shrink under it, none that others could open.

A mapped file that is cut short kills the process that reads on, and a named piece of memory is there for everybody.
"""

from __future__ import annotations

import ast
import os
import re
from pathlib import Path

import numpy as np
import pytest

from s3dlio.buffer import lease
from s3dlio.loading.columns import Columns
from tests.house.repository import PACKAGES, ROOT, python_files, tree_of

NAMED = {"shared_memory", "SharedMemory", "shm_open", "mkstemp", "mkdtemp", "NamedTemporaryFile"}
MAPPED = {"memmap", "open_memmap"}
OPTIONS = {"mmap_mode", "mmap"}
SEALED = PACKAGES / "s3dlio-core/src/s3dlio/loading/columns.py"  # maps memory without a name that nobody can cut short

each_file = pytest.mark.parametrize(
    "path", [pytest.param(path, id=path.relative_to(ROOT).as_posix()) for path in python_files(PACKAGES)]
)


def name_of(function: ast.expr) -> str:
    """Return the last name of what is called."""
    return (
        function.attr if isinstance(function, ast.Attribute) else function.id if isinstance(function, ast.Name) else ""
    )


def maps_a_file(tree: ast.AST) -> list[int]:
    """Return the lines that map a file, or ask somebody else to."""
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return [
        call.lineno
        for call in calls
        if name_of(call.func) in MAPPED
        or (name_of(call.func) == "mmap" and (not call.args or ast.unparse(call.args[0]) != "-1"))
        or any(option.arg in OPTIONS for option in call.keywords)
    ]


def names_memory(tree: ast.AST) -> list[str]:
    """Return what a module uses of memory, or of temporary files, that have a name for others."""
    used = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            used |= {alias.name.rpartition(".")[2] for alias in node.names}
    return sorted(used & NAMED)


@each_file
def test_F8_no_file_is_mapped(path: Path) -> None:
    assert path == SEALED or maps_a_file(tree_of(path)) == []


def test_F8_memory_that_processes_share_is_sealed_before_it_is_shared() -> None:
    columns = Columns({"numbers": np.arange(100_000)})
    memory = columns.shared()[0]
    for cut in (lambda: os.ftruncate(memory, 0), lambda: os.pwrite(memory, b"1", 0)):
        with pytest.raises(PermissionError):
            cut()


@each_file
def test_S19_no_memory_has_a_name_for_others(path: Path) -> None:
    assert names_memory(tree_of(path)) == []


@pytest.mark.parametrize("size", [700, 100_000, 3 << 20])
def test_F8_S19_what_is_leased_is_anonymous_memory_of_this_process_alone(size: int) -> None:
    view = lease(size)
    first, last = view.ctypes.data, view.ctypes.data + size
    for line in Path("/proc/self/maps").read_text().splitlines():
        start, end, rights, inode, *name = re.fullmatch(r"(\w+)-(\w+) (\S+) \S+ \S+ (\d+) *(.*)", line).groups()  # type: ignore[union-attr]  # every line has this form
        if int(start, 16) < last and first < int(end, 16):
            assert (rights, inode, name) == ("rw-p", "0", [""])


@pytest.mark.parametrize(
    "line",
    [
        "mmap.mmap(fd, 0)",
        "mmap(fileno=3, length=0)",
        "np.memmap(p)",
        "np.load(p, mmap_mode='r')",
        "torch.load(p, mmap=True)",
    ],
)
def test_F8_a_mapped_file_is_seen_however_it_is_written(line: str) -> None:
    assert maps_a_file(ast.parse(line)) == [1]


@pytest.mark.parametrize("line", ["from multiprocessing import shared_memory", "tempfile.mkstemp()"])
def test_S19_named_memory_is_seen_however_it_is_written(line: str) -> None:
    assert len(names_memory(ast.parse(line))) == 1
