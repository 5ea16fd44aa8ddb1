"""Log output: the `s3dlio` logger of the standard library, set up with one call for those who want no more.

Nothing that looks like a credential goes through it, neither in a message nor in a traceback.
"""

from __future__ import annotations

import logging

from s3dlio.redaction import redact

TRACE = 5
_LEVELS = {
    "trace": TRACE,
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}
_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class _Handler(logging.StreamHandler):  # type: ignore[type-arg]  # generic only in stubs
    """The handler that `init_logging` adds, known by its class so that it is added once."""


class Redacting(logging.Filter):
    """Takes the secrets out of a record for every handler that sees it from here on."""

    _formatter = logging.Formatter()

    def filter(self, record: logging.LogRecord) -> bool:
        """Rewrite the record; none is dropped."""
        record.msg, record.args = redact(record.getMessage()), ()
        if record.exc_info and record.exc_text is None:
            record.exc_text = self._formatter.formatException(record.exc_info)
        if record.exc_text:
            record.exc_text = redact(record.exc_text)
        return True


def init_logging(level: str = "info") -> None:
    """Write this library's log to standard error from `level` on: trace, debug, info, warn or error.

    Another call changes the level. Handlers that the program itself has set up are left as they are.
    """
    if level not in _LEVELS:
        raise ValueError(f"unknown log level {level!r}: use {', '.join(_LEVELS)}")
    logging.addLevelName(TRACE, "TRACE")
    logger = logging.getLogger("s3dlio")
    logger.setLevel(_LEVELS[level])
    if not any(isinstance(handler, _Handler) for handler in logger.handlers):
        handler = _Handler()
        handler.addFilter(Redacting())
        handler.setFormatter(logging.Formatter(_FORMAT))
        logger.addFilter(Redacting())
        logger.addHandler(handler)
        logger.propagate = False
