"""Captured traffic is asked again: a candidate wins, loses, or the rows do not say."""

import json
import os
import random
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import model_deployer
from model_deployer.contract import store
from model_deployer.contract.contract import Contract
from model_deployer.contract.errors import DataError, UsageError
from model_deployer.contract.features import Categorical, Feature, Numeric
from model_deployer.contract.outputs import Classification
from model_deployer.contract.trial import last_trial
from model_deployer.monitoring.candidate.findings import Limits
from model_deployer.monitoring.candidate.replay import Replay, replay
from model_deployer.monitoring.candidate.replay_report import ReplayReport
from tests.serving.capture.test_capture import with_policy
from tests.support import tiny
from tests.support.captured_traffic import FIRST_DAY, write_traffic
from tests.support.processes import run, serve

KEPT = with_policy("keep", "remark")

DAYS, ROWS = 30, 6


def row(random_: random.Random) -> dict[str, Any]:
    """A row whose probability of being on time is between about 0.1 and 0.9."""
    year = random_.choice((1905, 1930, 1990, 2015))
    changed = {"departure": f"{year}-11-01T17:05:00", "booked": None, "origin": random_.choice(("JFK", "EWR"))}
    return tiny.ROW | changed | {"carrier": random_.choice(("AA", None)), "remark": "x"}


def days(number: int = DAYS) -> list[list[dict[str, Any]]]:
    random_ = random.Random(5)
    return [[row(random_) for _ in range(ROWS)] for _ in range(number)]


def right(_: Mapping[str, Any], prediction: Mapping[str, Any]) -> str:
    return str(prediction["decision"])


def name_of(folder: Path) -> str:
    return f"replay-{folder.name}".replace("_", "-")


@pytest.fixture
def champion(tmp_path: Path) -> Iterator[str]:
    yield tiny.save(tmp_path / "champion", name_of(tmp_path), "1.0.0", KEPT)


def candidate(folder: Path, contract: Contract = KEPT, *, version: str = "1.1.0", **options: Any) -> str:
    return tiny.save(folder / version, name_of(folder), version, contract, **options)


def changed(*features: Feature) -> Contract:
    names = {feature.name: feature for feature in features}
    known = tuple(names.pop(feature.name, feature) for feature in KEPT.features)
    return KEPT.model_copy(update={"features": (*known, *names.values())})


def with_threshold(threshold: float) -> Contract:
    output = Classification.model_validate(KEPT.output.model_dump() | {"threshold": threshold})
    return KEPT.model_copy(update={"output": output})


def captured(folder: Path, champion: str, label: Any = None, number: int = DAYS) -> str:
    write_traffic(folder / "traffic", store.load(champion), days(number), label)
    return str(folder / "traffic")


def verdicts(report: ReplayReport) -> dict[str, str]:
    return {finding.name: finding.verdict for finding in report.trial.findings}


def test_an_equal_candidate_wins_and_its_trial_is_kept(tmp_path: Path, champion: str) -> None:
    traffic, tag = captured(tmp_path, champion, right), candidate(tmp_path)
    report = replay(Replay(traffic, tag))
    assert (report.trial.verdict, report.trial.champion, report.trial.rows) == ("won", champion, DAYS * ROWS)
    assert report.reproduction is not None and report.reproduction.is_exact
    assert report.changes is not None and (report.changes.flips, report.changes.mean_size) == (0, 0.0)
    kept = last_trial(store.trials_folder(), champion, tag)
    assert kept == report.trial


def test_a_worse_candidate_loses_with_its_flips(tmp_path: Path, champion: str) -> None:
    traffic, tag = captured(tmp_path, champion, right), candidate(tmp_path, opposite=True)
    report = replay(Replay(traffic, tag, limits=Limits(max_flips=0.1)))
    by_name = verdicts(report)
    assert (report.trial.verdict, by_name["loss"], by_name["flips"], by_name["refusals"]) == (
        "lost",
        "lost",
        "lost",
        "won",
    )
    assert report.changes is not None and report.changes.flips == DAYS * ROWS
    (first, second) = report.changes.by_decision
    assert {first.champion, second.champion} == {"late", "on_time"}
    loss = report.losses[0]
    assert loss.name == "brier"
    assert 0 < loss.low <= loss.difference <= loss.high
    assert (loss.rows, loss.blocks) == (DAYS * ROWS, DAYS)
    by_slice = {part.slice: part for part in report.slices}
    assert by_slice["origin = JFK"].rows + by_slice["origin = EWR"].rows == DAYS * ROWS
    assert report.examples[0].champion["decision"] != report.examples[0].candidate["decision"]


