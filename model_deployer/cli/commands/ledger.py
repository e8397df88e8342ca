"""`deployer ledger NAME`."""

from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from model_deployer.cli.output import Json, console, print_json
from model_deployer.contract import ledger, store
from model_deployer.contract.ledger import Entry

Name = Annotated[str, typer.Argument(metavar="NAME", help="The model.")]


def show_ledger(name: Name, json: Json = False) -> None:
    """Show who set which alias of a model, when and why, and check that no entry was altered."""
    file = store.ledger_file(name)
    entries = ledger.read(file)
    if not entries:
        store.resolve(name)  # a name that the store does not know is an error
    if json:
        print_json([entry.to_json() for entry in entries])
    elif entries:
        console.print(_table(entries))
        console.print(f"\nNo entry was altered: {file}\nSHA-256 of the last one: {entries[-1].sha256}", markup=False)
    else:
        print(f"{name} has no aliases yet. Make a version its champion:  deployer promote {name}:VERSION")


def _table(entries: list[Entry]) -> Table:
    table = Table("Time, UTC", "By", "Action", "Alias", "From", "To", "Trial", "Reason", box=None, pad_edge=False)
    for column in table.columns:
        column.overflow = "fold"
    for entry in entries:
        action = f"{entry.action}, forced" if entry.forced else entry.action
        to = f"{entry.to}; {entry.others_text()}" if entry.others else entry.to
        names = (escape(entry.by), action, entry.alias, entry.before or "", to)
        trial = entry.trial.file if entry.trial else ""
        table.add_row(f"{entry.time:%Y-%m-%d %H:%M:%S}", *names, trial, escape(entry.reason or ""))
    return table
