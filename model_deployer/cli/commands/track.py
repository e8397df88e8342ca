"""`deployer track [NAME[:VERSION]]`."""

from typing import Annotated

import typer

from model_deployer.contract import store
from model_deployer.contract.errors import EnvironmentFault, UsageError
from model_deployer.system.extras import packages_of

Tag = Annotated[
    str | None, typer.Argument(metavar="[NAME[:VERSION]]", help="The model; default: the only model in the store.")
]


def track(tag: Tag = None) -> None:
    """Record a model of the store in the trackers of its model.yaml, as `deployer train` does at its end.

    Prints where it is, a line for each tracker.
    """
    artifact = store.load(tag)
    with packages_of("train"):
        from model_deployer.tracking.tracking import track as record  # noqa: PLC0415

        tracked = record(artifact)
    if not tracked:
        raise UsageError(f"the model.yaml of {artifact.tag} names no tracker; see `tracking` in docs/01-model-yaml.md")
    for each in tracked:
        if each.place:
            print(each.place)
    if missing := [each.tracker for each in tracked if not each.place]:
        raise EnvironmentFault(f"not recorded by {' and '.join(missing)}; the reason is above")
