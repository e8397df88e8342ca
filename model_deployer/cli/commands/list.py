"""`deployer list`."""

from collections.abc import Iterator
from typing import Any

import bentoml
from rich.markup import escape
from rich.table import Table

from model_deployer.cli.output import Json, console, print_json, short_digest
from model_deployer.contract import store
from model_deployer.contract.artifact import Artifact
from model_deployer.contract.errors import ArtifactError
from model_deployer.contract.metric_catalog import LOSS


def list_models(json: Json = False) -> None:
    """List the models in the store.

    Each model has its main metric on the test part with the 95 % interval, the version and the rows of its data, and
    the estimator that was chosen, or the class of its source if it was trained elsewhere. The highest version of each
    model comes first.
    """
    models = [entry for name in store.names() for entry in _entries(name)]
    if json:
        print_json(models)
    elif models:
        console.print(_table(models))
        for model in models:
            if model["error"]:
                console.print(f"{model['name']}:{model['version']}: {model['error']}", markup=False)
    else:
        print("The model store is empty. Train a model:  deployer train model.yaml")


def _entries(name: str) -> Iterator[dict[str, Any]]:
    """Yield the entries of all versions of a model, the highest first."""
    error = None
    try:
        aliases = store.aliases(name)
    except ArtifactError as altered:
        aliases, error = {}, str(altered)
    for version in reversed(store.versions(name)):
        names = sorted(alias for alias, named in aliases.items() if named == str(version))
        entry = _entry(f"{name}:{version}", names)
        yield entry | {"error": entry["error"] or error}


def _entry(tag: str, aliases: list[str]) -> dict[str, Any]:
    model = bentoml.models.get(tag)
    entry = {"name": model.tag.name, "version": model.tag.version, "aliases": aliases}
    entry |= {"created": model.creation_time.isoformat()}
    try:
        return entry | _results(store.load(tag)) | {"error": None}
    except ArtifactError as error:  # one damaged model must not hide the others
        unknown = dict.fromkeys(("task", "metric", "estimator", "source", "rows", "data_version"))
        return entry | unknown | {"error": str(error)}


def _results(artifact: Artifact) -> dict[str, Any]:
    evaluation = artifact.evaluation
    return {
        "task": evaluation.task,
        "metric": _main_metric(artifact),
        "estimator": evaluation.adoption.estimator if evaluation.adoption else evaluation.estimator,
        "source": evaluation.adoption.source if evaluation.adoption else None,
        "rows": evaluation.rows.total if evaluation.rows else None,
        "data_version": artifact.manifest.origin.data_version,
    }


def _main_metric(artifact: Artifact) -> dict[str, Any] | None:
    name = LOSS[artifact.evaluation.task]
    metric = artifact.evaluation.main_metric
    return {"name": name, "value": metric.value, "low": metric.low, "high": metric.high} if metric else None


def _table(models: list[dict[str, Any]]) -> Table:
    names = ("Model", "Version", "Alias", "Created", "Test part, 95 %", "Estimator", "Rows", "Data")
    table = Table(*names, box=None, pad_edge=False, collapse_padding=True)
    for column in table.columns:
        column.overflow = "fold"  # a name that is cut off cannot be typed
    table.columns[names.index("Rows")].justify = "right"
    for model in models:
        rows = "" if model["rows"] is None else f"{model['rows']:,}"
        cells = (_cell(model["metric"]), escape(_estimator(model)), rows, short_digest(model["data_version"]))
        aliases = ", ".join(model["aliases"])
        table.add_row(model["name"], model["version"], aliases, model["created"][:10], *cells)
    return table


def _estimator(model: dict[str, Any]) -> str:
    name: str = model["estimator"] or ""
    if model["source"] is None:
        return name
    return name.rpartition(".")[2] or "adopted"


def _cell(metric: dict[str, Any] | None) -> str:
    if metric is None:
        return ""
    name = metric["name"].replace("_", " ")
    return f"{name} {metric['value']:.3g} ({metric['low']:.3g} to {metric['high']:.3g})"
