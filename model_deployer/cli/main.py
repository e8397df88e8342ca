"""`deployer`: how a command ends.

Exit codes, for scripts: 0 done; 1 the job ran and its answer is no; 2 the input is wrong; 3 the machine cannot do it;
130 interrupted.
"""

import errno
import shutil
import sys
from typing import NoReturn

from model_deployer.contract.errors import DeployerError, EnvironmentFault, Interrupted


def main() -> None:
    """Run the command line and end the process with its exit code."""
    try:
        _run()
    except DeployerError as error:
        _fail(str(error), error.exit_code)
    except OSError as error:
        _fail(_reason(error), EnvironmentFault.exit_code)
    except KeyboardInterrupt:
        _fail("interrupted; nothing was changed", Interrupted.exit_code)


def _run() -> None:
    """Importing the commands takes a moment, in which Ctrl-C is to be answered as at any other time."""
    import rich  # noqa: PLC0415

    from model_deployer.cli.app import app  # noqa: PLC0415

    # What programs read goes to standard output; what is only for people, to standard error.
    rich.reconfigure(stderr=True)
    app()


def _reason(error: OSError) -> str:
    """What the machine could not do; of the copies that failed in a folder, what was wrong with the first."""
    if isinstance(error, shutil.Error) and isinstance(error.args[0], list):
        return f"{error.args[0][0][2]}; make room if the disk is full, and run the same command again"
    where = f"{error.filename}: " if error.filename else ""
    hint = "; make room and run the same command again" if error.errno == errno.ENOSPC else ""
    return f"{where}{error.strerror or type(error).__name__}{hint}"


def _fail(message: str, code: int) -> NoReturn:
    print(f"error: {message}", file=sys.stderr)
    sys.exit(code)
