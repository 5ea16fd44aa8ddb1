"""The error tree: what can go wrong, each kind also the built-in that a Python user would catch.

Every error names the URI it is about, keeps its cause, carries no secret and pickles. `retryable` says whether the
same request may succeed a moment later; whoever retries asks nothing else.
"""

from __future__ import annotations

import errno as _errno
from typing import Any, ClassVar

from s3dlio.redaction import redact


class S3dlioError(RuntimeError):
    """Something failed in storage or in a checkpoint.

    `uri` is what it failed on, `status` the HTTP status, `code` the service's own word for it and `request_id` the
    service's id of the request; each is None where there is none. `corrected` says that the cause has been put right,
    so that the same request is worth making again at once, and `attempts` how often it had been made.

    Text that looks like a credential is `***` in all of them, in `uri` too.
    """

    retryable: ClassVar[bool] = False
    corrected = False
    attempts = 1
    _errno: ClassVar[int | None] = None
    errno: int | None  # of those that are an OSError

    def __init__(
        self,
        message: str,
        uri: str | None = None,
        *,
        status: int | None = None,
        code: str | None = None,
        request_id: str | None = None,
    ) -> None:
        self.message = redact(message)
        super().__init__(self.message)
        self.uri = uri
        self.status = status
        self.code = code if code is None else redact(code)
        self.request_id = request_id if request_id is None else redact(request_id)
        if self._errno is not None and isinstance(self, OSError):
            self.errno = self._errno

    @property
    def uri(self) -> str | None:
        """What it failed on."""
        return self._uri

    @uri.setter
    def uri(self, uri: str | None) -> None:
        self._uri = uri if uri is None else redact(uri)

    def __str__(self) -> str:
        """Return the message, with the URI and the request id where the message does not hold them already."""
        parts = [self.message]
        if self.uri and self.uri not in self.message:
            parts.append(f"[{self.uri}]")
        if self.request_id:
            parts.append(f"(request id {self.request_id})")
        return " ".join(parts)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by class, message and attributes; the cause chain stays in the process that has it."""
        state = {**self.__dict__, "errno": self.errno} if isinstance(self, OSError) else self.__dict__
        return _rebuild, (type(self), self.message), state


def _rebuild(kind: type[S3dlioError], message: str) -> S3dlioError:
    # Made by the built-in that decides the memory layout: OSError, where it is a base.
    maker: Any = OSError if issubclass(kind, OSError) else RuntimeError
    error: S3dlioError = maker.__new__(kind, message)
    S3dlioError.__init__(error, message)
    return error


class NotFoundError(S3dlioError, FileNotFoundError):
    """The object is not there."""

    _errno = _errno.ENOENT


class BucketNotFoundError(NotFoundError):
    """The bucket or container is not there."""


class AccessDeniedError(S3dlioError, PermissionError):
    """The credentials are valid and do not allow this."""

    _errno = _errno.EACCES


class CredentialsError(S3dlioError):
    """No credentials were found, or the service does not accept them."""


class NetworkError(S3dlioError, ConnectionError):
    """The service could not be reached, or broke off, or did not speak HTTP."""

    retryable = True


class CertificateError(NetworkError):
    """The peer's TLS certificate is not one that this machine trusts for that name."""

    retryable = False


class DeadlineExceededError(S3dlioError, TimeoutError):
    """The service did not answer, or made no progress, within the time allowed."""

    retryable = True
    _errno = _errno.ETIMEDOUT


class ThrottledError(S3dlioError):
    """The service asks for fewer requests. `retry_after` is the wait it asked for, in seconds, or None."""

    retryable = True
    retry_after: float | None = None


class ServerError(S3dlioError):
    """The service failed inside. `retry_after` is the wait it asked for, in seconds, or None."""

    retryable = True
    retry_after: float | None = None


class RequestError(S3dlioError):
    """The service refused the request and will refuse it again."""


class IntegrityError(S3dlioError):
    """Bytes arrived that are not the object's: a wrong length, range or checksum."""

    retryable = True


class ObjectChangedError(S3dlioError):
    """The object was replaced while it was being read."""


class PreconditionFailedError(S3dlioError):
    """The condition of a conditional request does not hold, for example create-only on a key that exists."""


class InvalidUriError(S3dlioError, ValueError):
    """A URI, container or key that no backend could store."""


class InvalidRangeError(S3dlioError, ValueError):
    """A byte range that makes no sense, such as one with a negative offset."""


class LocalFileError(S3dlioError, OSError):
    """The operating system refused a file operation; `errno` is its reason."""

    def __init__(self, message: str, uri: str | None = None, *, errno: int | None = None) -> None:
        super().__init__(message, uri)
        self.errno = errno


class PartialFailureError(S3dlioError):
    """Some items of a batch failed. `results` and `errors` map each item (a URI or key) to what became of it."""

    def __init__(
        self,
        message: str,
        uri: str | None = None,
        *,
        results: dict[str, Any] | None = None,
        errors: dict[str, Exception] | None = None,
    ) -> None:
        super().__init__(message, uri)
        self.results = results or {}
        self.errors = errors or {}


class CheckpointError(S3dlioError):
    """A checkpoint that cannot be saved or loaded."""


class CheckpointIncompleteError(CheckpointError):
    """A checkpoint some of whose parts are missing."""


class CheckpointCorruptError(CheckpointError):
    """A checkpoint whose bytes are not the ones that were saved."""
