"""The names of `s3dlio` that other distributions provide.

A name is imported from its home on first use, so `import s3dlio` never loads a framework and never needs one.
"""

from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

HOMES = {
    "ObjectStoreIterableDataset": "s3dlio_torch",
    "ObjectStoreMapDataset": "s3dlio_torch",
    "S3IterableDataset": "s3dlio_torch",
    "S3MapDataset": "s3dlio_torch",
}


def load(name: str) -> object:
    """Return `s3dlio.<name>` from the distribution that defines it.

    Raises `AttributeError` for a name nobody defines, and `ModuleNotFoundError` with the command that
    installs the distribution when it is absent.
    """
    if name not in HOMES:
        raise AttributeError(f"module 's3dlio' has no attribute {name!r}", name=name)
    return getattr(require(HOMES[name], f"s3dlio.{name}"), name)


def require(package: str, wanted: str) -> ModuleType:
    """Import a sibling package, or raise `ModuleNotFoundError` saying what to install for `wanted`.

    A module missing *inside* the sibling is reported as it is: then the remedy is another one.
    """
    try:
        return import_module(package)
    except ModuleNotFoundError as missing:
        if missing.name != package:
            raise
        distribution = package.replace("_", "-")
        message = f"{wanted} comes with {distribution}: pip install {distribution}"
        raise ModuleNotFoundError(message, name=package) from missing


def installed() -> set[str]:
    """Return the names whose distribution is present, without importing it."""
    present = {package for package in set(HOMES.values()) if find_spec(package)}
    return {name for name, package in HOMES.items() if package in present}
