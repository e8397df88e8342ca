"""Record a finished model in the trackers of its model.yaml.

Each tracker has a process of its own and a time limit. One that is down, slow or broken neither fails nor delays a
training: the model is in the store by then.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import NamedTuple

import yaml

from model_deployer.contract.artifact import SPEC, Artifact
from model_deployer.system.progress import step
from model_deployer.tracking.tracked_run import TrackedRun
from model_deployer.training.spec import TrackingSpec

#: The trackers, by their key in model.yaml.
_TRACKERS = ("mlflow",)


class Tracked(NamedTuple):
    """What became of one tracker.

    Attributes:
        tracker: Its name.
        place: Where the model is; None if it was not recorded.
        reason: Why it was not recorded; None if it was.
    """

    tracker: str
    place: str | None
    reason: str | None = None


def track(artifact: Artifact) -> list[Tracked]:
    """Record a model in each tracker of its model.yaml, and show what became of it; no tracker raises an error.

    Args:
        artifact: The model; its spec.yaml names the trackers.
    """
    return list(_record(artifact))


def _record(artifact: Artifact) -> Iterator[Tracked]:
    values = yaml.safe_load((artifact.path / SPEC).read_bytes()) if SPEC in artifact.manifest.files else {}
    settings = TrackingSpec.model_validate(values.get("tracking") or {}).model_dump()
    named = [tracker for tracker in _TRACKERS if settings[tracker] is not None]
    run = TrackedRun.of(artifact).to_json() if named else ""
    for tracker in named:
        with step(tracker) as shown:
            tracked = _ask(tracker, json.dumps({"run": run, "settings": settings[tracker]}), settings["seconds"])
            shown.detail = tracked.place or (
                f"not recorded: {tracked.reason}; `deployer track {artifact.tag}` tries again"
            )
        yield tracked


def _ask(tracker: str, content: str, seconds: float) -> Tracked:
    command = [sys.executable, "-m", f"model_deployer.tracking.{tracker}_tracker"]
    try:
        completed = subprocess.run(command, input=content, capture_output=True, text=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired:
        return Tracked(tracker, None, f"it took longer than {seconds:g} seconds (tracking.seconds)")
    if completed.returncode:
        return Tracked(tracker, None, _reason(completed.stderr, tracker))
    return Tracked(tracker, completed.stdout.strip().splitlines()[-1])


def _reason(errors: str, tracker: str) -> str:
    if f"No module named '{tracker}'" in errors:
        return f"its package is not installed: pip install 'model-deployer[{tracker}]'"
    lines = [line for line in errors.strip().splitlines() if line and not line.startswith(" ")]
    return lines[-1][:300] if lines else "it failed without a message"
