"""JAX arrays from object storage: the import name, reserved.

This version has no public name but `__version__`.
"""

from s3dlio_jax._version import __version__

__all__ = ["__version__"]
