"""Where each public name of `s3dlio` lives: in a module of core, or in another distribution."""

import sys
from importlib import import_module

from s3dlio import _siblings

_MODULES = {
    "aio": (
        "copy_async delete_async exists_async get_async get_into_async get_many_async get_range_async list_async "
        "mkdir_async put_async put_bytes_async put_many_async stat_async stat_many_async"
    ),
    "buffer": "BytesView",
    "errors": (
        "AccessDeniedError BucketNotFoundError CertificateError CheckpointCorruptError CheckpointError "
        "CheckpointIncompleteError CredentialsError DeadlineExceededError IntegrityError InvalidRangeError "
        "InvalidUriError LocalFileError NetworkError NotFoundError ObjectChangedError PartialFailureError "
        "PreconditionFailedError RequestError S3dlioError ServerError ThrottledError"
    ),
    "loading.generic": "create_async_loader create_dataset",
    "loading.options": "PyLoaderOptions",
    "logging_": "init_logging",
    "oplog": "finalize_op_log init_op_log is_op_log_active op_log_stats",
    "processes": "mp_get",
    "stale": "abort_stale_uploads abort_stale_uploads_async",
    "tree": "download upload",
    "verbs": (
        "configure copy create_bucket delete delete_bucket exists get get_into get_many get_many_stats get_object "
        "get_range iter_many list list_containers list_full_uris list_iter list_keys list_objects mkdir put "
        "put_bytes put_many reset stat stat_many stat_object"
    ),
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names.split()}


def load(name: str) -> object:
    """Return `s3dlio.<name>` and remember it there.

    Raises:
        AttributeError: nobody defines the name.
        ModuleNotFoundError: it belongs to a distribution that is not installed; the message says which.
    """
    home = _HOMES.get(name)
    value = _siblings.load(name) if home is None else getattr(import_module(f"s3dlio.{home}"), name)
    setattr(sys.modules["s3dlio"], name, value)
    return value


def here() -> list[str]:
    """Return what `dir(s3dlio)` shows: names of other distributions only where those are installed."""
    return sorted(set(vars(sys.modules["s3dlio"])) | set(_HOMES) | _siblings.installed())
