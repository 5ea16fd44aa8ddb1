"""The version of s3dlio-jax, read by the build and by `s3dlio_jax.__version__`."""

__version__ = "0.0.1"
