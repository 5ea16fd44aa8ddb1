"""The version of s3dlio-tf, read by the build and by `s3dlio_tf.__version__`."""

__version__ = "0.0.1"
