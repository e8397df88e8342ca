"""`deployer diff OLD NEW`."""

from typing import Annotated, Any

import typer
from rich.table import Table

from cli.output import Json, console, print_json
from contract import store
from contract.versions import Change, Step, compare

Old = Annotated[str, typer.Argument(metavar="OLD", help="NAME or NAME:VERSION.")]
New = Annotated[str, typer.Argument(metavar="NEW", help="NAME or NAME:VERSION.")]


def diff(old: Old, new: New, json: Json = False) -> None:
    """Show what a caller meets when NEW takes the place of OLD, and the version step that follows."""
    before, after = store.load(old), store.load(new)
    changes = compare(before.contract, after.contract)
    step = max((change.step for change in changes), default=Step.PATCH)
    metrics = _metrics(before.evaluation, after.evaluation)
    if json:
        print_json(
            {
                "old": before.tag,
                "new": after.tag,
                "step": step.name.lower(),
                "changes": [_entry(change) for change in changes],
                "metrics": metrics,
            }
        )
        return
    console.print(f"[bold]{before.tag}[/] to [bold]{after.tag}[/]: a {step.name.lower()} change of the contract")
    for change in changes:
        console.print(f"  {change.step.name.lower():5}  {_subject(change)}{change.message}", markup=False)
    if metrics:
        console.print()
        console.print(_table(metrics))


def _entry(change: Change) -> dict[str, Any]:
    return {"step": change.step.name.lower(), "field": change.field, "message": change.message}


def _subject(change: Change) -> str:
    return f"{change.field}: " if change.field else ""


def _metrics(before: dict[str, Any], after: dict[str, Any]) -> dict[str, dict[str, float]]:
    """The metrics that both have; each was measured on the test part of its own training."""
    old, new = (evaluation["metrics"].get("model", {}) for evaluation in (before, after))
    return {name: {"old": old[name]["value"], "new": new[name]["value"]} for name in old if name in new}


def _table(metrics: dict[str, dict[str, float]]) -> Table:
    table = Table("", "old", "new", box=None)
    for name, values in metrics.items():
        table.add_row(name.replace("_", " "), f"{values['old']:.4g}", f"{values['new']:.4g}")
    return table
