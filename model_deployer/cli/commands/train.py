"""`deployer train model.yaml`."""

from pathlib import Path
from typing import Annotated

import typer

from model_deployer.cli.commands.show import print_metrics
from model_deployer.cli.output import Json, print_json
from model_deployer.contract import store
from model_deployer.contract.artifact import REPORT
from model_deployer.system.extras import packages_of


def train(
    spec: Annotated[Path, typer.Argument(help="The file that describes the model and its data.")] = Path("model.yaml"),
    json: Json = False,
) -> None:
    """Train or adopt, evaluate and save the model that a model.yaml describes.

    Restarting an interrupted run resumes it.
    """
    with packages_of("train"):
        from model_deployer.tracking.tracking import track  # noqa: PLC0415
        from model_deployer.training.fit import fit  # noqa: PLC0415

        trained = fit(spec)
    artifact = store.load(trained.tag)
    track(artifact)
    if json:
        print_json({"tag": trained.tag, "metrics": trained.evaluation.to_json()["metrics"]})
    else:
        print_metrics(trained.evaluation)
        print(f"\nThe full report: {artifact.path / REPORT}")
        serve = artifact.reason_not_to_serve or f"Serve it:  deployer serve {trained.tag}"
        print(f"{trained.tag} is in the model store. {serve}")
