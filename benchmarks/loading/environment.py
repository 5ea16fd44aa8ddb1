"""The environment of the peers that cannot share ours: `requirements/bench-loading.txt`, made on first use and kept."""

from __future__ import annotations

import sys

from benchmarks import environments


def python_of(*, isolated: bool) -> str:
    """Return the interpreter of the peers' environment, which is made first if need be, or our own.

    Raises:
        UnavailableError: the requirements cannot be installed.
    """
    return environments.python_of("loading") if isolated else sys.executable
