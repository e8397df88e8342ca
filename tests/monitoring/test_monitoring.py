import json
import math
import re
import shlex
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from model_deployer.contract.contract import Contract
from model_deployer.contract.features import Categorical, Datetime, Numeric
from model_deployer.contract.outputs import Classification, Regression
from model_deployer.contract.reference import Reference
from model_deployer.monitoring.alerts import alerts
from model_deployer.monitoring.drift import DriftMetric, drift_metrics, unwatched
from model_deployer.monitoring.drift_tests import drift_tests
from model_deployer.monitoring.monitoring import (
    ALERTS,
    DASHBOARD,
    DRIFT_TESTS,
    REPLAY,
    TESTS,
    check_monitoring,
    groups,
    monitoring,
    promtool,
    write_monitoring,
)
from model_deployer.monitoring.prometheus import Query, query
from model_deployer.monitoring.replay import replay_problems
from model_deployer.monitoring.runbook import RUNBOOK, first_looks
from model_deployer.package.package_data import SAMPLES, PackageData
from model_deployer.package.samples import Sample, Samples
from model_deployer.writing.markdown import anchor
from tests.support import tiny
from tests.support.drifts import MIN_ROWS, THRESHOLD, with_drift
from tests.support.observed import BUSY, RUNNER, package_data
from tests.support.processes import Server

needs_promtool = pytest.mark.skipif(promtool() is None, reason="promtool is not installed")

QUANTILES = [step / 20 for step in range(21)]

UNIFORM = {"missing": 0.0, "quantiles": QUANTILES}

MANY = (
    tiny.WITH_SETS,
    {
        "features": tiny.REFERENCE["features"],
        "predictions": {f"probabilities[{index}]": {"quantiles": QUANTILES} for index in range(3)},
    },
)

REGRESSION = (
    Contract(features=(Numeric(name="carat", example=1.0),), output=Regression(target="price", unit="US dollars")),
    {
        "features": {"carat": UNIFORM},
        "predictions": {name: {"quantiles": QUANTILES} for name in ("value[0]", "lower[0]", "upper[0]")},
    },
)

HOSTILE = 'a "b" \\ {{ $labels.job }} \n \u2028 é 🚗 # : - {x="y"} [5m]'

STRANGE = (
    Contract(
        features=(Categorical(name=HOSTILE, example="x"), Categorical(name="other", example="x")),
        output=Classification(target=HOSTILE, labels=("x", HOSTILE), positive=HOSTILE, threshold=0.5),
    ),
    {
        "features": {
            HOSTILE: {
                "missing": 0.1,
                "frequencies": {HOSTILE: 0.5, "missing": 0.3, "other": 0.1, "rare": 0.01},
                "other": 0.09,
            },
            "other": {"missing": 1.0, "frequencies": {}, "other": 0.0},
        },
        "predictions": {f"probabilities[{index}]": {"quantiles": QUANTILES} for index in range(2)},
    },
)

#: The kind of a model that its source serves.
SOURCE = "source"

KINDS: Mapping[str, tuple[Contract, Mapping[str, Any] | None]] = {
    "two labels": (tiny.CONTRACT, tiny.REFERENCE),
    "many labels": MANY,
    "regression": REGRESSION,
    "strange names": STRANGE,
    "no reference": (tiny.CONTRACT, None),
    SOURCE: (tiny.CONTRACT, tiny.REFERENCE),
}


def of_kind(kind: str, runbook_url: str | None = None, **fields: Any) -> PackageData:
    contract, reference = KINDS[kind]
    package = package_data(contract, None if reference is None else with_drift(reference), **fields)
    return replace(package, runbook_url=runbook_url, runner=RUNNER if kind == SOURCE else None)


def run(command: str, file: Path) -> "subprocess.CompletedProcess[str]":
    """Run promtool on a file."""
    return subprocess.run([str(promtool()), *command.split(), file], capture_output=True, text=True, check=False)


