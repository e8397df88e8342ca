import json
import math
import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import yaml

from model_deployer.contract.contract import Contract
from model_deployer.contract.features import Categorical, Datetime, Numeric
from model_deployer.contract.outputs import Classification, Regression
from model_deployer.contract.reference import NumberDistribution, Reference
from model_deployer.monitoring.alert_tests import alert_tests
from model_deployer.monitoring.alerts import alerts
from model_deployer.monitoring.drift import LEAST_ROWS, DriftMetric, WatchedDistribution, drifts, threshold
from model_deployer.monitoring.monitoring import (
    ALERTS,
    DASHBOARD,
    TESTS,
    check_monitoring,
    monitoring,
    promtool,
    write_monitoring,
)
from model_deployer.monitoring.prometheus import Query, query
from model_deployer.package.package_data import SAMPLES, PackageData
from model_deployer.package.samples import Sample, Samples
from tests.support import tiny
from tests.support.observed import facts
from tests.support.processes import Server

needs_promtool = pytest.mark.skipif(promtool() is None, reason="promtool is not installed")

QUANTILES = [step / 20 for step in range(21)]

SEEN = {"missing": 0.0, "quantiles": QUANTILES}

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
        "features": {"carat": SEEN},
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

KINDS: Mapping[str, tuple[Contract, Mapping[str, Any] | None]] = {
    "two labels": (tiny.CONTRACT, tiny.REFERENCE),
    "many labels": MANY,
    "regression": REGRESSION,
    "strange names": STRANGE,
    "no reference": (tiny.CONTRACT, None),
}


def of_kind(kind: str, **said: Any) -> PackageData:
    contract, reference = KINDS[kind]
    return facts(contract, reference, **said)


def run(command: str, file: Path) -> "subprocess.CompletedProcess[str]":
    """Ask promtool about a file."""
    return subprocess.run([str(promtool()), *command.split(), file], capture_output=True, text=True, check=False)


@needs_promtool
@pytest.mark.parametrize("kind", KINDS)
def test_promtool_takes_the_rules_and_every_alert_is_silent_and_tells(kind: str, tmp_path: Path) -> None:
    given = of_kind(kind, owner="{{ nobody }} <team@example.com>")
    write_monitoring(given, tmp_path)
    for command, file in (("check rules", ALERTS), ("test rules", TESTS)):
        done = run(command, tmp_path / file)
        assert "SUCCESS" in done.stdout, done.stdout + done.stderr
    tests = yaml.safe_load((tmp_path / TESTS).read_text())["tests"]
    silent = {case["alertname"] for case in tests[0]["alert_rule_test"]}
    telling = {case["alertname"] for test in tests[1:] for case in test["alert_rule_test"] if case["exp_alerts"]}
    assert silent == telling == {alert.name for alert in alerts(given)}


def test_without_a_reference_nothing_is_said_of_drift() -> None:
    given = of_kind("no reference")
    assert not drifts(given)
    assert not [alert for alert in alerts(given) if "DriftMetric" in alert.name]
    assert "drift" not in monitoring(given)[DASHBOARD].lower()


def test_what_moves_by_nature_is_not_watched() -> None:
    contract = Contract(
        features=(
            Numeric(name="temp", example=1.0),
            Numeric(name="wind", example=1.0),
            Datetime(name="when", example="x"),
        ),
        output=REGRESSION[0].output,
    )
    reference = {"features": dict.fromkeys(contract.names, SEEN), "predictions": {}}
    moved = {"findings": [{"severity": "info", "column": "temp", "code": "drift", "message": ""}]}
    (drift,) = drifts(facts(contract, reference, moved))
    assert [each.name for each in drift.watched] == ["wind"]


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
    watched = next(drift for drift in drifts(of_kind(kind)) if drift.label == "output").watched
    assert {each.name: each.about for each in watched} == outputs


def index(live: Mapping[str, float], expected: Mapping[str, float]) -> float:
    """The population stability index, as textbooks have it."""
    pairs = [(live[bin], share) for bin, share in expected.items()]
    pairs.append((1 - sum(one for one, _ in pairs), 1 - sum(other for _, other in pairs)))
    return sum((max(p, 1e-3) - max(q, 1e-3)) * math.log(max(p, 1e-3) / max(q, 1e-3)) for p, q in pairs)


