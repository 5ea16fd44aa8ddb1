"""What a client says it is."""

from __future__ import annotations

import platform

import torch

from s3dlio_compat.s3torchconnector.version import __version__


class UserAgent:
    """A text that names the client, its system and the versions in use, with comments."""

    def __init__(self, comments: list[str] | None = None) -> None:
        if comments is not None and not isinstance(comments, list):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ValueError("Argument comments must be a List[str]")
        said = [each for each in comments or [] if each]
        self.prefix = " ".join([_PREFIX, *([f"({'; '.join(said)})"] if said else [])])


_PREFIX = (
    f"s3torchconnector/{__version__} ua/2.1 os/{platform.system().lower()}#{platform.release()} "
    f"lang/python#{platform.python_version()} md/arch#{platform.machine()} md/pytorch#{torch.__version__}"
)