@needs_promtool
@pytest.mark.parametrize("kind", KINDS)
def test_promtool_accepts_rules_and_alert_tests(kind: str, tmp_path: Path) -> None:
    """promtool accepts the rules; every alert has a test in which it is silent and one in which it fires."""
    data = of_kind(kind, owner="{{ owner }} <team@example.com>")
    write_monitoring(data, tmp_path)
    files = [name for name in (TESTS, DRIFT_TESTS) if (tmp_path / name).exists()]
    for command, file in (("check rules", ALERTS), *(("test rules", name) for name in files)):
        completed = run(command, tmp_path / file)
        assert "SUCCESS" in completed.stdout, completed.stdout + completed.stderr
    tests = [test for name in files for test in yaml.safe_load((tmp_path / name).read_text())["tests"]]
    expectations = [expected for test in tests for expected in test["alert_rule_test"]]
    silent = {expected["alertname"] for expected in expectations if not expected["exp_alerts"]}
    firing = {expected["alertname"] for expected in expectations if expected["exp_alerts"]}
    assert silent == firing == {alert.name for alert in alerts(data)}


def test_without_a_reference_nothing_is_said_of_drift() -> None:
    data = of_kind("no reference")
    assert not drift_metrics(data)
    assert not [alert for alert in alerts(data) if "Drift" in alert.name]
    assert "drift" not in monitoring(data)[DASHBOARD].lower()


def test_unwatched_distributions_are_named_with_the_reason() -> None:
    """Times, and fields whose alert would find no planted fault, have no alert; each is named with the reason."""
    contract = Contract(
        features=(
            Numeric(name="temp", example=1.0),
            Numeric(name="wind", example=1.0),
            Datetime(name="when", example="x"),
        ),
        output=REGRESSION[0].output,
    )
    reference = with_drift({"features": dict.fromkeys(("temp", "wind"), UNIFORM), "predictions": {}})
    reference["drift"]["features"]["temp"]["faults"][0] |= {"rows": None, "index": 4.5}
    reference["drift"]["features"]["temp"]["threshold"] = 7.5
    package = package_data(contract, reference)
    (drift,) = drift_metrics(package)
    assert [watched.name for watched in drift.watched] == ["wind"]
    reasons = {each.about: each.reason for each in unwatched(package)}
    assert set(reasons) == {"when", "temp"}
    assert "up to 4.50" in reasons["temp"]
    assert "7.5" in reasons["temp"]
    assert [each["about"] for each in json.loads(monitoring(package)[REPLAY])["not_watched"]] == ["when", "temp"]


def test_a_model_without_a_replay_has_no_alerts_on_drift() -> None:
    """An older model has a reference without a replay: its drift has no threshold that holds."""
    package = package_data(tiny.CONTRACT, tiny.REFERENCE)
    assert not drift_metrics(package)
    (everything,) = unwatched(package)
    assert "no threshold is known" in everything.reason


@needs_promtool
def test_promtool_finds_a_threshold_below_a_normal_day(tmp_path: Path) -> None:
    """A threshold that a day of the table exceeds is found by promtool, and by the evaluation without promtool."""
    reference = with_drift(tiny.REFERENCE)
    distance = reference["drift"]["features"]["distance"]
    distance["training"]["shares"] = distance["faults"][0]["shares"]
    package = package_data(tiny.CONTRACT, reference)
    write_monitoring(package, tmp_path)
    completed = run("test rules", tmp_path / DRIFT_TESTS)
    assert "every distribution on its most unusual day of the training rows" in completed.stdout + completed.stderr
    (problem,) = replay_problems(package)
    assert problem == "distance: an alert on drift fires on a day of the training rows"


@pytest.mark.parametrize(
    ("kind", "outputs"),
    [
        ("two labels", {"probabilities[1]": "probability of on_time"}),
        (
            "many labels",
            {
                "probabilities[0]": "probability of late",
                "probabilities[1]": "probability of on_time",
                "probabilities[2]": "probability of early",
            },
        ),
        ("regression", {"value[0]": "predicted price"}),
    ],
)
def test_predictions_are_watched_by_what_they_mean(kind: str, outputs: Mapping[str, str]) -> None:
    distributions = next(drift for drift in drift_metrics(of_kind(kind)) if drift.label == "output").watched
    assert {watched.name: watched.about for watched in distributions} == outputs


def index(live: Mapping[str, float], expected: Mapping[str, float]) -> float:
    """The population stability index by its definition."""
    pairs = [(live[bin], share) for bin, share in expected.items()]
    pairs.append((1 - sum(p for p, _ in pairs), 1 - sum(q for _, q in pairs)))
    return sum((max(p, 1e-3) - max(q, 1e-3)) * math.log(max(p, 1e-3) / max(q, 1e-3)) for p, q in pairs)


