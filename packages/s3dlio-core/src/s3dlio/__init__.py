"""Training data and checkpoints between object storage and tensors: one API over every backend.

The public names and nothing else. Each is loaded from its module on first use, so that importing this costs nothing.
"""

from typing import TYPE_CHECKING

from s3dlio._version import __version__

if TYPE_CHECKING:
    from s3dlio.aio import (
        copy_async,
        delete_async,
        exists_async,
        get_async,
        get_into_async,
        get_many_async,
        get_range_async,
        list_async,
        mkdir_async,
        put_async,
        put_bytes_async,
        put_many_async,
        stat_async,
        stat_many_async,
    )
    from s3dlio.buffer import BytesView
    from s3dlio.errors import (
        AccessDeniedError,
        BucketNotFoundError,
        CertificateError,
        CheckpointCorruptError,
        CheckpointError,
        CheckpointIncompleteError,
        CredentialsError,
        DeadlineExceededError,
        IntegrityError,
        InvalidRangeError,
        InvalidUriError,
        LocalFileError,
        NetworkError,
        NotFoundError,
        ObjectChangedError,
        PartialFailureError,
        PreconditionFailedError,
        RequestError,
        S3dlioError,
        ServerError,
        ThrottledError,
    )
    from s3dlio.loading.generic import create_async_loader, create_dataset
    from s3dlio.loading.options import PyLoaderOptions
    from s3dlio.logging_ import init_logging
    from s3dlio.oplog import finalize_op_log, init_op_log, is_op_log_active, op_log_stats
    from s3dlio.processes import mp_get
    from s3dlio.stale import abort_stale_uploads, abort_stale_uploads_async
    from s3dlio.tree import download, upload
    from s3dlio.verbs import (
        configure,
        copy,
        create_bucket,
        delete,
        delete_bucket,
        exists,
        get,
        get_into,
        get_many,
        get_many_stats,
        get_object,
        get_range,
        iter_many,
        list,  # noqa: A004 - the verb's name
        list_containers,
        list_full_uris,
        list_iter,
        list_keys,
        list_objects,
        mkdir,
        put,
        put_bytes,
        put_many,
        reset,
        stat,
        stat_many,
        stat_object,
    )
    from s3dlio_torch import ObjectStoreIterableDataset as ObjectStoreIterableDataset  # pants: no-infer-dep
    from s3dlio_torch import ObjectStoreMapDataset as ObjectStoreMapDataset  # pants: no-infer-dep
    from s3dlio_torch import S3IterableDataset as S3IterableDataset  # pants: no-infer-dep
    from s3dlio_torch import S3MapDataset as S3MapDataset  # pants: no-infer-dep
else:
    from s3dlio import _names

    __dir__ = _names.here
    __getattr__ = _names.load

__all__ = [
    "AccessDeniedError",
    "BucketNotFoundError",
    "BytesView",
    "CertificateError",
    "CheckpointCorruptError",
    "CheckpointError",
    "CheckpointIncompleteError",
    "CredentialsError",
    "DeadlineExceededError",
    "IntegrityError",
    "InvalidRangeError",
    "InvalidUriError",
    "LocalFileError",
    "NetworkError",
    "NotFoundError",
    "ObjectChangedError",
    "PartialFailureError",
    "PreconditionFailedError",
    "PyLoaderOptions",
    "RequestError",
    "S3dlioError",
    "ServerError",
    "ThrottledError",
    "__version__",
    "abort_stale_uploads",
    "abort_stale_uploads_async",
    "configure",
    "copy",
    "copy_async",
    "create_async_loader",
    "create_bucket",
    "create_dataset",
    "delete",
    "delete_async",
    "delete_bucket",
    "download",
    "exists",
    "exists_async",
    "finalize_op_log",
    "get",
    "get_async",
    "get_into",
    "get_into_async",
    "get_many",
    "get_many_async",
    "get_many_stats",
    "get_object",
    "get_range",
    "get_range_async",
    "init_logging",
    "init_op_log",
    "is_op_log_active",
    "iter_many",
    "list",
    "list_async",
    "list_containers",
    "list_full_uris",
    "list_iter",
    "list_keys",
    "list_objects",
    "mkdir",
    "mkdir_async",
    "mp_get",
    "op_log_stats",
    "put",
    "put_async",
    "put_bytes",
    "put_bytes_async",
    "put_many",
    "put_many_async",
    "reset",
    "stat",
    "stat_async",
    "stat_many",
    "stat_many_async",
    "stat_object",
    "upload",
]
