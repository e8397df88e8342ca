"""The commands of `deployer`, as one application."""

from collections.abc import Callable
from functools import wraps
from typing import Any

import typer

from model_deployer.cli import bentoml_options
from model_deployer.cli.commands.adopt import adopt
from model_deployer.cli.commands.build import build
from model_deployer.cli.commands.capture import delete
from model_deployer.cli.commands.check import check
from model_deployer.cli.commands.deploy import deploy
from model_deployer.cli.commands.diff import diff
from model_deployer.cli.commands.handoff import handoff
from model_deployer.cli.commands.image import image
from model_deployer.cli.commands.init import init
from model_deployer.cli.commands.labels import labels
from model_deployer.cli.commands.ledger import show_ledger
from model_deployer.cli.commands.list import list_models
from model_deployer.cli.commands.monitor import monitor
from model_deployer.cli.commands.predict import predict
from model_deployer.cli.commands.promote import promote
from model_deployer.cli.commands.pull import pull
from model_deployer.cli.commands.push import push
from model_deployer.cli.commands.recalibrate import recalibrate
from model_deployer.cli.commands.replay import replay
from model_deployer.cli.commands.retrain import retrain
from model_deployer.cli.commands.rollback import rollback
from model_deployer.cli.commands.serve import serve
from model_deployer.cli.commands.show import show
from model_deployer.cli.commands.sign import sign
from model_deployer.cli.commands.track import track
from model_deployer.cli.commands.train import train
from model_deployer.cli.commands.verify import verify
from model_deployer.contract.errors import Interrupted

app = typer.Typer(
    help="Train a model from a table and a model.yaml, and put it behind an API.",
    epilog="Exit codes: 0 success; 1 the command ran and the result is negative, for example a gate failed; 2 the "
    "input is wrong; 3 the machine cannot do it, for example a disk is full or a package is missing; 4 the data do not "
    "say; 130 interrupted.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _with_interrupt_message(command: Callable[..., None]) -> Callable[..., None]:
    """Return the command with an error message for Ctrl-C, because typer would exit without one."""

    @wraps(command)
    def run(*arguments: Any, **options: Any) -> None:
        try:
            command(*arguments, **options)
        except KeyboardInterrupt:
            raise Interrupted("interrupted; nothing was changed") from None

    return run


app.command()(_with_interrupt_message(init))
app.command()(_with_interrupt_message(adopt))
app.command()(_with_interrupt_message(train))
app.command("list")(_with_interrupt_message(list_models))
app.command()(_with_interrupt_message(show))
app.command()(_with_interrupt_message(diff))
app.command()(_with_interrupt_message(predict))
app.command()(_with_interrupt_message(recalibrate))
app.command()(_with_interrupt_message(retrain))
app.command()(_with_interrupt_message(track))
app.command()(_with_interrupt_message(sign))
app.command()(_with_interrupt_message(push))
app.command()(_with_interrupt_message(pull))
app.command()(_with_interrupt_message(promote))
app.command()(_with_interrupt_message(rollback))
app.command("ledger")(_with_interrupt_message(show_ledger))
app.command(context_settings=bentoml_options.SETTINGS)(_with_interrupt_message(serve))
app.command(context_settings=bentoml_options.SETTINGS)(_with_interrupt_message(build))
app.command()(_with_interrupt_message(replay))
app.command()(_with_interrupt_message(handoff))
app.command()(_with_interrupt_message(verify))
app.command()(_with_interrupt_message(image))
app.command()(_with_interrupt_message(deploy))
capture = typer.Typer(help="Look after captured traffic.", no_args_is_help=True, rich_markup_mode=None)
capture.command()(_with_interrupt_message(delete))
capture.callback()(lambda: None)  # without it, an application with one command has no name for it
app.add_typer(capture, name="capture")
app.command()(_with_interrupt_message(labels))
app.command()(_with_interrupt_message(monitor))
app.command()(_with_interrupt_message(check))
