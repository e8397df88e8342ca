"""What a person sees while a package is written or verified: one line a step, with what came of it."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich import get_console


class Step:
    """A step under way; ``detail`` is what its line says in the end."""

    def __init__(self) -> None:
        self.detail = ""


@contextmanager
def step(name: str) -> Iterator[Step]:
    """Show on a terminal that ``name`` is being done, and print its line when it is done."""
    began, current = time.monotonic(), Step()
    with spinner(name):
        yield current
    print_line(name, current.detail, time.monotonic() - began)


@contextmanager
def spinner(name: str) -> Iterator[None]:
    """Show on a terminal that ``name`` is being done."""
    with get_console().status(name, spinner="dots"):
        yield


def print_line(name: str, detail: str, seconds: float = 0.0, style: str = "cyan") -> None:
    """Print one line."""
    console = get_console()
    console.print(f"[{style}]{name:>15}[/]  ", end="")
    took = f" ({seconds:.0f} s)" if seconds >= 1 else ""
    console.print(f"{detail}{took}", markup=False, highlight=False, soft_wrap=True)
