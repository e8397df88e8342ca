"""The output of the commands, for people and for programs."""

import json
from typing import Annotated, Any

import typer
from rich.console import Console

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]

#: The digits of a SHA-256 that tables show.
_DIGEST_CHARACTERS = 8

#: Standard output for people; it has no colours unless it is a terminal.
console = Console(highlight=False, soft_wrap=True)


def print_json(document: Any) -> None:
    """Print one JSON document to standard output."""
    print(json.dumps(document, indent=2, ensure_ascii=False))


def short_digest(version: str | None) -> str:
    """Return the beginning of the version of the data, for tables; empty if it is not known."""
    return (version or "").removeprefix("sha256:")[:_DIGEST_CHARACTERS]
