"""Clear error messages for a server that cannot start."""

import errno
import logging
import sys
from types import TracebackType

from model_deployer.contract.errors import DeployerError

logger = logging.getLogger("model_deployer")


def explain_failures() -> None:
    """Make errors that the operator can fix end this process with one line, instead of BentoML's long traceback."""
    log_other = sys.excepthook

    def explain(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if isinstance(error, DeployerError):
            logger.critical(str(error))
        elif isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
            logger.critical(
                "the port is used by another program; choose another one with `--port`, or stop that program"
            )
        else:
            log_other(kind, error, trace)

    sys.excepthook = explain
