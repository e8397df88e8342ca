"""`deployer monitor [NAME[:VERSION]|NAME@ALIAS] --traffic STORE`."""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from model_deployer.cli.output import console
from model_deployer.cli.traffic_options import Since, TrafficStore
from model_deployer.contract.errors import DeployerError
from model_deployer.system.extras import packages_of

if TYPE_CHECKING:
    from model_deployer.monitoring.monitor.monitor import MonitorReport

Tag = Annotated[
    str | None,
    typer.Argument(
        metavar="[NAME[:VERSION]]", help="The model, or NAME@ALIAS; without a version, the one that answered last."
    ),
]
JsonFile = Annotated[
    Path | None, typer.Option("--json", metavar="FILE", help="Write the report as JSON; - for standard output.")
]
HtmlFile = Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Write the report as a page.")]
TextFile = Annotated[
    Path | None,
    typer.Option("--textfile", metavar="FILE", help="Write metrics for the textfile collector: FILE.prom."),
]
Push = Annotated[str | None, typer.Option(metavar="URL", help="Send the metrics to this Pushgateway.")]
Webhook = Annotated[str | None, typer.Option(metavar="URL", help="Send what is new to this webhook.")]
Format = Annotated[str, typer.Option("--format", help="The format of messages: slack, alertmanager, or cloudevents.")]
State = Annotated[
    Path | None,
    typer.Option(metavar="FOLDER", help="Remember here what was sent; default: in the traffic store."),
]
Watch = Annotated[
    float | None, typer.Option(metavar="SECONDS", min=1, help="Run again after this time, until it is interrupted.")
]


def monitor(  # noqa: PLR0913 (each is an option)
    tag: Tag = None,
    *,
    traffic: TrafficStore,
    since: Since = None,
    json: JsonFile = None,
    html: HtmlFile = None,
    textfile: TextFile = None,
    push: Push = None,
    webhook: Webhook = None,
    message_format: Format = "slack",
    state: State = None,
    watch: Watch = None,
) -> None:
    """Watch a model by its captured traffic and labels, and say what to do about it.

    Exit code 1: a person has to do something: fix the data, recalibrate, retrain, or decide.
    """
    with packages_of("monitor"):
        from model_deployer.monitoring.monitor import delivery  # noqa: PLC0415
        from model_deployer.monitoring.monitor.monitor import MonitorOptions, monitor  # noqa: PLC0415
        from model_deployer.monitoring.traffic.traffic_files import open_files  # noqa: PLC0415
    targets = delivery.Targets(json, html, textfile, push, webhook, message_format, state)
    options, files = MonitorOptions(since=since), open_files(traffic)

    def run() -> bool:
        """Watch once, and return whether a person has to do something."""
        report = monitor(tag, files, options)
        delivery.deliver(report, targets, files)
        if json != Path("-"):
            _print(report)
        return report.verdict.needs_action

    if watch is not None:
        _repeat(run, watch)
    if run():
        raise typer.Exit(1)


def _repeat(run: Callable[[], bool], seconds: float) -> NoReturn:
    """Run again and again; what fails once, such as a store that cannot be reached, is printed, and tried again."""
    while True:
        try:
            run()
        except DeployerError as error:
            print(f"error: {error}", file=sys.stderr, flush=True)
        time.sleep(seconds)


def _print(report: "MonitorReport") -> None:
    """Print the verdict with its evidence, for people."""
    verdict, summary = report.verdict, report.observed.traffic
    console.print(f"{report.tag}  {summary.days} complete days, {summary.captured:,} captured rows", markup=False)
    console.print(f"\n{verdict.headline}", style="bold", markup=False)
    since = f" Since {verdict.since}." if verdict.since else ""
    console.print(f"{verdict.cause}{since} {verdict.waiting.text}", markup=False)
    if verdict.needs_action:
        console.print(f"Owner: {verdict.owner}", markup=False)
    for step in verdict.steps:
        console.print(f"- {step}", markup=False)
    if verdict.evidence:
        console.print("\nEvidence", markup=False)
    for line in verdict.evidence:
        console.print(f"- {line.statistic}: {line.figure}. {line.text}", markup=False)
