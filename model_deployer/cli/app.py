"""The commands of `deployer`, as one application."""

from collections.abc import Callable
from functools import wraps
from typing import Any

import typer

from model_deployer.cli import bentoml_options
from model_deployer.cli.commands.build import build
from model_deployer.cli.commands.check import check
from model_deployer.cli.commands.deploy import deploy
from model_deployer.cli.commands.diff import diff
from model_deployer.cli.commands.handoff import handoff
from model_deployer.cli.commands.image import image
from model_deployer.cli.commands.init import init
from model_deployer.cli.commands.list import list_models
from model_deployer.cli.commands.serve import serve
from model_deployer.cli.commands.show import show
from model_deployer.cli.commands.sign import sign
from model_deployer.cli.commands.train import train
from model_deployer.cli.commands.verify import verify
from model_deployer.contract.errors import Interrupted

app = typer.Typer(
    help="From a table and a model.yaml to a model behind an API.",
    epilog="Exit codes: 0 done; 1 the job ran and its answer is no; 2 the input is wrong; 3 the machine cannot do it; "
    "130 interrupted.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _saying_so(command: Callable[..., None]) -> Callable[..., None]:
    """The command, which answers Ctrl-C with an error of ours: typer would end without a word."""

    @wraps(command)
    def run(*arguments: Any, **options: Any) -> None:
        try:
            command(*arguments, **options)
        except KeyboardInterrupt:
            raise Interrupted("interrupted; nothing was changed") from None

    return run


app.command()(_saying_so(init))
app.command()(_saying_so(train))
app.command("list")(_saying_so(list_models))
app.command()(_saying_so(show))
app.command()(_saying_so(diff))
app.command()(_saying_so(sign))
app.command(context_settings=bentoml_options.SETTINGS)(_saying_so(serve))
app.command(context_settings=bentoml_options.SETTINGS)(_saying_so(build))
app.command()(_saying_so(handoff))
app.command()(_saying_so(verify))
app.command()(_saying_so(image))
app.command()(_saying_so(deploy))
app.command()(_saying_so(check))
