"""Show the progress of a fit: a live bar on a terminal, else one line per epoch or trial."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import pytorch_lightning as lightning
from rich import get_console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

T = TypeVar("T")


def trials(draws: Iterable[T], count: int, lowest_loss: Callable[[], float]) -> Iterator[T]:
    """Yield the draws of a search, and show the progress: a live bar on a terminal, else one line per trial.

    A single draw shows nothing.

    Args:
        draws: The draws.
        count: The number of draws.
        lowest_loss: Returns the lowest validation loss so far.
    """
    if count == 1:
        yield from draws
        return
    console = get_console()
    bar = Progress(
        TextColumn("searching, trial {task.fields[trial]} of {task.total}"),
        BarColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[lowest]}"),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    with bar:
        task = bar.add_task("", total=count, trial=1, lowest="")
        for trial, draw in enumerate(draws, 1):
            bar.update(task, trial=trial)
            yield draw
            lowest = f"lowest validation loss {lowest_loss():.4g}"
            bar.update(task, advance=1, lowest=lowest)
            if not console.is_terminal:
                console.print(f"trial {trial} of {count}: {lowest}", highlight=False)


class EpochProgress(lightning.Callback):
    """A live bar on a terminal, else one line per epoch; of several processes, only the first one shows it."""

    def __init__(self) -> None:
        self._stderr = get_console().stderr  # a process that is spawned for the fit would not know this
        self._bar: Progress | None = None
        self._task = TaskID(0)

    def on_train_start(self, trainer: lightning.Trainer, learner: Any) -> None:
        """Show the bar; a resumed run starts at its completed steps."""
        if not trainer.is_global_zero:
            return
        self._bar = _bar(self._stderr)
        total = int(trainer.estimated_stepping_batches)
        self._task = self._bar.add_task("", total=total, completed=trainer.global_step, epoch="", losses="")
        self._bar.start()

    def on_train_epoch_start(self, trainer: lightning.Trainer, learner: Any) -> None:
        """Show the number of the epoch."""
        if self._bar:
            self._bar.update(self._task, epoch=f"{trainer.current_epoch + 1} of at most {trainer.max_epochs}")

    def on_train_batch_end(self, *_: Any) -> None:
        """Advance the bar by one batch."""
        if self._bar:
            self._bar.advance(self._task)

    def on_train_epoch_end(self, trainer: lightning.Trainer, learner: Any) -> None:
        """Show both losses of the epoch."""
        if not self._bar:
            return
        last = learner.history[-1]
        losses = f"train loss {last['train_loss']:.4f}, validation loss {last['validation_loss']:.4f}"
        self._bar.update(self._task, losses=losses)
        if not self._bar.console.is_terminal:
            self._bar.console.print(f"epoch {last['epoch']} of at most {trainer.max_epochs}: {losses}", highlight=False)

    def on_train_end(self, *_: Any) -> None:
        """Remove the bar."""
        self._stop()

    def on_exception(self, *_: Any) -> None:
        """Remove the bar before an error is shown."""
        self._stop()

    def _stop(self) -> None:
        if self._bar:
            self._bar.stop()
            self._bar = None


def _bar(stderr: bool) -> Progress:
    console = get_console()
    console.stderr = stderr
    return Progress(
        TextColumn("fitting, epoch {task.fields[epoch]}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("batches"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[losses]}"),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
