"""`deployer diff OLD NEW`."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from model_deployer.cli.output import Json, console, print_json
from model_deployer.contract import store
from model_deployer.contract.artifact import Artifact
from model_deployer.contract.difference import Difference, MetricChange, SliceChange, difference
from model_deployer.contract.evaluation import MetricValue
from model_deployer.contract.versions import Change, Step
from model_deployer.system.extras import packages_of

Old = Annotated[str, typer.Argument(metavar="OLD", help="The old model: NAME or NAME:VERSION.")]
Changelog = Annotated[
    Path | None, typer.Option(help="Also write the changes of all versions up to NEW to this file, as Markdown.")
]
New = Annotated[str, typer.Argument(metavar="NEW", help="The new model: NAME or NAME:VERSION.")]


def diff(old: Old, new: New, json: Json = False, changelog: Changelog = None) -> None:
    """Compare two versions of a model.

    It shows what changes for callers when NEW replaces OLD, and the version step that follows from it.
    """
    from model_deployer.serving.engines.offline import predict  # noqa: PLC0415 (it loads ONNX Runtime)

    result = difference(store.load(old), store.load(new), predict)
    if changelog:
        _write_changelog(result.new, changelog)
    if json:
        print_json(_document(result))
        return
    console.print(f"[bold]{result.old.tag}[/] to [bold]{result.new.tag}[/]: a {_word(result.step)} step")
    _print_contract(result.changes)
    _print_behaviour(result)
    if result.metrics:
        console.print()
        console.print(_metrics(result.metrics))
    if result.slices:
        console.print()
        console.print(_slices(result.slices))


def _write_changelog(artifact: Artifact, path: Path) -> None:
    with packages_of("handoff"):
        from model_deployer.handoff.changes import changes  # noqa: PLC0415
        from model_deployer.handoff.documents.documents import changelog  # noqa: PLC0415
    path.write_text(changelog(artifact.manifest.name, changes(artifact)), encoding="utf-8")


def _document(result: Difference) -> dict[str, Any]:
    return {
        "old": result.old.tag,
        "new": result.new.tag,
        "step": _word(result.step),
        "changes": [asdict(change) | {"step": _word(change.step)} for change in result.changes],
        "behaviour": asdict(result.behaviour) | {"moved": result.moved} if result.behaviour else None,
        "metrics": {name: change.to_json() for name, change in result.metrics.items()},
        "slices": [asdict(change) for change in result.slices],
    }


def _print_contract(changes: list[Change]) -> None:
    console.print("\nContract" if changes else "\nContract: the same")
    for change in changes:
        subject = f"{change.field}: " if change.field else ""
        console.print(f"  {_word(change.step):5}  {subject}{change.message}", markup=False)


def _print_behaviour(result: Difference) -> None:
    console.print("\nBehaviour")
    behaviour, tolerance = result.behaviour, result.new.manifest.patch_tolerance
    if behaviour is None:
        console.print("  cannot be compared: the outputs differ, or the new model rejects every golden request")
        return
    step, relation = (Step.MINOR, "beyond") if result.moved else (Step.PATCH, "within")
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
