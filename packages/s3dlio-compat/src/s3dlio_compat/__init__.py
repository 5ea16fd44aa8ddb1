"""Interfaces of other storage libraries: the import name, reserved.

This version has no public name but `__version__`.
"""

from s3dlio_compat._version import __version__

__all__ = ["__version__"]
