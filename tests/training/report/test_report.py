import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from model_deployer.contract.artifact import Manifest, Provenance
from model_deployer.contract.contract import Contract
from model_deployer.contract.evaluation import Evaluation
from model_deployer.training.evaluation.scored_rows import ScoredRows
from model_deployer.training.report.report import EvaluatedModel, write_report
from tests.support.evaluations import evaluation
from tests.support.scored_rows import count_rows, quantile_rows, quantity_rows, two_class_rows

VOID = {"meta", "img"}


class Page(HTMLParser):
    """A parsed page; parsing fails if elements are not closed in the reverse order of opening."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def document(scored: ScoredRows, **fields: Any) -> dict[str, Any]:
    """Return manifest, contract and evaluation of a model as JSON; ``fields`` are those of the manifest."""
    origin = Provenance(data_version="sha256:abc", seed=42, python="3.12.1", libraries={"torch": "2.9.9"})
    manifest = Manifest.model_validate(
        {"name": "delays", "version": "1.2.3", "created": "2026-01-02T03:04:05Z", "tolerance": 1e-5, "origin": origin}
        | fields
    )
    contract = Contract(features=scored.features, output=scored.output)
    model = {"manifest": manifest.model_dump(mode="json"), "contract": contract.model_dump(mode="json")}
    content: dict[str, Any] = json.loads(json.dumps(model | {"evaluation": evaluation(scored).to_json()}))
    return content


def model_of(content: dict[str, Any]) -> EvaluatedModel:
    return EvaluatedModel(
        Manifest.model_validate(content["manifest"]),
        Contract.model_validate(content["contract"]),
        Evaluation.model_validate(content["evaluation"]),
    )


def written(folder: Path, content: dict[str, Any]) -> Page:
    write_report(folder, model_of(content))
    return Page((folder / "report.html").read_text(encoding="utf-8"))


SCORED = [two_class_rows(1500), quantity_rows(1500), count_rows(1500), quantile_rows(1500)]


@pytest.mark.parametrize("scored", SCORED)
def test_every_figure_is_in_the_report(scored: ScoredRows, tmp_path: Path) -> None:
    content = document(scored, description="Whether it is late.", owner="ops")
    values = content["evaluation"]
    text = written(tmp_path, content).text
    for name, metric in values["metrics"]["model"].items():
        assert name.replace("_", " ") in text
        assert all(f"{metric[key]:.4g}" in text for key in ("value", "low", "high"))
    for part in values["slices"]:
        assert part["slice"] in text
        assert f"{part['rows']:,}" in text
        assert f"{part['loss']:.4g}" in text
    for feature in (*values["importance"]["features"], *values["missing"]["features"]):
        assert feature["feature"] in text
        assert f"{feature['rise']:.4g}" in text
    for part in values["reliability"]["bins"]:
        assert f"{part['observed']:.4g}" in text
    for point in values["curve"]["points"]:
        assert f"{point['rows']:,}" in text
        assert f"{point['loss']:.4g}" in text
    loss = scored.loss.replace("_", " ")
    assert f"140,002 rows instead of 70,001 may lower the {loss} by 0.0161 to 0.0345" in text
    assert "the latest ones, so that more rows are a longer history" in text
    inputs = [
        "delays",
        "1.2.3",
        "Whether it is late.",
        "ops",
        "70,001",
        "1,500",
        "7.25",
        "2.25 too high",
        "tells the target",
    ]
    results = ["trees", "0.4567", "p50 0.125, p99 0.25", "sha256:abc", "42", "3.12.1", "torch 2.9.9", "2e-06", "0.61"]
    assert [word for word in (*inputs, *results) if word not in text] == []


@pytest.mark.parametrize(
    ("scored", "phrase"),
    [
        (
            SCORED[0],
            "late: the probabilities of 'no' and 'yes'; the decision is 'yes' if its probability is at least 0.5",
        ),
        (SCORED[1], "delay in minutes, with an interval that contains the truth in 90% of the cases"),
        (SCORED[2], "the expected count of calls, with an interval"),
        (SCORED[3], "the 95% quantile of delay, with an interval"),
    ],
)
def test_what_is_predicted_is_said_in_words(scored: ScoredRows, phrase: str, tmp_path: Path) -> None:
    assert phrase in written(tmp_path, document(scored)).text


@pytest.mark.parametrize(
    ("split", "phrase"),
    [
        ("random", "calibrated it; the split is random"),
        ("stratified", "calibrated it; the split is random, with equal shares of every class"),
        ("group", "calibrated it; the split is by group"),
        ("time", "calibrated it; the split is by time"),
        (None, "15,002 validation rows chose and calibrated it"),
    ],
)
def test_split_is_described(split: str | None, phrase: str, tmp_path: Path) -> None:
    content = document(SCORED[0])
    content["evaluation"]["split"] = split
    assert phrase in written(tmp_path, content).text


def test_a_quantile_is_held_to_its_share(tmp_path: Path) -> None:
    text = written(tmp_path, document(SCORED[3])).text
    assert "Is the truth at or below its value often enough?" in text
    assert re.search(r"In [45] of 5 parts of the test rows, the nominal share of 95% is inside the 95 % interval", text)


def test_other_thresholds_and_the_errors_are_shown(tmp_path: Path) -> None:
    """Decisions have the cost by the threshold, and quantities the errors by the predicted value."""
    decisions, errors = document(SCORED[0]), document(SCORED[1])
    text = written(tmp_path, decisions).text
    assert "What would another threshold cost?" in text
    for point in decisions["evaluation"]["decisions"]["thresholds"]:
        assert f"{point['cost']:.4g}" in text
    text = written(tmp_path, errors).text
    assert "How large are its errors?" in text
    for part in errors["evaluation"]["residuals"]["bins"]:
        assert f"{part['error']:.4g}" in text


@pytest.mark.parametrize("scored", SCORED)
def test_the_page_needs_nothing_but_itself(scored: ScoredRows, tmp_path: Path) -> None:
    page = written(tmp_path, document(scored))
    assert {"script", "link", "iframe"}.isdisjoint(page.tags)
    addresses = [value or "" for name, value in page.attributes if name in ("src", "href", "srcset", "action")]
    assert len(addresses) == len(list((tmp_path / "plots").glob("*.png")))
    assert all(address.startswith("data:image/png;base64,") for address in addresses)
    raw = (tmp_path / "report.html").read_text()
    assert not re.search(r"https?:|url\(|@import", raw)


def test_the_plots_lie_beside_it_and_are_the_same_each_time(tmp_path: Path) -> None:
    content = document(SCORED[0])
    pages = []
    for folder in (tmp_path / "a", tmp_path / "b"):
        folder.mkdir()
        write_report(folder, model_of(content))
        pages.append({path.relative_to(folder): path.read_bytes() for path in folder.rglob("*.*")})
    assert pages[0] == pages[1]
    names = {"curve.png", "history.png", "importance.png", "reliability.png", "slices.png", "thresholds.png"}
    assert {path.name for path in pages[0]} == names | {"report.html"}
    assert all(content.startswith(b"\x89PNG") for path, content in pages[0].items() if path.suffix == ".png")


def test_what_has_no_figures_is_left_out(tmp_path: Path) -> None:
    content = document(SCORED[0])
    values = content["evaluation"]
    content["evaluation"] = {name: values[name] for name in ("task", "rows", "split", "metrics")} | {"history": []}
    page = written(tmp_path, content)
    assert page.tags.count("h2") == 2
    assert page.tags.count("img") == 0
    assert list((tmp_path / "plots").iterdir()) == []
    content["evaluation"]["metrics"] = {}
    assert written(tmp_path, content).tags.count("h2") == 1


def test_that_no_slice_is_worse_is_said(tmp_path: Path) -> None:
    content = document(SCORED[0])
    content["evaluation"]["slices"] = []
    page = written(tmp_path, content)
    assert "higher than that of the other rows beyond chance" in page.text
    assert page.tags.count("img") == 5


def test_sets_are_shown_by_the_labels_that_they_miss(tmp_path: Path) -> None:
    content = document(SCORED[0])
    sets = {"labels": ["no", "yes", "maybe"], "positive": None, "threshold": None, "set_threshold": 0.2}
    content["contract"]["output"] |= sets
    missed, covered = (
        {"label": name, "rows": 1234, "observed": share} for name, share in (("rare", 0.5), ("often", 0.95))
    )
    content["evaluation"]["reliability"]["sets"] = {
        "coverage": 0.9,
        "sizes": [{"labels": 1, "share": 0.75}, {"labels": 2, "share": 0.25}],
        "labels": [missed | {"low": 0.456, "high": 0.543}, covered | {"low": 0.93, "high": 0.97}],
    }
    content["evaluation"]["metrics"]["model"]["set_size"] = {"value": 1.2345, "low": 1.2, "high": 1.3}
    text = written(tmp_path, content).text
    assert "with a set of labels that contains the truth in 90% of the cases" in text
    assert "The number of labels in the set is 1 in 75.0%, 2 in 25.0% of the test rows" in text
    assert "the observed share is certainly lower for 1 of 2 true labels" in text
    assert text.index("rare") < text.index("often", text.index("True label"))
    assert "45.6% to 54.3%" in text
    assert "1.234" in text


def test_figures_say_what_they_are_of(tmp_path: Path) -> None:
    contents = [document(scored) for scored in SCORED]
    contents[1]["evaluation"]["candidates"] = [{"name": "tabm+lightgbm", "loss": 0.4, "seconds": 1.5, "chosen": True}]
    two, quantity = (written(tmp_path, content).text for content in contents[:2])
    assert "Metrics of a class are those of 'yes'." in two
    assert "the predicted probability of 'yes' is inside the 95 % interval" in two
    assert "the log loss, before the calibration" in two
    assert "The network was not chosen." in two
    assert "nearer to the median of the target than to its mean" in quantity
    assert "the squared error in standard deviations of the logarithm" in quantity
    assert "The nominal share applies to all cases together, not to each part" in quantity
    assert "cases are harder or its values larger" in quantity
    assert "The network is part of the chosen model." in quantity


def test_a_calibration_beyond_chance_is_marked(tmp_path: Path) -> None:
    content = document(SCORED[0])
    slices = content["evaluation"]["slices"]
    slices[0] |= {"calibration_error": 0.3456, "calibration_chance": 0.2, "learnt": False, "named": True}
    slices[1] |= {"calibration_error": None, "calibration_chance": None}
    text = written(tmp_path, content).text
    assert "named in model.yaml, not an input of the model" in text
    assert text.count("0.3456 beyond chance") == 1
    assert "too few rows" in text


def test_a_curve_that_was_not_measured_says_why(tmp_path: Path) -> None:
    content = document(SCORED[0])
    content["evaluation"]["curve"] = {"reason": "7 training rows are too few for a learning curve"}
    page = written(tmp_path, content)
    assert "This was not measured: 7 training rows are too few for a learning curve." in page.text
    assert not (tmp_path / "plots" / "curve.png").exists()


def test_a_curve_of_part_of_the_rows_says_so(tmp_path: Path) -> None:
    content = document(SCORED[0])
    content["evaluation"]["curve"] |= {"rows": 900_000}
    assert "the largest part has 70,001 of the 900,000 rows" in written(tmp_path, content).text


def test_what_people_wrote_is_text(tmp_path: Path) -> None:
    hostile = "<script>alert('$x^2$')</script> & \"more\" $\\frac{$ " + "長い" * 60
    content = document(SCORED[0], description=hostile, owner=hostile, license=hostile)
    values = content["evaluation"]
    values["slices"][0] |= {"slice": hostile, "low": None, "high": None}
    values["importance"]["features"][0]["feature"] = hostile
    values["missing"]["features"][0]["feature"] = hostile
    values["reliability"]["label"] = hostile
    values["findings"][0] |= {"column": hostile, "message": hostile}
    values["candidates"][0][hostile] = hostile
    content["contract"]["output"]["labels"][0] = hostile
    content["contract"]["output"]["target"] = hostile
    page = written(tmp_path, content)
    assert "script" not in page.tags
    assert page.text.count(hostile) >= 10


def test_many_features_and_labels_are_summed_up(tmp_path: Path) -> None:
    content = document(SCORED[1])
    last = content["evaluation"]["importance"]["features"][-1]
    content["evaluation"]["importance"]["features"] += [last | {"feature": f"extra {index}"} for index in range(200)]
    labels = [f"label {index}" for index in range(30)]
    content["contract"]["output"] = {
        "kind": "classification",
        "target": "y",
        "labels": labels,
        "positive": None,
        "threshold": None,
        "set_threshold": None,
    }
    text = written(tmp_path, content).text
    assert "And 185 more" in text
    assert "'label 9' and 20 more; the decision is the most likely label" in text
