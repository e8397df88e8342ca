"""Progress on the terminal while a package is written or verified: one line per step, with its result."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich import get_console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn


class Step:
    """A running step; ``detail`` is the text that its line ends with."""

    def __init__(self) -> None:
        self.detail = ""


@contextmanager
def step(name: str) -> Iterator[Step]:
    """Show a spinner while the step ``name`` runs, and print its line at the end."""
    began, current = time.monotonic(), Step()
    with spinner(name):
        yield current
    print_line(name, current.detail, time.monotonic() - began)


@contextmanager
def spinner(name: str) -> Iterator[None]:
    """Show a spinner with ``name`` while the block runs."""
    with get_console().status(name, spinner="dots"):
        yield


@contextmanager
def byte_progress(name: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show a bar while bytes are sent or received; yield a function that takes their number.

    Args:
        name: What is done.
        total: The number of all bytes.
    """
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=get_console(), transient=True) as progress:
        task = progress.add_task(name, total=total)
        yield lambda size: progress.advance(task, size)


def print_line(name: str, detail: str, seconds: float = 0.0, style: str = "cyan") -> None:
    """Print the line of a step: its name, its result, and its duration if that is a second or longer."""
    console = get_console()
    console.print(f"[{style}]{name:>15}[/]  ", end="")
    duration = f" ({seconds:.0f} s)" if seconds >= 1 else ""
    console.print(f"{detail}{duration}", markup=False, highlight=False, soft_wrap=True)
