"""Stores of local files over empty directories, and what lies beside them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.core.stores.local.files import STORES, Files

settings.register_profile("thorough", max_examples=10_000)


@pytest.fixture(params=sorted(STORES))
def files(request: pytest.FixtureRequest, tmp_path: Path) -> Files:
    """A store and an empty directory."""
    return Files(request.param, tmp_path)


@pytest.fixture
def canary(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A tree that nobody was told to touch."""
    outside = tmp_path_factory.mktemp("outside")
    (outside / "kept").write_bytes(b"canary")
    (outside / "sub").mkdir()
    (outside / "sub/kept").write_bytes(b"canary")
    yield outside
    assert [(outside / name).read_bytes() for name in ("kept", "sub/kept")] == [b"canary"] * 2


@pytest.fixture
def unprivileged(tmp_path: Path) -> Iterator[Callable[[Path], None]]:
    """Take a directory's permissions away, and root's exemption from them as well."""
    taken: list[Path] = []
    root = os.geteuid() == 0

    def take(directory: Path) -> None:
        taken.append(directory)
        directory.chmod(0)
        if root:
            for above in tmp_path.parents[:-2]:
                above.chmod(above.stat().st_mode | 0o055)
            tmp_path.chmod(0o755)
            os.seteuid(65534)

    yield take
    if root:
        os.seteuid(0)
    for directory in taken:
        directory.chmod(0o755)
