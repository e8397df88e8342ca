"""`deployer rollback NAME`."""

from typing import Annotated

import typer

from model_deployer.contract import promotion

Name = Annotated[str, typer.Argument(metavar="NAME", help="The model.")]
Reason = Annotated[str | None, typer.Option(metavar="TEXT", help="Why; the ledger keeps it.")]


def rollback(name: Name, reason: Reason = None) -> None:
    """Make the champion before the present one the champion again."""
    entry = promotion.rollback(name, reason=reason)
    print(f"{entry.alias}: {entry.to}, before {entry.before}, set {entry.time:%Y-%m-%d %H:%M:%S} UTC by {entry.by}")
    if entry.others:
        print(entry.others_text())