def towards(drift: DriftMetric, wanted: float) -> dict[str, float]:
    """Live shares of the first that is watched, of which so much has moved to the first bin that the index is this."""
    expected = drift.watched[0].expected
    first = next(iter(expected))
    low, high, live = 0.0, 1.0, dict(expected)
    for _ in range(50):
        part = (low + high) / 2
        live = {bin: (1 - part) * share + part * (bin == first) for bin, share in expected.items()}
        low, high = (part, high) if index(live, expected) < wanted else (low, part)
    return live


@needs_promtool
@pytest.mark.parametrize("label", ["feature", "output"])
@pytest.mark.parametrize(("share", "rows", "tells"), [(1.05, 1.3, True), (0.95, 1.3, False), (4.0, 0.9, False)])
def test_drift_is_told_from_the_threshold_on_and_of_enough_rows(
    label: str, share: float, rows: float, tells: bool, tmp_path: Path
) -> None:
    alert = {"feature": "ModelFeatureDrift", "output": "ModelPredictionDrift"}[label]
    given = of_kind("two labels")
    write_monitoring(given, tmp_path)
    drift = next(drift for drift in drifts(given) if drift.label == label)
    first = drift.watched[0]
    rate = rows * LEAST_ROWS / 80  # rows a minute: an hour before the end, there are enough of them, or never
    tests = alert_tests(given)
    case = next(case for case in tests["tests"] if case["name"] == alert)
    case["input_series"] = [each for each in case["input_series"] if drift.metric not in each["series"]]
    for bin, part in towards(drift, share * first.threshold).items():
        series = f'{drift.metric}{{job="model",instance="one:3000",{label}="{first.name}",bin="{bin}"}}'
        case["input_series"].append({"series": series, "values": f"0+{rate * part:.6f}x200"})
    for each in case["alert_rule_test"]:
        each["eval_time"] = "85m" if rows < 1 else "200m"
        each["exp_alerts"] = each["exp_alerts"] if tells else []
    (tmp_path / TESTS).write_text(yaml.safe_dump(tests | {"tests": [case]}))
    done = run("test rules", tmp_path / TESTS)
    assert "SUCCESS" in done.stdout, done.stdout + done.stderr


def same_population(rows: int, draw: np.random.Generator) -> Iterator[tuple[float, WatchedDistribution]]:
    """The index of a day of the least rows, of numbers and of categories that are those of training."""
    levels, odds = np.array(list("abcdefgh")), np.array([0.3, 0.2, 0.15, 0.1, 0.1, 0.07, 0.05, 0.03])
    numbers, words = draw.normal(size=rows), draw.choice(levels, rows, p=odds)
    shown = {level: float(np.mean(words == level)) for level in set(words.tolist())}
    reference = {
        "number": {"missing": 0.0, "quantiles": np.quantile(numbers, QUANTILES).tolist()},
        "word": {"missing": 0.0, "frequencies": shown, "other": 0.0},
    }
    contract = Contract(features=(Numeric(name="number"), Categorical(name="word")), output=REGRESSION[0].output)
    judged = {"rows": {"train": rows, "validation": rows, "test": rows}}
    (drift,) = drifts(facts(contract, {"features": reference, "predictions": {}}, judged))
    number, word = drift.watched
    ends = np.array(NumberDistribution.model_validate(reference["number"]).edges)
    found = np.bincount(np.searchsorted(ends, draw.normal(size=LEAST_ROWS)), minlength=len(ends) + 1) / LEAST_ROWS
    yield index(dict(zip(number.expected, [*found.tolist(), 0.0], strict=True)), number.expected), number
    words = draw.choice(levels, LEAST_ROWS, p=odds)
    yield index({level: float(np.mean(words == level)) for level in word.expected}, word.expected), word


@pytest.mark.parametrize("rows", [35, 200, 5_000])
def test_chance_alone_hardly_ever_reaches_a_threshold(rows: int) -> None:
    draw = np.random.default_rng(0)
    found = [moved >= watched.threshold for _ in range(500) for moved, watched in same_population(rows, draw)]
    assert np.mean(found) <= (0.01 if rows < 100 else 0.001)


