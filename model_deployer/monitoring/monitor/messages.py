"""Messages to a webhook about what is new, in the format of a chat (Slack), of Alertmanager, or of CloudEvents."""

import hashlib
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, get_args

from model_deployer.contract.errors import DataError
from model_deployer.monitoring.monitor.metrics_text import send
from model_deployer.monitoring.monitor.monitor import MonitorReport
from model_deployer.monitoring.traffic.traffic_files import TrafficFiles

#: The format of a message: ``slack`` for chats with incoming webhooks as Slack's, ``alertmanager`` for
#: ``POST /api/v2/alerts`` of Prometheus' Alertmanager, ``cloudevents`` for CloudEvents 1.0 in structured JSON.
MessageFormat = Literal["slack", "alertmanager", "cloudevents"]

FORMATS: tuple[str, ...] = get_args(MessageFormat)

#: How long Alertmanager shows an alert that is not sent again.
_SHOWN = timedelta(days=7)


class SentMessages:
    """What was sent already: an empty file for each news, in the traffic store or another folder.

    A file for each, and none that is changed, so that two monitors at once lose nothing of each other.

    Args:
        files: The files of the store.
    """

    def __init__(self, files: TrafficFiles) -> None:
        self._files = files

    def has(self, model: str, key: str) -> bool:
        """Return whether this news of a model was sent."""
        try:
            self._files.read(self._path(model, key))
        except DataError:
            return False
        return True

    def add(self, model: str, key: str) -> None:
        """Remember that this news of a model was sent.

        Raises:
            DataError: if the file cannot be written.
        """
        self._files.write(self._path(model, key), f"{key}\n".encode())

    @staticmethod
    def _path(model: str, key: str) -> str:
        return f"sent/model={model}/{hashlib.sha256(key.encode()).hexdigest()[:32]}"


def send_news(report: MonitorReport, url: str, message_format: MessageFormat, sent: SentMessages) -> bool:
    """Send a message if there is an alarm or a verdict that was not sent before, and return whether it was sent.

    A message that could not be sent is sent by the next run. If the program is killed between sending and remembering,
    it is sent twice.

    Args:
        report: The report.
        url: The URL of the webhook.
        message_format: The format of the message.
        sent: What was sent already.

    Raises:
        EnvironmentFault: if the webhook cannot be reached, or refuses the message.
        DataError: if it cannot be remembered.
    """
    new = [key for key in news(report) if not sent.has(report.name, key)]
    if not new:
        return False
    content, media_type = message(report, message_format)
    send("POST", url, json.dumps(content, ensure_ascii=False).encode(), media_type)
    for key in new:
        sent.add(report.name, key)
    return True


def news(report: MonitorReport) -> list[str]:
    """Return a stable name for each alarm, each fault, and the verdict if it asks for something.

    Evidence is computed again by each run, and labels that come later can move the day of an alarm. So the names have
    the budget year, not the day: a test has one alarm a year.
    """
    year = str(report.observed.traffic.first)
    names = [f"{alarm.group} {'over' if alarm.is_over else 'alarm'}" for alarm in report.observed.alarms]
    names += [f"{fault.field} {fault.fault} {fault.since}" for fault in report.observed.faults]
    if report.verdict.needs_action:
        names.append(f"verdict {report.verdict.action}")
    return [f"{report.version} {year} {name}" for name in names]


def message(report: MonitorReport, message_format: MessageFormat) -> tuple[Any, str]:
    """Return a message as JSON value, and its media type."""
    if message_format == "slack":
        return _slack(report), "application/json"
    if message_format == "alertmanager":
        return _alertmanager(report), "application/json"
    return _cloudevent(report), "application/cloudevents+json"


def _slack(report: MonitorReport) -> dict[str, Any]:
    """Return a message with blocks (Slack's Block Kit), and a plain text for notifications."""
    verdict = report.verdict
    lines = [f"*{_plain(report.tag)}*: {_plain(verdict.headline)}", _plain(verdict.cause), _plain(verdict.waiting.text)]
    lines += [f"Owner: {verdict.owner}"] if verdict.needs_action else []
    lines += [f"• {_plain(line.statistic)}: {_plain(line.figure)}" for line in verdict.evidence[:5]]
    section = {"type": "section", "text": {"type": "mrkdwn", "text": "\n".join(lines)[:2900]}}
    return {"text": f"{_plain(report.tag)}: {_plain(verdict.headline)}", "blocks": [section]}


def _plain(text: str) -> str:
    """Return text without what Slack takes for links and mentions."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _alertmanager(report: MonitorReport) -> list[dict[str, Any]]:
    """Return an alert for the verdict."""
    verdict, made = report.verdict, report.observed.made
    start = datetime.combine(verdict.since, datetime.min.time(), UTC) if verdict.since else made
    severity = "critical" if report.observed.risk.state == "above" or report.observed.faults else "warning"
    return [
        {
            "labels": {
                "alertname": "ModelVerdict",
                "model": report.name,
                "version": report.version,
                "action": verdict.action,
                "owner": verdict.owner,
                "severity": severity if verdict.needs_action else "info",
            },
            "annotations": {
                "summary": verdict.headline,
                "description": " ".join([verdict.cause, verdict.waiting.text, *verdict.steps]),
            },
            "startsAt": start.isoformat(),
            "endsAt": (made + _SHOWN).isoformat(),
        }
    ]


def _cloudevent(report: MonitorReport) -> dict[str, Any]:
    made = report.observed.made
    identity: Sequence[str] = (report.tag, report.verdict.action, made.isoformat())
    return {
        "specversion": "1.0",
        "id": hashlib.sha256("|".join(identity).encode()).hexdigest()[:32],
        "source": f"/model-deployer/monitor/{report.name}",
        "type": "io.model-deployer.monitor.verdict.v1",
        "subject": report.tag,
        "time": made.isoformat(),
        "datacontenttype": "application/json",
        "data": {
            "verdict": report.verdict.model_dump(mode="json"),
            "alarms": [alarm.model_dump(mode="json") for alarm in report.observed.alarms],
            "faults": [fault.model_dump(mode="json") for fault in report.observed.faults],
        },
    }
