"""BytesView and JAX: one memory, no copy, and no recycling while an array is left."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import s3dlio


def alone(source: str) -> None:
    """Run a program with warnings as errors in a process of its own: JAX does not want to be forked afterwards."""
    command = [sys.executable, "-W", "error", "-c", source]
    environment = {"PYTHONPATH": str(Path(s3dlio.__file__).parents[1]), "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr


def test_jax_shares_the_memory_and_does_not_warn() -> None:
    alone(
        "import jax, numpy as np\n"
        "from s3dlio.buffer import lease\n"
        "for size in (64, 4096, 1 << 20, (5 << 20) + 64):\n"
        "    view = lease(size)\n"
        "    numbers = np.frombuffer(view, np.float32)\n"
        "    for source in (view, numbers, numbers.reshape(4, -1)):\n"
        "        array = jax.device_put(source)\n"
        "        assert array.unsafe_buffer_pointer() == view.ctypes.data, size\n"
    )


def test_memory_goes_back_when_the_last_array_of_jax_has_gone() -> None:
    alone(
        "import gc, jax, numpy as np\n"
        "from s3dlio.buffer import lease\n"
        "view = lease(5 << 20)\n"
        "where = view.ctypes.data\n"
        "array = jax.device_put(np.frombuffer(view, np.float32))\n"
        "del view\n"
        "gc.collect()\n"
        "other = lease(5 << 20)\n"
        "assert other.ctypes.data != where, 'recycled under the array'\n"
        "del array\n"
        "gc.collect()\n"
        "assert lease(5 << 20).ctypes.data == where, 'not recycled'\n"
    )
