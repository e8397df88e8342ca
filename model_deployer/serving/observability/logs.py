"""Log lines as JSON, one object per line, on standard error."""

import json
import logging
from datetime import UTC, datetime

logger = logging.getLogger("model_deployer")

_STANDARD_ATTRIBUTES = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonFormatter(logging.Formatter):
    """Formats a record's time (RFC 3339), level, message and ``extra`` fields as a JSON object."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
        }
        extra = {name: value for name, value in vars(record).items() if name not in _STANDARD_ATTRIBUTES}
        return json.dumps(line | extra, default=str)


def configure() -> None:
    """Send the lines of this project's logger to standard error, as JSON. Calling it again changes nothing."""
    if not logger.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(JsonFormatter())
        logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    # uvicorn formats a line for every request as long as its access logger has a handler to propagate to.
    logging.getLogger("uvicorn.access").propagate = False
