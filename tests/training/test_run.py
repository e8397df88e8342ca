"""A whole run, with every way to divide and to weigh the rows of a quantity."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import yaml

from contract import store
from contract.evaluations import LOSS
from contract.outputs import Regression
from tests.tables import counts_of, table
from training.dataset import read_dataset
from training.run import train

ROWS = 1500


def spec(folder: Path, **said: Any) -> Path:
    """A model.yaml for a linear model of visits; every third row weighs nothing."""
    frame = table(ROWS)
    weights = np.arange(ROWS) % 3
    times = pl.Series("when", frame["when"] * 1_000_000).cast(pl.Int64).cast(pl.Datetime("us"))
    visits = pl.Series("visits", counts_of(frame).astype(np.int64))
    frame = frame.with_columns(times, visits, weight=pl.Series(weights), shop=pl.Series(np.arange(ROWS) % 40))
    frame.drop("model_street").write_parquet(folder / "t.parquet")
    data = {"path": "t.parquet", "target": "visits", "weight": "weight"} | said.pop("data")
    content = {"name": "visits", "data": data, "estimator": {"name": "linear"}, "slices": ["colour"], **said}
    (folder / "model.yaml").write_text(yaml.safe_dump(content))
    return folder / "model.yaml"


@pytest.mark.parametrize(
    ("said", "output", "method"),
    [
        ({"task": "count", "data": {"time": "when"}}, Regression(target="visits", count=True), "time"),
        (
            {"task": "quantile", "quantile": 0.8, "data": {"group": "shop"}},
            Regression(target="visits", quantile=0.8),
            "group",
        ),
    ],
)
def test_weights_and_splits_go_with_every_quantity(
    said: dict[str, Any], output: Regression, method: str, home: Path, tmp_path: Path
) -> None:
    loss = LOSS[output.task]
    gates = {"better_than_linear": False, "metrics": {loss: {"at_most": 100}}}
    trained = train(read_dataset(spec(tmp_path, gates=gates, **said)))
    evaluation = trained.evaluation
    assert (evaluation["task"], evaluation["split"]) == (output.task, method)
    figures = {model: metrics[loss]["value"] for model, metrics in evaluation["metrics"].items()}
    assert figures["model"] < 0.9 * figures["trivial"]
    assert figures["linear"] == pytest.approx(figures["model"], rel=0.1)
    assert evaluation["metrics"]["model"]["coverage"]["value"] == pytest.approx(0.9, abs=0.1)
    assert evaluation["importance"]["loss"] == loss
    assert {one["slice"] for one in evaluation["slices"] if one["named"]} >= {"colour = red", "colour missing"}
    assert [gate["passed"] for gate in evaluation["gates"]] == [True]
    saved = store.load(trained.tag)
    assert saved.contract.output == output
    schema = saved.contract.output.json_schema()["properties"]
    golden = [case.prediction for case in saved.golden()]
    assert min(each["lower"] for each in golden) >= schema["lower"].get("minimum", -np.inf)
    assert all(each["lower"] <= each["value"] <= each["upper"] for each in golden)
