"""Drafts that their process did not live to finish, in a whole tree of directories.

No symbolic link is followed, and a draft is named relative to the directory it was found in, so nothing outside the
tree is removed whatever becomes of the paths meanwhile.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from typing import TYPE_CHECKING

from s3dlio.fileio import modified, translated
from s3dlio.stores.drafts import is_draft, is_live
from s3dlio.stores.store import StaleUpload
from s3dlio.uri import Uri

if TYPE_CHECKING:
    from collections.abc import Iterator


def remove_drafts(uri: Uri, before: float) -> list[StaleUpload]:
    """Remove the drafts of dead processes last written to before a time, in seconds since the epoch.

    `uri` names a directory; one that is not there holds none.

    Raises:
        AccessDeniedError, LocalFileError: a directory cannot be looked at, or a draft not be removed.
    """
    with translated(uri, "look for drafts in"):
        return list(_removed(uri, before))


def _removed(uri: Uri, before: float) -> Iterator[StaleUpload]:
    # The slash makes a link that the caller names the directory behind it.
    top = f"{uri.key.rstrip('/')}/"
    try:
        os.stat(top)
    except (FileNotFoundError, NotADirectoryError):
        return
    for path, _, names, directory in os.fwalk(top, onerror=_refuse, follow_symlinks=False):
        for name in names:
            if not is_draft(name) or is_live(name):
                continue
            with suppress(FileNotFoundError):
                status = os.stat(name, dir_fd=directory, follow_symlinks=False)
                if stat.S_ISREG(status.st_mode) and status.st_mtime < before:
                    os.unlink(name, dir_fd=directory)
                    where = Uri(uri.scheme, "", os.path.join(path, name))
                    yield StaleUpload(where, where.key, modified(status))


def _refuse(problem: OSError) -> None:
    """Pass over what was removed a moment ago, and raise anything else."""
    if problem.errno not in (errno.ENOENT, errno.ENOTDIR):
        raise problem
