"""Trials: a candidate was compared with the champion on real traffic, and won, lost, or the rows did not say."""

import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from model_deployer.contract.document import JsonDocument, JsonObject

#: What a trial says. ``won``: better, or not worse than the tolerance, with no new refusals beyond it. ``lost``: worse.
#: ``open``: the rows so far do not say.
Verdict = Literal["won", "lost", "open"]

#: How the rows of a trial were answered: captured rows replayed, live rows in the shadow, or the labelled window of a
#: training.
Source = Literal["replay", "shadow", "retrain"]


class Finding(JsonObject):
    """One comparison of a trial.

    Attributes:
        name: What was compared, such as ``loss``, ``flips``, ``refusals``, ``latency``.
        verdict: What it says.
        text: The same in a sentence, with its figures.
    """

    name: str
    verdict: Verdict
    text: str


class Trial(JsonDocument):
    """The comparison of a candidate with a champion.

    Attributes:
        champion: The tag of the model that answers callers.
        candidate: The tag of the model that may replace it.
        source: How the rows were answered.
        made: The time of the comparison.
        rows: The number of rows.
        labelled: The number of these rows with a label.
        verdict: What the findings say together.
        findings: The comparisons, the most important one first.
    """

    champion: str
    candidate: str
    source: Source
    made: datetime
    rows: Annotated[int, Field(ge=0)]
    labelled: Annotated[int, Field(ge=0)]
    verdict: Verdict
    findings: tuple[Finding, ...]


def overall(findings: Sequence[Finding]) -> Verdict:
    """Return what findings say together: lost if one is lost, else open if one is open, else won."""
    verdicts = {finding.verdict for finding in findings}
    if "lost" in verdicts:
        return "lost"
    return "open" if "open" in verdicts or not verdicts else "won"


def save_trial(folder: Path, trial: Trial) -> Path:
    """Write a trial into the folder of trials, and return its file; an older one of the same pair stays."""
    folder.mkdir(parents=True, exist_ok=True)
    pair = f"{trial.candidate}-against-{trial.champion.partition(':')[2]}".replace(":", "-")
    file = folder / f"{pair}-{trial.made:%Y%m%dT%H%M%S}.json"
    unfinished = file.with_suffix(".unfinished")
    unfinished.write_text(json.dumps(trial.to_json(), indent=2) + "\n", encoding="utf-8")
    unfinished.replace(file)
    return file


def last_trial(folder: Path, champion: str, candidate: str) -> Trial | None:
    """Return the last trial of a candidate against a champion; None if there is none.

    Raises:
        ArtifactError: if its file cannot be read.
    """
    file = last_trial_file(folder, champion, candidate)
    return Trial.read(file) if file else None


def last_trial_file(folder: Path, champion: str, candidate: str) -> Path | None:
    """Return the file of the last trial of a candidate against a champion; None if there is none."""
    pair = f"{candidate}-against-{champion.partition(':')[2]}".replace(":", "-")
    return max(folder.glob(f"{pair}-*.json"), default=None)