def shares_with_index(drift: DriftMetric, wanted: float) -> dict[str, float]:
    """Shares of the first watched distribution, with as much of it moved to the first bin as gives this index."""
    expected = drift.watched[0].expected
    first = next(iter(expected))
    low, high, live = 0.0, 1.0, dict(expected)
    for _ in range(50):
        moved = (low + high) / 2
        live = {bin: (1 - moved) * share + moved * (bin == first) for bin, share in expected.items()}
        low, high = (moved, high) if index(live, expected) < wanted else (low, moved)
    return live


@needs_promtool
@pytest.mark.parametrize("label", ["feature", "output"])
@pytest.mark.parametrize(("share", "rows", "fires"), [(1.05, 1.3, True), (0.95, 1.3, False), (4.0, 0.9, False)])
def test_drift_is_told_from_the_threshold_on_and_of_enough_rows(
    label: str, share: float, rows: float, fires: bool, tmp_path: Path
) -> None:
    data = of_kind("two labels")
    write_monitoring(data, tmp_path)
    drift = next(drift for drift in drift_metrics(data) if drift.label == label)
    first = drift.watched[0]
    rate = rows * MIN_ROWS / 60  # rows per two minutes: five minutes of each hour count, and a day has 24 of them
    tests = drift_tests(data)
    case = next(case for case in tests["tests"] if case["name"].startswith(drift.alert))
    case["input_series"] = [series for series in case["input_series"] if drift.metric not in series["series"]]
    for bin, bin_share in shares_with_index(drift, share * THRESHOLD).items():
        series = f'{drift.metric}{{job="model",instance="one:3000",{label}="{first.name}",bin="{bin}"}}'
        case["input_series"].append({"series": series, "values": f"0+{rate * bin_share:.6f}x780"})
    for test in case["alert_rule_test"]:
        is_first = [each for each in test["exp_alerts"] if each["exp_labels"].get(label) == first.name]
        test["exp_alerts"] = is_first if fires else []
    (tmp_path / DRIFT_TESTS).write_text(yaml.safe_dump(tests | {"tests": [case]}))
    completed = run("test rules", tmp_path / DRIFT_TESTS)
    assert "SUCCESS" in completed.stdout, completed.stdout + completed.stderr


@needs_promtool
def test_drift_is_told_of_whole_days_only(tmp_path: Path) -> None:
    """In the first hours of a version, no alert on drift fires: the time of day is not drift."""
    data = of_kind("two labels")
    write_monitoring(data, tmp_path)
    tests = drift_tests(data)
    case = next(case for case in tests["tests"] if case["name"].startswith("ModelFeatureDrift"))
    case["alert_rule_test"] = [test | {"eval_time": "23h", "exp_alerts": []} for test in case["alert_rule_test"]]
    (tmp_path / DRIFT_TESTS).write_text(yaml.safe_dump(tests | {"tests": [case]}))
    completed = run("test rules", tmp_path / DRIFT_TESTS)
    assert "SUCCESS" in completed.stdout, completed.stdout + completed.stderr


def test_alerts_are_told_in_words_of_this_model() -> None:
    by_name = {alert.name: alert for alert in alerts(package_data())}
    slow = by_name["ModelSlow"]
    assert slow.when.startswith("More than 14.4 % of the answers of the last 1h, and of the last 5m, took longer")
    assert slow.when.endswith("The objectives: 10 ms for one row, 250 ms for up to 100 rows.")
    assert "allows 1 % in 30 days; at this rate, that is used up in 2 days" in slow.when
    assert "allows 0.1 % in 30 days; at this rate, that is used up in 30 days" in by_name["ModelFailingForDays"].when
    assert by_name["ModelQueueLong"].when.startswith("1 of 20 requests waits longer than 1 s")
    assert by_name["ModelFailingFast"].when.startswith("More than 1.44 % of the requests of the last 1h")
    assert {alert.severity for alert in by_name.values()} == {"critical", "warning", "info"}
    for alert in by_name.values():
        assert "`" not in alert.when + alert.meaning + alert.action
        assert alert.when.endswith(".")