def test_with_enough_rows_the_threshold_is_the_usual_one() -> None:
    assert threshold(11, 30_000) == threshold(2, 1_000) == threshold(11, None) == 0.25
    assert threshold(11, 35) > 0.5


def test_alerts_are_told_in_words_of_this_model() -> None:
    found = {alert.name: alert for alert in alerts(facts())}
    assert found["ModelSlow"].when.startswith("1 of 100 requests takes longer than 10 ms")
    assert "> 0.01\n" in found["ModelSlow"].expression
    assert found["ModelQueueLong"].when.startswith("1 of 20 requests waits longer than 1 s")
    assert found["ModelFailingFast"].when.startswith("More than 1.44 % of the requests of the last 1h")
    assert {alert.severity for alert in found.values()} == {"critical", "warning", "info"}
    for alert in found.values():
        assert "`" not in alert.when + alert.meaning + alert.action
        assert alert.when.endswith(".")


@pytest.mark.parametrize("kind", KINDS)
def test_the_dashboard_is_laid_out_without_overlaps_and_each_panel_asks(kind: str) -> None:
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


@needs_promtool
@pytest.mark.parametrize("kind", KINDS)
def test_what_the_dashboard_asks_is_prometheus_own_language(kind: str, tmp_path: Path) -> None:
    panels = json.loads(monitoring(of_kind(kind))[DASHBOARD])["panels"]
    asked = [target["expr"] for panel in panels for target in panel.get("targets", ())]
    asked = [re.sub(r"\$\{\w+:doublequote\}", '"x"', each).replace("$__rate_interval", "1m") for each in asked]
    rules = [{"record": f"asked{number}", "expr": each} for number, each in enumerate(asked)]
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    assert "SUCCESS" in run("check rules", tmp_path / "rules.yml").stdout


def test_an_expression_is_read_as_far_as_its_metrics_and_labels() -> None:
    rate = 'rate(model_x_bucket{a="model_y{",b=~"$c"}[5m])'
    assert query(f"sum by (job, le) ({rate} and on (instance) model_info) / job:model_z:p99") == Query(
        {"model_x_bucket": frozenset({"a", "b"}), "model_info": frozenset(), "job:model_z:p99": frozenset()},
        frozenset({"job", "le", "instance"}),
    )


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """As much of a package as can be held against the server."""
    write_monitoring(facts(), tmp_path)
    golden = Sample(case="golden", request={"rows": [tiny.ROW]}, status=200, answer={})
    invalid = Sample(case="wrong", request={"rows": [tiny.ROW | {"distance": "far"}]}, status=422, answer={})
    samples = Samples(model={}, tolerance=1e-5, golden=(golden,), edge=(), invalid=(invalid,))
    (tmp_path / SAMPLES).parent.mkdir()
    (tmp_path / SAMPLES).write_text(samples.model_dump_json())
    return tmp_path


def test_rules_and_dashboard_speak_of_what_the_server_tells(server: Server, package: Path) -> None:
    assert check_monitoring(package, server.url) == []


def test_the_bins_that_training_had_are_those_that_the_server_counts(server: Server) -> None:
    told = httpx.get(f"{server.url}/metrics").text
    for name, seen in Reference.model_validate(tiny.REFERENCE).features.items():
        counted = re.findall(rf'^model_feature_values_total{{bin="(.*)",feature="{name}"}}', told, re.MULTILINE)
        assert set(counted) == set(seen.shares())


@pytest.mark.parametrize(
    ("file", "change", "problem"),
    [
        (ALERTS, ("model_request_seconds_bucket", "model_seconds_bucket"), "there is no metric model_seconds_bucket"),
        (ALERTS, ('route="/predict"', 'path="/predict"'), "model_requests_total has no label path"),
        (ALERTS, ("and on (job) 300", "and on (task) 300"), "no metric has a label task"),
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
    assert [each for each in check_monitoring(package, server.url) if problem in each]


@needs_promtool
def test_what_promtool_refuses_is_told(server: Server, package: Path) -> None:
    text = (package / ALERTS).read_text()
    (package / ALERTS).write_text(text.replace(">= 100", ">= 1000000"))
    (problem,) = check_monitoring(package, server.url)
    assert problem.startswith("promtool test rules monitoring/alerts_test.yml")
    assert "ModelSlow" in problem
