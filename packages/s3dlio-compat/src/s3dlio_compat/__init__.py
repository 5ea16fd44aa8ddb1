"""Interfaces of other storage libraries, each a package below this one, reached as `s3dlio.compat`."""

from s3dlio_compat._version import __version__

__all__ = ["__version__"]
