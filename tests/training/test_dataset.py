import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from training.dataset import read_dataset


def test_a_table_is_read_divided_and_conformed(tmp_path: Path) -> None:
    pl.DataFrame({"x": range(100), "w": [1, 3] * 50, "y": ["a", "b"] * 50}).write_csv(tmp_path / "t.csv")
    (tmp_path / "model.yaml").write_text("name: m\ndata: {path: t.csv, target: y, weight: w}\n")
    dataset = read_dataset(tmp_path / "model.yaml")
    assert [feature.name for feature in dataset.features] == ["x"]
    assert dataset.frame.schema == {"x": pl.Float64}
    assert sum(len(rows) for rows in vars(dataset.parts).values()) == dataset.frame.height == 100
    assert dataset.weights == pytest.approx([0.5, 1.5] * 50)


def test_what_is_wrong_is_said_before_torch_is_loaded() -> None:
    loaded = "import sys, training.dataset; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", loaded], check=False).returncode == 0
