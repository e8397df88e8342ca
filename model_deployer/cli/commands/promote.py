"""`deployer promote NAME:VERSION`."""

from typing import Annotated

import typer

from model_deployer.contract import promotion
from model_deployer.contract.promotion import CHAMPION

Tag = Annotated[str, typer.Argument(metavar="NAME:VERSION", help="The version to promote; or NAME@ALIAS.")]
Alias = Annotated[str, typer.Option(metavar="ALIAS", help="The alias to set; one other than champion needs no trial.")]
Force = Annotated[bool, typer.Option("--force", help="Promote although a trial was not won, or callers must adapt.")]
Reason = Annotated[str | None, typer.Option(metavar="TEXT", help="Why; the ledger keeps it. --force needs one.")]


def promote(tag: Tag, alias: Alias = CHAMPION, force: Force = False, reason: Reason = None) -> None:
    """Make a version the champion of its model, or set another alias to it.

    A champion is replaced only by a version that won a trial against it. Exit code 1: it did not.
    """
    entry = promotion.promote(tag, alias, force=force, reason=reason)
    print(f"{alias}: {entry.to}, before {entry.before or 'none'}, set {entry.time:%Y-%m-%d %H:%M:%S} UTC by {entry.by}")
    if entry.others:
        print(entry.others_text())
