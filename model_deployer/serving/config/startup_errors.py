"""What a person reads when the server cannot start."""

import errno
import sys
from types import TracebackType

from model_deployer.contract.errors import DeployerError


def explain_failures() -> None:
    """From now on what a person can mend ends this process with one clear line; BentoML would print forty of trace."""
    sys.excepthook = _explain


def _explain(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if isinstance(error, DeployerError):
        print(f"Error: {error}", file=sys.stderr)
    elif isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
        print(
            "Error: the port is taken by another program; choose one with `--port`, or stop that program",
            file=sys.stderr,
        )
    else:
        sys.__excepthook__(kind, error, trace)
