"""`deployer list`."""

from typing import Any

import bentoml
from rich.table import Table

from model_deployer.cli.output import Json, console, print_json
from model_deployer.contract import store


def list_models(json: Json = False) -> None:
    """List the models in the store.

    The highest version of each model comes first.
    """
    tags = [f"{name}:{version}" for name in store.names() for version in reversed(store.versions(name))]
    models = [_entry(tag) for tag in tags]
    if json:
        print_json(models)
    elif models:
        console.print(_table(models))
    else:
        print("The model store is empty. Train a model:  deployer train model.yaml")


def _entry(tag: str) -> dict[str, Any]:
    model = bentoml.models.get(tag)
    return {"name": model.tag.name, "version": model.tag.version, "created": model.creation_time.isoformat()}


def _table(models: list[dict[str, Any]]) -> Table:
    table = Table("Model", "Version", "Created", box=None)
    for model in models:
        table.add_row(model["name"], model["version"], model["created"][:16].replace("T", " "))
    return table
