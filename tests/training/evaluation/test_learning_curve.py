"""Whether more rows would help."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import yaml

from model_deployer.contract.evaluation import Curve, LearningCurve, NextGain, UnmeasuredCurve
from model_deployer.contract.outputs import Classification, Regression, SingleTarget
from model_deployer.training.data.dataset import Dataset, read_dataset
from model_deployer.training.evaluation import learning_curve as learning_curve_module
from model_deployer.training.evaluation.learning_curve import learning_curve
from model_deployer.training.models.model_builder import build_model
from model_deployer.training.preprocessing.sample import fit_sample

ROWS = 2000
STREETS = 150
LINEAR = {"estimator": {"name": "linear"}}


def rows(count: int = ROWS) -> pl.DataFrame:
    random = np.random.default_rng(0)
    return pl.DataFrame(
        {
            "x": np.where(random.random(count) < 0.1, np.nan, random.normal(size=count)),
            "street": [f"street {number}" for number in random.integers(0, STREETS, count)],
            "when": range(count),
        }
    )


def quantity(frame: pl.DataFrame) -> np.ndarray:
    """Return a target with a level per street, which takes many rows to fit."""
    levels = np.random.default_rng(8).normal(size=STREETS)
    noise = np.random.default_rng(9).normal(size=frame.height)
    street = frame["street"].str.extract(r"(\d+)").cast(pl.Int64).to_numpy()
    return np.asarray(levels[street] + frame["x"].fill_nan(0).to_numpy() + noise / 4)


def read(folder: Path, frame: pl.DataFrame, target: Any, **spec: Any) -> Dataset:
    frame.with_columns(y=pl.Series(target)).write_parquet(folder / "t.parquet")
    data = {"path": "t.parquet", "target": "y", "ignore": ["when"]} | spec.pop("data", {})
    (folder / "model.yaml").write_text(yaml.safe_dump({"name": "m", "data": data, **spec}))
    return read_dataset(folder / "model.yaml")


def compute_curve(dataset: Dataset) -> Curve:
    """Return the curve of a table, or the reason for its absence."""
    preprocessor, train = fit_sample(dataset, dataset.parts.train)
    model = build_model(preprocessor, dataset.features, train, dataset.target.classes, dataset.spec)
    return learning_curve(dataset, model, output(dataset))


def measured_curve(dataset: Dataset) -> LearningCurve:
    """Return the curve of a table that has one."""
    curve = compute_curve(dataset)
    assert isinstance(curve, LearningCurve)
    return curve


def output(dataset: Dataset) -> SingleTarget:
    labels = dataset.target.labels
    if labels is None:
        return Regression(target="y")
    if len(labels) > 2:
        return Classification(target="y", labels=labels)
    return Classification(target="y", labels=labels, positive=labels[1], threshold=0.5)


@pytest.mark.parametrize("classes", [1, 2, 3])
def test_the_loss_falls_as_the_rows_double(classes: int, tmp_path: Path) -> None:
    frame = rows()
    target = quantity(frame)
    if classes > 1:
        target = np.array(list("abc"))[np.digitize(target, np.quantile(target, np.arange(1, classes) / classes))]
    dataset = read(tmp_path, frame, target)
    curve = measured_curve(dataset)
    assert LearningCurve.model_validate(json.loads(json.dumps(curve.to_json()))) == curve == compute_curve(dataset)
    assert curve.loss == ("rmse" if classes == 1 else "log_loss")
    count = len(dataset.parts.train)
    assert [point.rows for point in curve.points] == [count >> halvings for halvings in (4, 3, 2, 1, 0)]
    assert all(point.low <= point.loss <= point.high for point in curve.points)
    half, full = (point.loss for point in curve.points[-2:])
    assert half > full
    assert curve.points[0].loss > 1.2 * full
    last, expected = curve.last, curve.next
    assert last.gain == pytest.approx(half - full)
    assert last.low < last.gain < last.high
    assert expected == NextGain(rows=2 * count, low=last.low / 2, high=last.high, measurable=True)
    assert curve.verdict.startswith(
        f"{2 * count:,} rows instead of {count:,} may lower the {curve.loss.replace('_', ' ')} by "
    )


def test_noise_gains_nothing_from_more_rows(tmp_path: Path) -> None:
    """If the target is noise, more rows bring no measurable gain."""
    noise = np.random.default_rng(1).normal(size=ROWS)
    curve = measured_curve(read(tmp_path, rows(), noise, **LINEAR))
    assert curve.model == "linear"
    assert not curve.next.measurable
    assert curve.next.low == 0
    assert curve.verdict.startswith("no measurable gain in rmse from more rows, though up to ")


def test_old_history_does_not_help_after_a_change(tmp_path: Path) -> None:
    """A longer history does not help if the relation between inputs and target has changed."""
    frame = rows()
    reversed_target = np.where(np.arange(ROWS) < ROWS // 2, -1, 1) * quantity(frame)
    by_time, at_random = (
        measured_curve(read(tmp_path, frame, reversed_target, data={"ignore": [], **time}, **LINEAR))
        for time in ({"time": "when"}, {})
    )
    assert (by_time.split, at_random.split) == ("time", "random")
    assert by_time.last.high < 0 == by_time.next.high
    assert by_time.verdict.startswith("no measurable gain in rmse from more rows; the last doubling")
    assert at_random.last.gain > by_time.last.high


def test_a_class_of_few_rows_is_in_every_share(tmp_path: Path) -> None:
    frame = rows()
    target = np.where(quantity(frame) > 0, "yes", "no").astype(object)
    target[:3] = "rare"
    dataset = read(tmp_path, frame, target, **LINEAR)
    assert len(measured_curve(dataset).points) == 5
    smallest = dataset.order[: len(dataset.order) >> 4]
    assert "rare" in {dataset.target.labels[code] for code in dataset.target.values[smallest]}  # type: ignore[index]


def test_a_share_that_lacks_a_class_is_left_out(tmp_path: Path) -> None:
    """The latest sixteenth of the rows does not contain the class "no"."""
    frame = rows()
    target = np.where(quantity(frame) > 0, "yes", "no").astype(object)
    target[1300:1400] = "yes"
    curve = measured_curve(read(tmp_path, frame, target, data={"time": "when", "ignore": []}, **LINEAR))
    assert [point.rows for point in curve.points] == [1400 >> halvings for halvings in (3, 2, 1, 0)]


def test_weightless_rows_are_no_share(tmp_path: Path) -> None:
    frame = rows().with_columns(w=pl.Series([0.0 if 1200 <= row < 1400 else 1.0 for row in range(ROWS)]))
    data = {"time": "when", "weight": "w", "ignore": []}
    curve = measured_curve(read(tmp_path, frame, quantity(frame), data=data, **LINEAR))
    assert [point.rows for point in curve.points] == [1400 >> halvings for halvings in (2, 1, 0)]


@pytest.mark.parametrize("count", [10, 200])
def test_of_few_rows_there_is_no_curve_but_a_reason(count: int, tmp_path: Path) -> None:
    frame = rows(count)
    dataset = read(tmp_path, frame, quantity(frame))
    curve = compute_curve(dataset)
    assert curve == UnmeasuredCurve(reason=f"{len(dataset.order)} training rows are too few for a learning curve")
    assert curve.verdict == curve.reason


def test_without_lightgbm_the_linear_model_is_refitted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    assert measured_curve(read(tmp_path, rows(), quantity(rows()))).model == "linear"


def test_a_large_table_is_not_used_up_and_promises_less(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learning_curve_module, "MAX_VALUES", 700 * 2)
    monkeypatch.setattr(learning_curve_module, "ALWAYS_AFFORDABLE_ROWS", 1)
    dataset = read(tmp_path, rows(), quantity(rows()), **LINEAR)
    curve = measured_curve(dataset)
    assert len(dataset.order) == curve.rows == 1400
    assert curve.points[-1].rows == 700
    assert curve.next.low == pytest.approx(curve.last.low / 4)
    assert curve.next.high == curve.last.high
