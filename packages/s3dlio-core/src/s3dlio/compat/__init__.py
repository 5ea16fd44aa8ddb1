"""The way to the stand-ins for other libraries, which are a distribution of their own.

`s3dlio.compat.s3torchconnector` and all below it are the modules of `s3dlio_compat` themselves, under a second name:
whichever of the two a program imports, its classes are the same.
"""

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

from s3dlio._siblings import require

_HERE, _THERE = "s3dlio.compat.", "s3dlio_compat."


class _Doorway(MetaPathFinder, Loader):
    """Puts the real module in the place of each module below this one."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return ModuleSpec(fullname, self) if fullname.startswith(_HERE) else None

    def exec_module(self, module: ModuleType) -> None:
        """Import the real module.

        Raises:
            ModuleNotFoundError: its distribution is not installed, or it needs something that is not.
        """
        name = module.__name__
        require("s3dlio_compat", name)
        sys.modules[name] = import_module(_THERE + name.removeprefix(_HERE))


sys.meta_path.insert(0, _Doorway())
