"""Findings about a table that evaluates a model that was trained elsewhere."""

import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from model_deployer.adoption.interface import Interface, SourceField
from model_deployer.contract.evaluation import Finding
from model_deployer.training.data.dataset import read_dataset, read_evaluation_data

ROWS = 400


@pytest.fixture
def model_yaml(tmp_path: Path) -> Path:
    """A table with a constant, an identifier, a leak, repeated customers, and rows that occur twice."""
    random = np.random.default_rng(0)
    late = random.integers(0, 2, ROWS // 2)
    half = pl.DataFrame(
        {
            "x": random.normal(size=ROWS // 2),
            "constant": 1,
            "row": [f"r{number}" for number in range(ROWS // 2)],
            "leak": 2.0 * late + 1,
            "customer_id": np.arange(ROWS // 2) % 40,
            "y": np.where(late == 1, "late", "on time"),
        }
    )
    pl.concat([half, half.with_columns(row=pl.lit("z") + pl.col("row"))]).write_parquet(tmp_path / "t.parquet")
    path = tmp_path / "model.yaml"
    path.write_text("name: m\ndata: {path: t.parquet, target: y}\nadopt: {source: m.pkl}\nsplit: {method: random}\n")
    return path


def test_findings_name_consequences_for_a_model_that_is_trained_already(model_yaml: Path) -> None:
    numbers = (SourceField(name, "number") for name in ("x", "constant", "leak", "customer_id"))
    interface = Interface((*numbers, SourceField("row", "text")), ("late", "on time"))
    by_code = {finding.code: finding for finding in read_evaluation_data(model_yaml, interface).findings}
    texts = " ".join(finding.message for finding in by_code.values())
    assert not re.search(r"training|left out|data\.ignore|data\.group", texts)
    assert {"constant_column", "identifier_column", "leakage"} <= set(by_code)
    constant = "has a single value in the reference rows; no figure covers another value"
    assert by_code["constant_column"].message == constant
    assert by_code["leakage"].message.endswith("make sure that it is known at the time of prediction")


def test_findings_of_a_training_stay_as_they_are(model_yaml: Path) -> None:
    model_yaml.write_text(model_yaml.read_text().replace("adopt: {source: m.pkl}\n", ""))
    findings: list[Finding] = read_dataset(model_yaml).findings
    assert any("data.ignore" in finding.message for finding in findings)
    assert any("left out" in finding.message for finding in findings)
