"""How the program ends: an exit code for each kind of failure, and the lines that say what failed."""

from __future__ import annotations

import os
import traceback as tracebacks

import click

from s3dlio.cli.text import shown
from s3dlio.errors import CredentialsError, PartialFailureError, S3dlioError

FAILED, USAGE, NOT_FOUND, DENIED, PARTIAL, INTERRUPTED, CLOSED_PIPE = 1, 2, 3, 4, 5, 130, 141

REPORTED = (S3dlioError, OSError, ValueError, MemoryError)
"""What a user can cause, or has to know. Anything else is a bug, and shows where it is."""

# The first kind that fits decides.
_CODES: tuple[tuple[type[BaseException], int], ...] = (
    (PartialFailureError, PARTIAL),
    (FileNotFoundError, NOT_FOUND),
    (PermissionError, DENIED),
    (CredentialsError, DENIED),
    (ValueError, USAGE),
)
_SHOWN_FAILURES = 20


def code_of(problem: BaseException) -> int:
    """Return the exit code for an exception."""
    return next((code for kind, code in _CODES if isinstance(problem, kind)), FAILED)


def report(problem: BaseException, *, traceback: bool) -> None:
    """Say on standard error what went wrong, in one line; of many failures, one line each and one for all."""
    if traceback:
        tracebacks.print_exception(problem)
    if not isinstance(problem, PartialFailureError) or not problem.errors:
        complain(message_of(problem))
        return
    for error in list(problem.errors.values())[:_SHOWN_FAILURES]:
        complain(message_of(error))
    complain(f"{len(problem.errors):,} failed, the others are done")


def message_of(problem: BaseException) -> str:
    """Return what an exception says, with the notes on it."""
    notes: list[str] = getattr(problem, "__notes__", [])
    return "; ".join([_message(problem), *notes])


def _message(problem: BaseException) -> str:
    if isinstance(problem, KeyboardInterrupt):
        return "interrupted"
    if isinstance(problem, OSError) and not isinstance(problem, S3dlioError) and problem.filename is not None:
        return f"{problem.filename!r}: {problem.strerror}"
    return str(problem) or type(problem).__name__


def complain(message: str) -> None:
    """Write one line to standard error."""
    click.echo(f"s3dlio: {shown(message)}", err=True)


def drop_output() -> None:
    """Let what is still buffered for a reader that has gone vanish, or the interpreter's last flush would fail."""
    nowhere = os.memfd_create("nowhere")
    os.dup2(nowhere, 1)
    os.close(nowhere)
