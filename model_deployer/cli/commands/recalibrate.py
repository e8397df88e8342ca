"""`deployer recalibrate NAME --traffic STORE`."""

from typing import Annotated

import typer

from model_deployer.cli.commands.show import print_metrics
from model_deployer.cli.output import Json, print_json
from model_deployer.cli.traffic_options import Since, TrafficStore
from model_deployer.contract import store
from model_deployer.system.extras import packages_of


def recalibrate(
    model: Annotated[str, typer.Argument(metavar="NAME[:VERSION]", help="The model.")],
    traffic: TrafficStore,
    since: Since = None,
    json: Json = False,
) -> None:
    """Fit the probabilities, or the interval, of a model to labelled rows of its traffic, and save a patch version.

    The fields, the threshold and the order of the answers stay. It is saved only if it is better on rows that it was
    not fitted on. Exit code 1: it is not.
    """
    with packages_of("train"):
        from model_deployer.monitoring.traffic.labelled import labelled_rows  # noqa: PLC0415 (it loads polars)
        from model_deployer.monitoring.traffic.traffic import read_traffic  # noqa: PLC0415
        from model_deployer.monitoring.traffic.traffic_files import Window, open_files  # noqa: PLC0415
        from model_deployer.training.recalibration_run import recalibrate as run  # noqa: PLC0415

    artifact = store.load(model)
    captured = read_traffic(open_files(traffic), artifact.manifest.name, Window(since=since))
    completed = run(artifact, labelled_rows(captured, artifact.contract))
    if json:
        print_json({"tag": completed.tag, "metrics": completed.evaluation.to_json()["metrics"]})
        return
    print_metrics(completed.evaluation)
    print(f"\n{completed.tag} is in the model store: {artifact.tag} with a new calibration")
