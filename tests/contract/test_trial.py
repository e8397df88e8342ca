"""Trials of candidates: what findings say together, and which trial is the last one."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from model_deployer.contract.errors import ArtifactError
from model_deployer.contract.trial import Finding, Trial, Verdict, last_trial, overall, save_trial


def trial(day: int, *verdicts: Verdict, candidate: str = "churn:1.1.0") -> Trial:
    findings = tuple(Finding(name=f"f{index}", verdict=verdict, text="") for index, verdict in enumerate(verdicts))
    return Trial(
        champion="churn:1.0.0",
        candidate=candidate,
        source="replay",
        made=datetime(2026, 1, day, tzinfo=UTC),
        rows=10,
        labelled=5,
        verdict=overall(findings),
        findings=findings,
    )


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [(("won", "won"), "won"), (("won", "open"), "open"), (("open", "lost", "won"), "lost"), ((), "open")],
)
def test_one_lost_finding_loses(verdicts: tuple[Verdict, ...], expected: Verdict) -> None:
    assert trial(1, *verdicts).verdict == expected


def test_the_last_trial_of_a_pair_counts(tmp_path: Path) -> None:
    assert last_trial(tmp_path, "churn:1.0.0", "churn:1.1.0") is None
    newest = trial(3, "won")
    for each in (trial(2, "lost"), newest, trial(1, "open"), trial(4, "lost", candidate="churn:1.1.1")):
        save_trial(tmp_path, each)
    assert last_trial(tmp_path, "churn:1.0.0", "churn:1.1.0") == newest
    assert last_trial(tmp_path, "churn:0.9.0", "churn:1.1.0") is None


def test_a_damaged_trial_is_named(tmp_path: Path) -> None:
    save_trial(tmp_path, trial(1, "won")).write_text("{")
    with pytest.raises(ArtifactError, match=r"churn-1\.1\.0-against-1\.0\.0-.*\.json is not JSON"):
        last_trial(tmp_path, "churn:1.0.0", "churn:1.1.0")
