"""The output of the commands, for people and for programs."""

import json
from typing import Annotated, Any

import typer
from rich.console import Console

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]

#: Standard output for people; it has no colours unless it is a terminal.
console = Console(highlight=False, soft_wrap=True)


def print_json(document: Any) -> None:
    """Print one JSON document to standard output."""
    print(json.dumps(document, indent=2, ensure_ascii=False))
