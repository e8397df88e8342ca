"""`deployer replay`: captured traffic is asked again, and a candidate is compared with the champion."""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from model_deployer.cli.output import Json, console, print_json
from model_deployer.cli.traffic_options import Since, TrafficStore, parse_time
from model_deployer.contract.errors import UsageError
from model_deployer.contract.trial import Verdict
from model_deployer.system.extras import packages_of

if TYPE_CHECKING:
    from model_deployer.monitoring.candidate.replay_report import ReplayReport

#: The exit code of each verdict.
EXIT_CODES: dict[Verdict, int] = {"won": 0, "lost": 1, "open": 4}

Candidate = Annotated[str, typer.Option(help="The model that may replace the champion.")]
Champion = Annotated[
    str | None, typer.Option(help="The model that answers callers; by default, the version that answered last.")
]
Until = Annotated[
    datetime | None,
    typer.Option(parser=parse_time, metavar="TIME", help="The time before which the traffic is: 1d, or a date in UTC."),
]
Url = Annotated[
    str | None, typer.Option(help="Send the requests to this server of the candidate, and measure its latency.")
]
Speed = Annotated[float, typer.Option(min=0.01, help="With --url: how many times faster than recorded.")]
Shadow = Annotated[bool, typer.Option("--shadow", help="Compare the answers of a shadow; nothing is asked again.")]
Block = Annotated[
    str,
    typer.Option(help="What is one observation: day, hour, request, row_id, or a field."),
]
Tolerance = Annotated[float, typer.Option(min=0, help="How much larger the loss may be, as a share of the champion's.")]
MaxRefusals = Annotated[float, typer.Option(min=0, max=1, help="The largest share of rows that only it may refuse.")]
MaxFlips = Annotated[float | None, typer.Option(min=0, max=1, help="The largest share of decisions that may change.")]
MaxLatency = Annotated[float, typer.Option(min=1, help="With --url: the largest ratio of its p99 to the recorded one.")]
Without = Annotated[
    list[str] | None, typer.Option(metavar="FIELD", help="Ask both models without an optional field; repeat for more.")
]
IgnoreUnknown = Annotated[
    bool, typer.Option("--ignore-unknown-fields", help="Leave fields out that a model does not have, as the setting.")
]
Output = Annotated[Path | None, typer.Option("--output", "-o", help="Write a page (.html) or a document (.json).")]


def replay(  # noqa: PLR0913 (one parameter per option)
    *,
    traffic: TrafficStore,
    candidate: Candidate,
    champion: Champion = None,
    since: Since = None,
    until: Until = None,
    url: Url = None,
    speed: Speed = 1.0,
    shadow: Shadow = False,
    block: Block = "day",
    tolerance: Tolerance = 0.05,
    max_refusals: MaxRefusals = 0.0,
    max_flips: MaxFlips = None,
    max_latency: MaxLatency = 1.5,
    without: Without = None,
    ignore_unknown_fields: IgnoreUnknown = False,
    output: Output = None,
    json: Json = False,
) -> None:
    """Ask captured traffic again, and compare a candidate with the champion.

    The result is a trial, which `deployer promote` reads: won, lost, or open if the rows do not say. Exit codes: 0 won,
    1 lost, 4 open.
    """
    if output and output.suffix not in (".html", ".json"):
        raise UsageError(f"{output}: expected a name that ends with .html or .json")
    with packages_of("monitor"):
        from model_deployer.monitoring.candidate.findings import Limits  # noqa: PLC0415 (polars takes time to load)
        from model_deployer.monitoring.candidate.page import write_report  # noqa: PLC0415
        from model_deployer.monitoring.candidate.replay import Replay  # noqa: PLC0415
        from model_deployer.monitoring.candidate.replay import replay as run  # noqa: PLC0415
        from model_deployer.monitoring.candidate.server_answers import ServerReplay  # noqa: PLC0415
        from model_deployer.monitoring.traffic.traffic_files import Window  # noqa: PLC0415
    job = Replay(
        traffic,
        candidate,
        champion,
        Window(since, until),
        tuple(without or ()),
        ignore_unknown_fields,
        ServerReplay(url, speed) if url else None,
        shadow,
        Limits(tolerance, max_refusals, max_flips, max_latency, block=block),
    )
    report = run(job)
    if output:
        write_report(report, output)
    print_json(report.to_json()) if json else _print(report)
    raise typer.Exit(EXIT_CODES[report.trial.verdict])


def _print(report: "ReplayReport") -> None:
    trial = report.trial
    console.print(f"[bold]{trial.candidate}[/] against [bold]{trial.champion}[/]: {trial.verdict}")
    console.print(f"{trial.rows:,} rows, {trial.labelled:,} of them with a label")
    for item in report.left_out:
        console.print(f"{item.rows:,} rows left out: {item.reason}", markup=False)
    for finding in trial.findings:
        console.print(f"  {finding.verdict:5}  {finding.name}: {finding.text}", markup=False)
    for note in report.notes:
        console.print(f"  {note}", markup=False)
