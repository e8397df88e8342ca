"""Log lines: one JSON object per line on standard error, or plain text if that is a terminal."""

import json
import logging
import sys
import threading
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, TextIO

logger = logging.getLogger("model_deployer")

_STANDARD_ATTRIBUTES = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}

#: The loggers of other packages that have handlers of their own. BentoML configures them before it imports the service.
_FOREIGN_LOGGERS = ("bentoml", "circus", "uvicorn", "uvicorn.error")


class JsonFormatter(logging.Formatter):
    """Formats a record's time (RFC 3339), level, message, logger, exception and ``extra`` fields as a JSON object."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line."""
        line = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "message": record.getMessage().strip(),
            "logger": record.name,
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line | _extra(record), default=str)


class TextFormatter(logging.Formatter):
    """Formats the same content for people: time, level, message, and the other fields as ``name=value``."""

    def format(self, record: logging.LogRecord) -> str:
        """Return a line, and the lines of an exception."""
        fields = "".join(f" {name}={value}" for name, value in _extra(record).items())
        text = f"{_time(record)} {record.levelname:<8} {record.getMessage().strip()}{fields}"
        return f"{text}\n{self.formatException(record.exc_info)}" if record.exc_info else text


def configure() -> None:
    """Send the lines of this project's logger to standard error. Calling it again changes nothing."""
    if not logger.handlers:
        logger.addHandler(_handler(sys.stderr))
    logger.setLevel(logging.INFO)
    logger.propagate = False
    # uvicorn formats a line for every request as long as its access logger has a handler to propagate to.
    logging.getLogger("uvicorn.access").propagate = False


def configure_process() -> None:
    """Send everything that a process of the server writes to the same stream in the same format.

    These are the lines of BentoML, circus and uvicorn, warnings, and exceptions that end the process or a thread.
    """
    configure()
    for name in _FOREIGN_LOGGERS:
        foreign = logging.getLogger(name)
        foreign.handlers.clear()
        foreign.propagate = True
    logging.getLogger().handlers[:] = [_handler(sys.stderr)]
    logging.captureWarnings(True)
    sys.excepthook = log_exception
    threading.excepthook = lambda failed: log_exception(
        failed.exc_type, failed.exc_value or failed.exc_type(), failed.exc_traceback
    )


def log_exception(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Log an exception that nothing caught, with its traceback."""
    if not issubclass(kind, KeyboardInterrupt | SystemExit):
        logger.critical("unhandled exception", exc_info=(kind, error, trace))


def _handler(stream: TextIO) -> logging.Handler:
    handler = logging.StreamHandler(stream)
    handler.setFormatter(TextFormatter() if stream.isatty() else JsonFormatter())
    return handler


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")


def _extra(record: logging.LogRecord) -> dict[str, Any]:
    return {name: value for name, value in vars(record).items() if name not in _STANDARD_ATTRIBUTES}
