"""`deployer` in the process of the tests, without the seconds that another process takes to import torch.

Where a test is about what a command leaves in the model store, or what it says about wrong input, this proves as much
as a program of its own, which :func:`tests.support.processes.run` starts. Each command also runs as a program once.
"""

import io
import subprocess
import sys
from collections.abc import Iterator
from contextlib import chdir, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path

import pytest
import rich
from bentoml._internal.configuration.containers import BentoMLContainer
from bentoml._internal.models import ModelStore

from model_deployer.cli import main


@contextmanager
def model_store(home: Path) -> Iterator[None]:
    """Have this process use the model store of another BentoML home."""
    models = home / "models"
    models.mkdir(parents=True, exist_ok=True)
    BentoMLContainer.model_store.set(ModelStore(models))
    try:
        yield
    finally:
        BentoMLContainer.model_store.reset()


def deployer(*arguments: str, cwd: Path, home: Path) -> "subprocess.CompletedProcess[str]":
    """Run a command as `deployer` would, in a folder and with the store of a BentoML home.

    Returns:
        Its exit code and what it printed. An error that the command does not turn into a message is raised.
    """
    output, errors = io.StringIO(), io.StringIO()
    with model_store(home), chdir(cwd), pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["deployer", *arguments])
        with redirect_stdout(output), redirect_stderr(errors):
            code = _exit_code()
    rich.reconfigure()
    return subprocess.CompletedProcess(["deployer", *arguments], code, output.getvalue(), errors.getvalue())


def _exit_code() -> int:
    try:
        main.main()
    except SystemExit as ended:
        assert ended.code is None or isinstance(ended.code, int), ended.code
        return ended.code or 0
    return 0