@pytest.mark.parametrize("kind", KINDS)
def test_only_a_source_can_end_and_only_a_graph_has_a_fallback(kind: str) -> None:
    package = of_kind(kind)
    names = {alert.name for alert in alerts(package)}
    assert names & {"ModelSourceEnded", "ModelDegraded"} == {"ModelSourceEnded" if package.runner else "ModelDegraded"}
    for text in (monitoring(package)[name] for name in (ALERTS, TESTS, DASHBOARD, RUNBOOK)):
        assert ("model_source_ends_total" in text) == (package.runner is not None)
        assert ("model_degraded" in text) == (package.runner is None)


@pytest.mark.parametrize("kind", KINDS)
def test_dashboard_has_no_overlaps_and_every_panel_a_query(kind: str) -> None:
    """The panels of the dashboard do not overlap, and each has a query."""
    panels = json.loads(monitoring(of_kind(kind))[DASHBOARD])["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        x, y, w, h = (panel["gridPos"][side] for side in "xywh")
        cells = {(x + column, y + line) for column in range(w) for line in range(h)}
        assert x + w <= 24
        assert not cells & taken
        taken |= cells
        assert panel["type"] == "row" or all(target["expr"] for target in panel["targets"])


@pytest.mark.parametrize("kind", KINDS)
def test_grafanas_own_models_read_the_whole_dashboard(kind: str) -> None:
    """Nothing of the dashboard is lost in the classes that Grafana generates from its schema."""
    models = pytest.importorskip("grafana_foundation_sdk.models.dashboard")
    pytest.importorskip("grafana_foundation_sdk.cog.plugins").register_default_plugins()
    encoder = pytest.importorskip("grafana_foundation_sdk.cog.encoder").JSONEncoder()
    content = json.loads(monitoring(of_kind(kind))[DASHBOARD])
    read = json.loads(encoder.encode(models.Dashboard.from_json(content)))
    assert not list(lost(content, read))


def lost(content: Any, read: Any, path: str = "") -> Iterator[str]:
    """The paths of values that are in JSON content, but not or otherwise in what was read of it."""
    if isinstance(content, dict) and isinstance(read, dict):
        for key, value in content.items():
            yield from lost(value, read.get(key), f"{path}.{key}")
    elif isinstance(content, list) and isinstance(read, list) and len(content) == len(read):
        for index, (value, read_value) in enumerate(zip(content, read, strict=True)):
            yield from lost(value, read_value, f"{path}[{index}]")
    elif content != read:
        yield path


@needs_promtool
@pytest.mark.parametrize("kind", KINDS)
def test_promtool_accepts_the_queries_of_dashboard_and_runbook(kind: str, tmp_path: Path) -> None:
    panels = json.loads(monitoring(of_kind(kind))[DASHBOARD])["panels"]
    queries = [target["expr"] for panel in panels for target in panel.get("targets", ())]
    queries += [text for look in first_looks(of_kind(kind)).values() for text in look.queries]
    queries = [re.sub(r"\$\{\w+:doublequote\}", '"x"', text).replace("$__rate_interval", "1m") for text in queries]
    rules = [{"record": f"query{number}", "expr": text} for number, text in enumerate(queries)]
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    assert "SUCCESS" in run("check rules", tmp_path / "rules.yml").stdout


def test_runbook_has_a_section_with_commands_for_every_alert() -> None:
    """Each alert links to a section that exists, and the section has commands that a shell can read."""
    package = of_kind("strange names", owner="team@example.com", runbook_url="https://wiki.example.com/served/RUNBOOK")
    text = monitoring(package)[RUNBOOK]
    sections = {anchor(title): part for title, part in re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", text, re.M | re.S)}
    rules = [rule for group in groups(package) for rule in group["rules"] if "alert" in rule]
    for rule in rules:
        base, _, section = rule["annotations"]["runbook_url"].partition("#")
        assert base == "https://wiki.example.com/served/RUNBOOK"
        (commands,) = re.findall(r"^(`{3,})sh\n(.*?)^\1$", sections[section], re.M | re.S)
        for line in commands[1].strip("\n").split("\n"):
            assert shlex.split(line)[0] in ("curl", "kubectl")
        assert "**Whom to call:**" in sections[section]
    assert "the owner of the model, `team@example.com`" in sections["modelpredictiondrift"]
    assert "43 minutes without answers" in text


@needs_promtool
def test_a_busy_machine_gives_no_alerts_on_latency(tmp_path: Path) -> None:
    """Without objectives there are no alerts on latency, and the runbook says why; the rules hold without them."""
    package = replace(of_kind("two labels"), measured=BUSY)
    assert not [alert for alert in alerts(package) if alert.name.startswith("ModelSlow")]
    assert "the machine was busy during the measurements" in monitoring(package)[RUNBOOK]
    write_monitoring(package, tmp_path)
    completed = run("test rules", tmp_path / TESTS)
    assert "SUCCESS" in completed.stdout, completed.stdout + completed.stderr


def test_alerts_without_a_published_runbook_have_the_first_query() -> None:
    (rule, *_) = [rule for group in groups(of_kind("two labels")) for rule in group["rules"] if "alert" in rule]
    assert "runbook_url" not in rule["annotations"]
    assert rule["annotations"]["runbook"] == "monitoring/RUNBOOK.md#modelabsent in the package of served:1.0.0"
    assert rule["annotations"]["first_query"] == 'last_over_time(model_info{name="served"}[1d])'


def test_an_expression_is_read_as_far_as_its_metrics_and_labels() -> None:
    rate = 'rate(model_x_bucket{a="model_y{",b=~"$c"}[5m])'
    assert query(f"sum by (job, le) ({rate} and on (instance) model_info) / job:model_z:p99") == Query(
        {"model_x_bucket": frozenset({"a", "b"}), "model_info": frozenset(), "job:model_z:p99": frozenset()},
        frozenset({"job", "le", "instance"}),
    )


DATA = of_kind("two labels")


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """The files of a package that are checked against the server."""
    write_monitoring(DATA, tmp_path)
    golden = Sample(case="golden", request={"rows": [tiny.ROW]}, status=200, answer={})
    invalid = Sample(case="wrong", request={"rows": [tiny.ROW | {"distance": "far"}]}, status=422, answer={})
    samples = Samples(model={}, tolerance=1e-5, golden=(golden,), edge=(), invalid=(invalid,))
    (tmp_path / SAMPLES).parent.mkdir()
    (tmp_path / SAMPLES).write_text(samples.model_dump_json())
    return tmp_path


def test_rules_and_dashboard_speak_of_what_the_server_tells(server: Server, package: Path) -> None:
    assert check_monitoring(DATA, package, server.url) == []


def test_server_counts_the_bins_of_training(server: Server) -> None:
    """The bins that the server counts are those of training."""
    metrics = httpx.get(f"{server.url}/metrics").text
    for name, distribution in Reference.model_validate(tiny.REFERENCE).features.items():
        counted = re.findall(rf'^model_feature_values_total{{bin="(.*)",feature="{name}"}}', metrics, re.MULTILINE)
        assert set(counted) == set(distribution.shares())


@pytest.mark.parametrize(
    ("file", "change", "problem"),
    [
        (ALERTS, ("model_request_seconds_bucket", "model_seconds_bucket"), "there is no metric model_seconds_bucket"),
        (ALERTS, ('route="/predict"', 'path="/predict"'), "model_requests_total has no label path"),
        (ALERTS, ("and on (job) 3600", "and on (task) 3600"), "no metric has a label task"),
        (ALERTS, ("record: job:model_failures:ratio1h", "record: x:y"), "no metric job:model_failures:ratio1h"),
        (ALERTS, ("bin: '800'", "bin: '801'"), "has no bin {'feature': 'distance', 'bin': '801'}"),
        (DASHBOARD, ("model_rows_total", "model_x_total"), "Rows predicted: there is no metric model_x_total"),
        (DASHBOARD, ("{", ""), "monitoring/ cannot be read"),
    ],
)
def test_what_is_wrong_is_named(
    server: Server, package: Path, file: str, change: tuple[str, str], problem: str
) -> None:
    text = (package / file).read_text()
    assert change[0] in text
    (package / file).write_text(text.replace(*change))
    assert [message for message in check_monitoring(DATA, package, server.url) if problem in message]


@needs_promtool
def test_what_promtool_refuses_is_told(server: Server, package: Path) -> None:
    text = (package / ALERTS).read_text()
    (package / ALERTS).write_text(re.sub(">= 10$", ">= 1000000", text, flags=re.MULTILINE))
    (problem,) = check_monitoring(DATA, package, server.url)
    assert problem.startswith("promtool test rules monitoring/alerts_test.yml")
    assert "ModelFailingFast" in problem
