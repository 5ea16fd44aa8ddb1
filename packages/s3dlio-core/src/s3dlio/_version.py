"""The version of s3dlio-core, read by the build and by `s3dlio.__version__`."""

__version__ = "0.1.0"
