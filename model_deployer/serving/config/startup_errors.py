"""Clear error messages for a server that cannot start."""

import errno
import sys
from types import TracebackType

from model_deployer.contract.errors import DeployerError


def explain_failures() -> None:
    """Make errors that the operator can fix end this process with one line, instead of BentoML's long traceback."""
    sys.excepthook = _explain


def _explain(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if isinstance(error, DeployerError):
        print(f"Error: {error}", file=sys.stderr)
    elif isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
        print(
            "Error: the port is used by another program; choose another one with `--port`, or stop that program",
            file=sys.stderr,
        )
    else:
        sys.__excepthook__(kind, error, trace)
