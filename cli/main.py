"""`deployer`: its commands, and how they end.

Exit codes, for scripts: 0 done; 1 the job ran and its answer is no; 2 the input is wrong; 3 the machine cannot do it;
130 interrupted.
"""

import errno
import sys
from typing import NoReturn

import rich
import typer

from cli.diff import diff
from cli.init import init
from cli.list import list_models
from cli.show import show
from cli.train import train
from contract.errors import DeployerError, EnvironmentFault, Interrupted

app = typer.Typer(
    help="From a table and a model.yaml to a model behind an API.",
    epilog="Exit codes: 0 done; 1 the job ran and its answer is no; 2 the input is wrong; 3 the machine cannot do it; "
    "130 interrupted.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command()(init)
app.command()(train)
app.command("list")(list_models)
app.command()(show)
app.command()(diff)


def main() -> None:
    """Run the command line and end the process with its exit code."""
    # What programs read goes to standard output; what is only for people, to standard error.
    rich.reconfigure(stderr=True)
    try:
        app()
    except DeployerError as error:
        _fail(str(error), error.exit_code)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        hint = "; make room and run the same command again" if error.errno == errno.ENOSPC else ""
        _fail(f"{where}{error.strerror or type(error).__name__}{hint}", EnvironmentFault.exit_code)
    except KeyboardInterrupt:
        _fail("interrupted", Interrupted.exit_code)


def _fail(message: str, code: int) -> NoReturn:
    print(f"error: {message}", file=sys.stderr)
    sys.exit(code)
