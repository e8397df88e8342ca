"""Deliver a report: as files, to a Pushgateway, and to a webhook."""

from dataclasses import dataclass
from pathlib import Path

from model_deployer.contract.errors import UsageError
from model_deployer.monitoring.monitor.messages import FORMATS, MessageFormat, SentMessages, send_news
from model_deployer.monitoring.monitor.metrics_text import metrics_text, push_metrics
from model_deployer.monitoring.monitor.monitor import MonitorReport
from model_deployer.monitoring.monitor.page import page
from model_deployer.monitoring.traffic.traffic_files import FolderFiles, TrafficFiles


@dataclass(frozen=True)
class Targets:
    """Where a report goes; None for nowhere.

    Attributes:
        json: The file for the document; ``-`` for standard output.
        html: The file for the page.
        textfile: The file for metrics.
        push: The URL of a Pushgateway.
        webhook: The URL that messages go to.
        message_format: The format of messages.
        state: The folder that remembers what was sent; None for the traffic store.
    """

    json: Path | None = None
    html: Path | None = None
    textfile: Path | None = None
    push: str | None = None
    webhook: str | None = None
    message_format: str = "slack"
    state: Path | None = None

    def __post_init__(self) -> None:
        if self.message_format not in FORMATS:
            raise UsageError(f"--format: expected {', '.join(FORMATS)}")


def deliver(report: MonitorReport, targets: Targets, files: TrafficFiles) -> None:
    """Deliver a report. Files come first: they are there even if a server cannot be reached.

    Args:
        report: The report.
        targets: Where it goes.
        files: The traffic store.

    Raises:
        EnvironmentFault: if a server cannot be reached, or refuses what is sent.
        OSError: if a file cannot be written.
    """
    if targets.json:
        _write(targets.json, report.to_text())
    if targets.html:
        _write(targets.html, page(report))
    if targets.textfile:
        _write(targets.textfile, metrics_text(report))
    if targets.push:
        push_metrics(report, targets.push)
    if targets.webhook:
        message_format: MessageFormat = targets.message_format  # type: ignore[assignment]
        send_news(report, targets.webhook, message_format, SentMessages(_state(targets, files)))


def _state(targets: Targets, files: TrafficFiles) -> TrafficFiles:
    if targets.state is None:
        return files
    targets.state.mkdir(parents=True, exist_ok=True)
    return FolderFiles(targets.state)


def _write(file: Path, text: str) -> None:
    """Write a file; its readers see all of it, or the one before."""
    if file == Path("-"):
        print(text, end="")
        return
    unfinished = file.with_name(f".{file.name}.unfinished")
    unfinished.write_text(text, encoding="utf-8")
    unfinished.replace(file)
