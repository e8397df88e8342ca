"""`deployer diff OLD NEW`."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from model_deployer.cli.extras import packages_of
from model_deployer.cli.output import Json, console, print_json
from model_deployer.contract import store
from model_deployer.contract.artifact import Artifact
from model_deployer.contract.difference import Difference, MetricChange, SliceChange, difference
from model_deployer.contract.evaluation import MetricValue
from model_deployer.contract.versions import Change, Step

Old = Annotated[str, typer.Argument(metavar="OLD", help="NAME or NAME:VERSION.")]
Changelog = Annotated[
    Path | None, typer.Option(help="Write what changed in all versions up to NEW as Markdown into this file, too.")
]
New = Annotated[str, typer.Argument(metavar="NEW", help="NAME or NAME:VERSION.")]


def diff(old: Old, new: New, json: Json = False, changelog: Changelog = None) -> None:
    """Show what a caller meets when NEW takes the place of OLD, and the version step that follows."""
    from model_deployer.serving.engines.offline import predict  # noqa: PLC0415 (it loads ONNX Runtime)

    found = difference(store.load(old), store.load(new), predict)
    if changelog:
        _write_changelog(found.new, changelog)
    if json:
        print_json(_document(found))
        return
    console.print(f"[bold]{found.old.tag}[/] to [bold]{found.new.tag}[/]: a {_word(found.step)} step")
    _print_contract(found.changes)
    _print_behaviour(found)
    if found.metrics:
        console.print()
        console.print(_metrics(found.metrics))
    if found.slices:
        console.print()
        console.print(_slices(found.slices))


def _write_changelog(artifact: Artifact, path: Path) -> None:
    with packages_of("handoff"):
        from model_deployer.handoff.changes import changes  # noqa: PLC0415
        from model_deployer.handoff.documents.documents import changelog  # noqa: PLC0415
    path.write_text(changelog(artifact.manifest.name, changes(artifact)), encoding="utf-8")


def _document(found: Difference) -> dict[str, Any]:
    return {
        "old": found.old.tag,
        "new": found.new.tag,
        "step": _word(found.step),
        "changes": [asdict(change) | {"step": _word(change.step)} for change in found.changes],
        "behaviour": asdict(found.behaviour) | {"moved": found.moved} if found.behaviour else None,
        "metrics": {name: change.to_json() for name, change in found.metrics.items()},
        "slices": [asdict(change) for change in found.slices],
    }


def _print_contract(changes: list[Change]) -> None:
    console.print("\nContract" if changes else "\nContract: the same")
    for change in changes:
        subject = f"{change.field}: " if change.field else ""
        console.print(f"  {_word(change.step):5}  {subject}{change.message}", markup=False)


def _print_behaviour(found: Difference) -> None:
    console.print("\nBehaviour")
    behaviour, tolerance = found.behaviour, found.new.manifest.patch_tolerance
    if behaviour is None:
        console.print("  cannot be compared: the outputs differ, or the new model refuses every golden request")
        return
    step, relation = (Step.MINOR, "beyond") if found.moved else (Step.PATCH, "within")
    console.print(f"  {_word(step):5}  {behaviour} ({relation} the tolerance of {tolerance:g})", markup=False)
    if behaviour.flipped:
        more = ", ..." if len(behaviour.flipped) < (behaviour.flips or 0) else ""
        console.print(f"         flipped: {', '.join(behaviour.flipped)}{more}", markup=False)


def _metrics(metrics: dict[str, MetricChange]) -> Table:
    table = Table("Test parts", "old, 95 %", "new, 95 %", "", box=None, pad_edge=False, collapse_padding=True)
    for name, change in metrics.items():
        table.add_row(name.replace("_", " "), _cell(change.old), _cell(change.new), change.verdict)
    return table


def _cell(metric: MetricValue) -> str:
    return f"{metric.value:.3g} ({metric.low:.3g} to {metric.high:.3g})"


def _slices(slices: list[SliceChange]) -> Table:
    table = Table("Slice", "old loss", "new loss", "change", box=None, pad_edge=False, collapse_padding=True)
    for change in slices:
        table.add_row(escape(change.slice), f"{change.old:.4g}", f"{change.new:.4g}", f"{change.new - change.old:+.2g}")
    return table


def _word(step: Step) -> str:
    return step.name.lower()
