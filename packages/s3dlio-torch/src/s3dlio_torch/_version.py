"""The version of s3dlio-torch, read by the build and by `s3dlio_torch.__version__`."""

__version__ = "0.1.0"
