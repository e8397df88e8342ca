"""Log lines as JSON, one object a line, on standard error."""

import json
import logging
import traceback
from datetime import UTC, datetime

logger = logging.getLogger("model_deployer")

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonFormatter(logging.Formatter):
    """The record's time (RFC 3339), level, message, and whatever was given as ``extra``."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
        }
        extra = {name: value for name, value in vars(record).items() if name not in _STANDARD}
        return json.dumps(line | extra, default=str)


def configure() -> None:
    """Send the lines of this project's logger to standard error, as JSON; calling it again changes nothing."""
    if not logger.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(JsonFormatter())
        logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    # uvicorn prepares a line for every request as long as anybody might listen.
    logging.getLogger("uvicorn.access").propagate = False


def failure(error: BaseException, request_id: str) -> None:
    """Log where a request failed, without the error's text: that may hold what the caller sent."""
    cause = error.__cause__ or error
    frames = [f"{frame.filename}:{frame.lineno}" for frame in traceback.extract_tb(cause.__traceback__)]
    logger.error("request failed", extra={"request_id": request_id, "error": type(cause).__name__, "at": frames[-5:]})


def request(**facts: str | int | float) -> None:
    """Log a request that was answered: ids, sizes and times, nothing of what was sent."""
    logger.info("request", extra={name: fact for name, fact in facts.items() if fact != ""})