def test_a_better_candidate_wins(tmp_path: Path) -> None:
    worse = tiny.save(tmp_path / "champion", name_of(tmp_path), "1.0.0", KEPT, opposite=True)
    wrong = {"late": "on_time", "on_time": "late"}
    traffic = captured(tmp_path, worse, lambda _, prediction: wrong[prediction["decision"]])
    report = replay(Replay(traffic, candidate(tmp_path)))
    assert report.trial.verdict == "won"
    assert report.losses[0].high < 0


def test_rows_without_labels_do_not_say_which_is_better(tmp_path: Path, champion: str) -> None:
    traffic, tag = captured(tmp_path, champion, None, 4), candidate(tmp_path, opposite=True)
    report = replay(Replay(traffic, tag))
    assert report.trial.verdict == "open"
    assert "no row has a label yet" in verdict_text(report, "loss")


def test_few_blocks_leave_it_open_and_say_how_many_rows_are_needed(tmp_path: Path, champion: str) -> None:
    traffic, tag = captured(tmp_path, champion, right, 3), candidate(tmp_path, opposite=True)
    report = replay(Replay(traffic, tag))
    assert report.trial.verdict == "open"
    needed = report.losses[0].needed_rows
    assert needed is not None and needed > 3 * ROWS
    assert f"a verdict takes about {needed:,} labelled rows" in verdict_text(report, "loss")
    assert replay(Replay(traffic, tag, limits=Limits(block="request"))).trial.verdict == "lost"


def verdict_text(report: ReplayReport, name: str) -> str:
    return next(finding.text for finding in report.trial.findings if finding.name == name)


def test_new_refusals_are_found_by_the_contract_of_the_candidate(tmp_path: Path, champion: str) -> None:
    traffic = captured(tmp_path, champion, right)
    origin = Categorical(name="origin", categories=("JFK", "LGA"), unknown="reject", example="JFK")
    report = replay(Replay(traffic, candidate(tmp_path, changed(origin))))
    expected = sum(row["origin"] == "EWR" for day in days() for row in day)
    assert (report.trial.verdict, report.refusals.rows) == ("lost", expected)
    (reason,) = report.refusals.reasons
    assert (reason.field, reason.code) == ("origin", "unknown_category")
    allowed = replay(Replay(traffic, f"{name_of(tmp_path)}:1.1.0", limits=Limits(max_refusals=1.0)))
    assert verdicts(allowed)["refusals"] == "won"


def test_a_new_required_field_is_refused_and_a_new_optional_one_is_not(tmp_path: Path, champion: str) -> None:
    traffic = captured(tmp_path, champion, right, 2)
    required = candidate(tmp_path, changed(Numeric(name="age", example=3)), version="2.0.0")
    report = replay(Replay(traffic, required))
    assert report.refusals.rows == 2 * ROWS
    assert (report.refusals.reasons[0].field, report.refusals.reasons[0].code) == ("age", "missing_field")
    assert report.changes is None
    optional = changed(Numeric(name="age", required=False, missing="impute", example=3))
    assert replay(Replay(traffic, candidate(tmp_path, optional))).refusals.rows == 0


def test_a_field_without_its_values_is_named(tmp_path: Path) -> None:
    binned = tiny.save(tmp_path / "champion", name_of(tmp_path), "1.0.0")
    traffic = captured(tmp_path, binned, right, 2)
    tag = candidate(tmp_path, tiny.CONTRACT)
    with pytest.raises(DataError, match=r"does not have the values of 'remark' \(only its bin\).*--without remark"):
        replay(Replay(traffic, tag))
    report = replay(Replay(traffic, tag, without=("remark",)))
    assert verdicts(report)["fields"] == "open"
    assert report.reproduction is not None and not report.reproduction.is_exact
    with pytest.raises(UsageError, match="--without distance: a model requires this field"):
        replay(Replay(traffic, tag, without=("distance",)))


def test_rows_of_older_versions_are_asked_again(tmp_path: Path, champion: str) -> None:
    older = tiny.save(tmp_path / "older", name_of(tmp_path), "0.9.0", with_policy("drop", "temp"))
    write_traffic(tmp_path / "traffic", store.load(older), days(1))
    traffic = captured(tmp_path, champion, right, 2)
    report = replay(Replay(traffic, candidate(tmp_path), champion))
    assert (report.rows_read, report.trial.rows) == (3 * ROWS, 2 * ROWS)
    (left_out,) = report.left_out
    assert left_out.rows == ROWS
    assert "version 0.9.0 does not have the values of 'temp' (nothing of it)" in left_out.reason


