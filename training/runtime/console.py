"""Print the stages of a training run, one line each."""

from rich import get_console
from rich.text import Text

from model_deployer.training.runtime.launch import launch

_STYLES = {"warning": "yellow", "error": "red", "saved": "green"}


def print_stage(stage: str, text: str) -> None:
    """Print one line to the console that shows progress; a worker of a launch prints nothing.

    Args:
        stage: The name of the stage, or ``warning``, ``error`` or ``saved``.
        text: The text after it.
    """
    if launch().is_worker:
        return
    # In one call: a notebook shows each call as a block of its own.
    line = Text.assemble((f"{stage:>10}", _STYLES.get(stage, "cyan")), "  ", text)
    get_console().print(line, highlight=False, soft_wrap=True)
