"""`deployer recalibrate NAME --traffic STORE`."""

from typing import Annotated

import typer

from model_deployer import api
from model_deployer.cli.commands.show import print_metrics
from model_deployer.cli.output import Json, print_json
from model_deployer.cli.traffic_options import Since, TrafficStore
from model_deployer.contract import promotion, store


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
    old = promotion.champion_of(model)
    new = store.load(api.recalibrate(old, traffic=traffic, since=since).tag)
    if json:
        print_json({"tag": new.tag, "metrics": new.evaluation.to_json()["metrics"]})
        return
    print_metrics(new.evaluation)
    print(f"\n{new.tag} is in the model store: {old} with a new calibration")
