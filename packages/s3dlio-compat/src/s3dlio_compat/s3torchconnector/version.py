"""The version of the interface that this package has."""

__version__ = "1.5.0"
