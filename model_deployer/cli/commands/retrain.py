"""`deployer retrain NAME --traffic STORE`."""

from pathlib import Path
from typing import Annotated

import typer

from model_deployer import api
from model_deployer.cli.output import Json, print_json
from model_deployer.cli.traffic_options import Since, TrafficStore
from model_deployer.contract import promotion


def retrain(  # noqa: PLR0913, PLR0917 (the options of the command)
    model: Annotated[str, typer.Argument(metavar="NAME[:VERSION]", help="The champion.")],
    traffic: TrafficStore,
    since: Since = None,
    folder: Annotated[
        Path | None, typer.Option("--output", "-o", help="The folder for the new model.yaml and its table.")
    ] = None,
    only_traffic: Annotated[
        bool, typer.Option("--only-traffic", help="Leave out the table that the champion was trained on.")
    ] = False,
    json: Json = False,
) -> None:
    """Train a model again with labelled rows of its traffic, and compare it with the champion on later ones.

    The new version is saved in any case. Exit code 1: it does not win.
    """
    champion = promotion.champion_of(model)
    retrained = api.retrain(champion, traffic=traffic, since=since, folder=folder, with_table=not only_traffic)
    trial = retrained.trial
    if json:
        print_json(trial.to_json())
    else:
        for finding in trial.findings:
            print(f"{finding.verdict:>5}  {finding.name}: {finding.text}")
        verdict = {"won": "wins", "lost": "loses", "open": "does not win yet"}[trial.verdict]
        print(f"{retrained.tag} is in the model store. It {verdict} against {champion}.")
        if trial.verdict == "won":
            print(f"Let it answer callers:  deployer promote {retrained.tag}")
    if trial.verdict != "won":
        raise typer.Exit(1)
