"""`deployer diff OLD NEW`, and `deployer diff MODEL...` for a table of several models."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from model_deployer.cli.output import Json, console, print_json, short_digest
from model_deployer.contract import store
from model_deployer.contract.artifact import Artifact
from model_deployer.contract.comparison import Comparison, ModelFacts, comparison
from model_deployer.contract.difference import Difference, MetricChange, SliceChange, difference
from model_deployer.contract.errors import UsageError
from model_deployer.contract.evaluation import MetricValue
from model_deployer.contract.metric_catalog import metric_in_words
from model_deployer.contract.number_format import milliseconds, size
from model_deployer.contract.versions import Change, Step, moved_step
from model_deployer.system.extras import packages_of

#: With an interval each, they fit next to the tag of a model in a terminal of 100 columns.
_METRICS_PER_TABLE = 3

Models = Annotated[
    list[str],
    typer.Argument(
        metavar="MODEL...", help="NAME, NAME:VERSION or NAME@ALIAS of each model; one NAME: all its versions."
    ),
]
Changelog = Annotated[
    Path | None,
    typer.Option(help="Also write the changes of all versions up to the last model to this file, as Markdown."),
]


def diff(models: Models, json: Json = False, changelog: Changelog = None) -> None:
    """Compare two versions of a model, or show several models in one table.

    With two models, it shows what changes for callers when the second replaces the first, and the version step that
    follows from it. With more models, or one name for all its versions, it shows a table of their data, estimators,
    metrics, sizes and latencies, and the step from each model to the next.
    """
    from model_deployer.serving.engines.offline import predict  # noqa: PLC0415 (it loads ONNX Runtime)

    tags = _tags(models)
    if changelog:
        _write_changelog(store.load(tags[-1]), changelog)
    if len(models) == 2:
        old, new = map(store.load, tags)
        result = difference(old, new, predict)
        print_json(_document(result)) if json else _print_difference(result)
    else:
        table = comparison(map(store.load, tags), predict)
        print_json(table.to_json()) if json else _print_comparison(table)


def _tags(models: list[str]) -> list[str]:
    """Return the exact tags of the models; all versions of a name that is alone.

    Raises:
        UsageError: if there is one model, with a version.
    """
    tags = list(map(store.resolve, models))
    if len(models) > 1:
        return tags
    name = tags[0].partition(":")[0]
    if models[0] != name:
        raise UsageError(f"there is nothing to compare {tags[0]} with; name a second model, or all versions: {name}")
    return [f"{name}:{version}" for version in store.versions(name)]


def _print_difference(result: Difference) -> None:
    console.print(f"[bold]{result.old.tag}[/] to [bold]{result.new.tag}[/]: a {_word(result.step)} step")
    _print_contract(result.changes)
    _print_behaviour(result)
    if result.metrics:
        console.print()
        console.print(_metrics(result.metrics))
    if result.slices:
        console.print()
        console.print(_slices(result.slices))


def _print_comparison(result: Comparison) -> None:
    console.print(_facts(result.models))
    for start in range(0, len(result.metrics), _METRICS_PER_TABLE):
        console.print()
        console.print(_metric_columns(result, result.metrics[start : start + _METRICS_PER_TABLE]))
    console.print()
    for note in result.notes:
        console.print(note, markup=False)


def _facts(models: Sequence[ModelFacts]) -> Table:
    table = _table("Model", "Step", "Target", "Estimator", "Rows", "Data", "Graph", "One row, p50")
    table.columns[4].justify = "right"
    for model in models:
        latency = model.latency
        table.add_row(
            model.tag,
            _word(model.step.step) if model.step else "",
            escape(model.output.target),
            escape(model.estimator or ""),
            "" if model.rows is None else f"{model.rows:,}",
            short_digest(model.data_version),
            size(model.graph_bytes),
            milliseconds(latency.one_row_ms.p50) if latency else "",
        )
    return table


def _metric_columns(result: Comparison, names: Sequence[str]) -> Table:
    table = _table("Test part, 95 %", *map(metric_in_words, names))
    for model in result.models:
        metrics = [model.metrics.get(name) for name in names]
        table.add_row(model.tag, *(_cell(metric) if metric else "" for metric in metrics))
    if any(name in result.best for name in names):
        table.add_row("best", *(result.best.get(name, "") for name in names))
    return table


def _table(*columns: str) -> Table:
    return Table(*columns, box=None, pad_edge=False, collapse_padding=True)


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
    step, relation = moved_step(result.new.contract.output, result.moved), "beyond" if result.moved else "within"
    console.print(f"  {_word(step):5}  {behaviour} ({relation} the tolerance of {tolerance:g})", markup=False)
    if behaviour.flipped:
        more = ", ..." if len(behaviour.flipped) < (behaviour.flips or 0) else ""
        console.print(f"         flipped: {', '.join(behaviour.flipped)}{more}", markup=False)


def _metrics(metrics: dict[str, MetricChange]) -> Table:
    table = _table("Test parts", "old, 95 %", "new, 95 %", "")
    for name, change in metrics.items():
        table.add_row(metric_in_words(name), _cell(change.old), _cell(change.new), change.verdict)
    return table


def _cell(metric: MetricValue) -> str:
    return f"{metric.value:.3g} ({metric.low:.3g} to {metric.high:.3g})"


def _slices(slices: list[SliceChange]) -> Table:
    table = _table("Slice", "old loss", "new loss", "change")
    for change in slices:
        table.add_row(escape(change.slice), f"{change.old:.4g}", f"{change.new:.4g}", f"{change.new - change.old:+.2g}")
    return table


def _word(step: Step) -> str:
    return step.name.lower()
