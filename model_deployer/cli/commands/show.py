"""`deployer show [NAME[:VERSION]]`."""

import json as json_module
from typing import Annotated, Any

import numpy as np
import typer
from rich.table import Table

from model_deployer.cli.output import Json, console, print_json
from model_deployer.contract import origin_text, store
from model_deployer.contract.adoption import Adoption
from model_deployer.contract.artifact import REPORT, Artifact
from model_deployer.contract.evaluation import MODEL, Evaluation, MetricValue
from model_deployer.contract.features import Feature, Image, Tensor
from model_deployer.contract.metric_catalog import metric_in_words

Tag = Annotated[
    str | None, typer.Argument(metavar="[NAME[:VERSION]]", help="The model; default: the only model in the store.")
]


def show(tag: Tag = None, json: Json = False) -> None:
    """Show a model's features, metrics and example request."""
    artifact = store.load(tag)
    aliases = _aliases(artifact)
    if json:
        print_json(_document(artifact) | {"aliases": aliases})
        return
    manifest = artifact.manifest
    made = origin_text.made(artifact.evaluation)
    names = f"  {', '.join(aliases)}" if aliases else ""
    console.print(f"[bold]{artifact.tag}[/]{names}  {made} {manifest.created:%Y-%m-%d %H:%M} UTC")
    for text in (manifest.description, manifest.business_context):
        if text:
            console.print(text.strip(), markup=False)
    if artifact.evaluation.adoption:
        console.print()
        _print_source(artifact.evaluation.adoption)
    console.print()
    console.print(_features(artifact))
    console.print()
    print_metrics(artifact.evaluation)
    if REPORT in artifact.manifest.files:
        console.print(f"\nThe full report: {artifact.path / REPORT}", markup=False)
    if artifact.reason_not_to_serve:
        console.print(f"\n{artifact.reason_not_to_serve}", markup=False)
        return
    console.print("\nAn example request, for the served model:\n")
    console.print(curl(artifact), markup=False)


def _aliases(artifact: Artifact) -> list[str]:
    named = store.aliases(artifact.manifest.name)
    return sorted(alias for alias, version in named.items() if version == artifact.manifest.version)


def _print_source(adoption: Adoption) -> None:
    facts = list(origin_text.source_facts(adoption))
    width = max(len(name) for name, _ in facts) + 2
    for name, value in facts:
        console.print(f"{name:{width}}{value}", markup=False)  # a table cuts off long names and digests
    for sentence in (*origin_text.equality(adoption), origin_text.seen(adoption)):
        console.print(sentence, markup=False)


def print_metrics(evaluation: Evaluation) -> None:
    """Print the metrics on the test part, with 95 % intervals, next to those of the baselines."""
    if not evaluation.metrics:
        return
    baselines = [evaluation.metrics_of(name) for name in evaluation.baselines]
    table = Table("Test part", MODEL, "95 % interval", *evaluation.baselines, box=None)
    for name, metric in evaluation.metrics_of(MODEL).items():
        interval = f"{metric.low:.4g} to {metric.high:.4g}"
        others = [_value(baseline.get(name)) for baseline in baselines]
        table.add_row(metric_in_words(name), _value(metric), interval, *others)
    console.print(table)


def curl(artifact: Artifact, url: str = "http://localhost:3000") -> str:
    """Return a curl command that sends the example row, for a shell."""
    body = json_module.dumps({"rows": [artifact.contract.example()]}, ensure_ascii=False)
    quoted = body.replace("'", "'\\''")
    return f"curl {url}/predict -H 'Content-Type: application/json' -d '{quoted}'"


def _document(artifact: Artifact) -> dict[str, Any]:
    return {
        "manifest": artifact.manifest.model_dump(mode="json"),
        "contract": artifact.contract.model_dump(mode="json"),
        "evaluation": artifact.evaluation.to_json(),
    }


def _value(metric: MetricValue | None) -> str:
    return f"{metric.value:.4g}" if metric else ""


def _features(artifact: Artifact) -> Table:
    table = Table("Feature", "Kind", "Unit", "Must be sent", "Example", box=None)
    for column in table.columns:
        column.overflow = "fold"  # a name that is cut off cannot be sent
    for feature in artifact.contract.features:
        table.add_row(feature.name, feature.kind, feature.unit or "", _must_be_sent(feature), _example(feature))
    return table


def _must_be_sent(feature: Feature) -> str:
    return ("yes, or null" if feature.nullable else "yes") if feature.required else "no"


def _example(feature: Feature) -> str:
    if isinstance(feature.example, float):
        return f"{feature.example:g}"
    if isinstance(feature, Image):
        return f"a file of {feature.width} x {feature.height} pixels"
    if isinstance(feature, Tensor) and feature.example is not None:
        return f"{' x '.join(map(str, np.shape(feature.example)))} numbers"
    if isinstance(feature.example, tuple):
        return f"{len(feature.example)} numbers"
    return "" if feature.example is None else json_module.dumps(feature.example, ensure_ascii=False)