def test_models_that_predict_something_else_are_not_compared(tmp_path: Path, champion: str) -> None:
    traffic = captured(tmp_path, champion, None, 1)
    other = Classification(target="arrival", labels=("late", "early"), positive="early", threshold=0.5)
    tag = candidate(tmp_path, KEPT.model_copy(update={"output": other}))
    with pytest.raises(UsageError, match="has the labels late, early"):
        replay(Replay(traffic, tag))
    with pytest.raises(UsageError, match="name the other model with --champion"):
        replay(Replay(traffic, champion))


def test_changed_decisions_without_labels_are_open(tmp_path: Path, champion: str) -> None:
    traffic = captured(tmp_path, champion, None, 2)
    report = replay(Replay(traffic, candidate(tmp_path, with_threshold(0.9))))
    assert report.changes is not None and report.changes.mean_size == 0 < (report.changes.flips or 0)
    by_name = verdicts(report)
    assert (by_name["loss"], by_name["error_rate"], report.trial.verdict) == ("won", "open", "open")


def test_costs_of_model_yaml_decide_about_decisions(tmp_path: Path) -> None:
    costs = {"false_positive": 1.0, "false_negative": 9.0}
    decisions: dict[str, Any] = {"labels": [], "constants": [], "thresholds": []}
    evaluation = tiny.EVALUATION | {"decisions": decisions | costs}
    tag = tiny.save(tmp_path / "champion", name_of(tmp_path), "1.0.0", KEPT, evaluation=evaluation)
    traffic = captured(tmp_path, tag, right)
    report = replay(Replay(traffic, candidate(tmp_path, with_threshold(1.0))))
    cost = report.losses[1]
    on_time = ((report.changes and report.changes.flips) or 0) / report.trial.rows
    assert (cost.name, cost.champion) == ("cost", 0.0)
    assert cost.candidate == pytest.approx(9 * on_time)
    assert verdicts(report)["cost"] == "lost"


def test_a_quantity_is_compared_by_its_squared_error(tmp_path: Path) -> None:
    features = {"features": KEPT.features}
    contract = tiny.OF_A_NUMBER.model_copy(update=features)
    tag = tiny.save(tmp_path / "champion", name_of(tmp_path), "1.0.0", contract)
    traffic = captured(tmp_path, tag, lambda _, prediction: str(prediction["value"] + 0.1))
    report = replay(Replay(traffic, candidate(tmp_path, contract)))
    assert report.losses[0].name == "squared_error"
    assert report.losses[0].champion == pytest.approx(0.01, rel=1e-4)
    assert report.changes is not None and report.changes.flips is None
    assert report.trial.verdict == "won"


@pytest.mark.slow
def test_a_running_server_is_asked_at_the_recorded_pace(tmp_path: Path, champion: str) -> None:
    traffic, tag = str(tmp_path / "traffic"), candidate(tmp_path, opposite=True)
    requests = [row for day in days(2) for row in day]
    write_traffic(Path(traffic), store.load(champion), [requests], right)
    home = Path(os.environ["BENTOML_HOME"])
    page = tmp_path / "replay.html"
    with serve(["--arg", f"model={tag}"], home, tmp_path / "log") as server:
        command = ("deployer", "replay", "--traffic", traffic, "--candidate", tag, "--block", "request")
        done = run(*command, "--url", server.url, "-o", str(page), "--json")
        other = run(*command, "--champion", champion, "--candidate", champion, "--url", server.url)
    assert done.returncode == 1, done.stderr
    report = ReplayReport.parse(json.loads(done.stdout), "standard output", "")
    assert report.latency is not None
    assert (report.latency.requests, report.latency.failures) == (len(requests), 0)
    assert verdicts(report)["latency"] == "open"
    assert report.changes is not None and report.changes.flips == len(requests)
    assert "The candidate must not replace the champion" in page.read_text()
    assert other.returncode == 2
    assert f"serves {tag}, not {champion}" in other.stderr


def test_the_python_function_takes_local_times_as_utc(tmp_path: Path, champion: str) -> None:
    traffic, tag = captured(tmp_path, champion, right, 3), candidate(tmp_path)
    until = (FIRST_DAY + timedelta(days=1)).replace(tzinfo=None)
    report = model_deployer.replay(traffic, tag, until=until, block="origin")
    assert (report.trial.rows, report.block) == (ROWS, "origin")
    with pytest.raises(UsageError, match=r"--block orign: expected day, .* did you mean 'origin'"):
        model_deployer.replay(traffic, tag, block="orign")
