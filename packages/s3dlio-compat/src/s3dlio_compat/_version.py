"""The version of s3dlio-compat, read by the build and by `s3dlio_compat.__version__`."""

__version__ = "0.1.0"
