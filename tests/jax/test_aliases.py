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


WAYS_IN = """
import gc, jax, numpy as np
from s3dlio.buffer import lease, watch
ways_in = {
    "device_put": jax.device_put,
    "device_put of numbers": lambda view: jax.device_put(np.frombuffer(view, np.float32)),
    "device_put of a shape": lambda view: jax.device_put(np.frombuffer(view, np.float32).reshape(4, -1)),
    "from_dlpack": jax.dlpack.from_dlpack,
    "from_dlpack of numbers": lambda view: jax.dlpack.from_dlpack(np.frombuffer(view, np.float32)),
}
"""


def test_jax_shares_the_memory_and_does_not_warn() -> None:
    alone(
        WAYS_IN + "for name, way_in in ways_in.items():\n"
        "    for size in (64, 4096, 1 << 20, (5 << 20) + 64):\n"
        "        view = lease(size)\n"
        "        array = way_in(view)\n"
        "        assert array.unsafe_buffer_pointer() == view.ctypes.data, (name, size)\n"
        "        assert array.nbytes == size\n"
    )


def test_memory_goes_back_when_the_last_array_of_jax_has_gone() -> None:
    alone(
        WAYS_IN + "for name, way_in in ways_in.items():\n"
        "    view = lease(5 << 20)\n"
        "    where = view.ctypes.data\n"
        "    array = way_in(view)\n"
        "    del view\n"
        "    gc.collect()\n"
        "    other = lease(5 << 20)\n"
        "    assert other.ctypes.data != where, f'recycled under the array of {name}'\n"
        "    del array\n"
        "    gc.collect()\n"
        "    assert lease(5 << 20).ctypes.data == where, f'not recycled after {name}'\n"
    )


def test_an_array_keeps_its_numbers_whatever_is_received_after_it() -> None:
    alone(
        WAYS_IN + "watch(True)\n"
        "for name, way_in in ways_in.items():\n"
        "    view = lease(5 << 20)\n"
        "    view[:] = 7\n"
        "    array = way_in(view)\n"
        "    del view\n"
        "    for _ in range(20): lease(5 << 20)[:] = 9\n"
        "    assert (np.asarray(array).view(np.uint8) == 7).all(), name\n"
    )
