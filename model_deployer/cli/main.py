"""The entry point of `deployer`: run a command, print its error and exit with its code.

Exit codes: 0 success; 1 the command ran and the result is negative; 2 the input is wrong; 3 the machine cannot do it;
4 the data do not say; 130 interrupted.
"""

import errno
import shutil
import sys
from typing import NoReturn

from model_deployer.contract.errors import DeployerError, EnvironmentFault, Interrupted


def main() -> None:
    """Run the command line and exit with the code of its result."""
    try:
        _run()
    except DeployerError as error:
        _fail(str(error), error.exit_code)
    except OSError as error:
        _fail(_reason(error), EnvironmentFault.exit_code)
    except KeyboardInterrupt:
        _fail("interrupted; nothing was changed", Interrupted.exit_code)


def _run() -> None:
    """Import the commands here, so that Ctrl-C during the import has the same message as at any other time."""
    import rich  # noqa: PLC0415

    from model_deployer.cli.app import app  # noqa: PLC0415

    # Output for programs goes to standard output; output for people only, such as progress, to standard error.
    rich.reconfigure(stderr=True)
    app()


def _reason(error: OSError) -> str:
    """Describe an error of the operating system; of several failed copies, describe the first."""
    if isinstance(error, shutil.Error) and isinstance(error.args[0], list):
        return f"{error.args[0][0][2]}; if the disk is full, free some space, and run the same command again"
    file = f"{error.filename}: " if error.filename else ""
    hint = "; free some disk space and run the same command again" if error.errno == errno.ENOSPC else ""
    return f"{file}{error.strerror or type(error).__name__}{hint}"


def _fail(message: str, code: int) -> NoReturn:
    print(f"error: {message}", file=sys.stderr)
    sys.exit(code)
