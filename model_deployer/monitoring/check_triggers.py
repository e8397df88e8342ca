"""Check the triggers of triggers.json in a report of `deployer monitor --json`. It needs nothing but Python.

    deployer monitor MODEL --traffic "$TRAFFIC" --json report.json
    python3 monitoring/check_triggers.py report.json

Exit codes: 0 if there is nothing to do; 1 if a trigger fired, with a line for each; 2 if the report cannot be used.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

NOTHING, FIRED, UNUSABLE = 0, 1, 2


class UnusableReport(Exception):
    """A report that says nothing about the model now; the text is the reason."""


def main() -> int:
    """Check a report, print what was found, and return the exit code."""
    parser = argparse.ArgumentParser(description="Check the triggers of a model in a report of deployer monitor.")
    parser.add_argument("report", type=Path, help="the file that deployer monitor --json has written")
    parser.add_argument("--max-age-days", type=float, help="train the model again when it is older than this")
    options = parser.parse_args()
    try:
        triggers = _read(Path(__file__).with_name("triggers.json"))
        lines = list(check(triggers, _read(options.report), options.max_age_days, datetime.now(UTC)))
    except UnusableReport as reason:
        print(f"cannot check: {reason}", file=sys.stderr)
        return UNUSABLE
    print("\n".join(lines) or "nothing to do: no trigger fired")
    return FIRED if lines else NOTHING


def check(
    triggers: "dict[str, Any]", report: "dict[str, Any]", max_age_days: "float | None", now: datetime
) -> Iterator[str]:
    """Yield a line for each trigger that fired: its name, its evidence, the verdict, and the first command.

    Args:
        triggers: The content of triggers.json.
        report: The content of the report.
        max_age_days: The age at which the model is trained again; None for any age.
        now: The present.

    Raises:
        UnusableReport: if the report is of another model or form, or too old.
    """
    try:
        _require_current(triggers, report, now)
        verdict, observed = report["verdict"], report["observed"]
        for name, evidence in _evidence(observed):
            yield f"{name}: {evidence}"
        if verdict["action"] != "keep":
            yield _what_to_do(triggers, verdict["action"], f"{verdict['headline']}", observed["labels"]["labelled"])
        age = (now - _time(triggers["created"])).days
        if max_age_days is not None and age > max_age_days:
            text = f"the model is {age} days old, and --max-age-days allows {max_age_days:g}"
            yield _what_to_do(triggers, "retrain", text, observed["labels"]["labelled"])
    except (KeyError, TypeError, ValueError, AttributeError):
        raise UnusableReport("the file is not a report of deployer monitor --json of this format") from None


def _evidence(observed: "dict[str, Any]") -> Iterator["tuple[str, str]"]:
    """Yield the triggers that need no verdict: what the model sees is broken, or what it promised is."""
    for fault in observed["faults"]:
        yield "data", f"{fault['text']}"
    risk, calibration = observed["risk"], observed["calibration"]
    if risk["state"] == "above":
        yield "risk", f"the mean {risk['loss']} is {risk['recent']:.4g}, and the promise allows {risk['limit']:.4g}"
    if calibration and calibration["has_shifted"]:
        yield "calibration", "probabilities no longer mean what they say"


def _what_to_do(triggers: "dict[str, Any]", action: str, reason: str, labelled: int) -> str:
    needed = triggers["labelled_rows"].get(action, 0)
    if labelled < needed:
        return f"verdict: {reason} Collect labels first: there are {labelled}, and it takes {needed}."
    guide = triggers["verdicts"][action]
    return f"verdict: {reason} Owner: {guide['owner']}. First: {guide['command']}"


def _require_current(triggers: "dict[str, Any]", report: "dict[str, Any]", now: datetime) -> None:
    tag, expected = (f"{each['name']}:{each['version']}" for each in (report, triggers["model"]))
    if tag != expected:
        raise UnusableReport(f"the report is about {tag}, and these triggers are for {expected}")
    if report["format"] != triggers["report_format"]:
        raise UnusableReport("the report has another format; use the triggers of a package of the same model-deployer")
    promised, promise = report["observed"]["risk"]["promised"], triggers["promise"]["value"]
    if promised != promise:
        raise UnusableReport("the report compares with another promise than the evaluation of this package")
    hours = triggers["oldest_report_hours"]
    if now - _time(report["observed"]["made"]) > timedelta(hours=hours):
        raise UnusableReport(f"the report is older than {hours} hours: check whether deployer monitor still runs")


def _time(text: str) -> datetime:
    moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _read(file: Path) -> "dict[str, Any]":
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UnusableReport(f"{file.name} cannot be read: {type(error).__name__}") from None
    if not isinstance(content, dict):
        raise UnusableReport(f"{file.name} is not a JSON object")
    return content


if __name__ == "__main__":
    sys.exit(main())
