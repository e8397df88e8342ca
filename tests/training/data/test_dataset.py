import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from model_deployer.contract.errors import DataError
from model_deployer.training.data.dataset import Dataset, read_dataset


def test_a_table_is_read_divided_and_conformed(tmp_path: Path) -> None:
    pl.DataFrame({"x": range(100), "w": [1, 3] * 50, "y": ["a", "b"] * 50}).write_csv(tmp_path / "t.csv")
    (tmp_path / "model.yaml").write_text("name: m\ndata: {path: t.csv, target: y, weight: w}\n")
    dataset = read_dataset(tmp_path / "model.yaml")
    assert [feature.name for feature in dataset.features] == ["x"]
    assert dataset.frame.schema == {"x": pl.Float64}
    assert sum(len(rows) for rows in vars(dataset.parts).values()) == dataset.frame.height == 100
    assert dataset.weights == pytest.approx([0.5, 1.5] * 50)


def read(folder: Path, frame: pl.DataFrame, keys: str, data_keys: str = "") -> Dataset:
    frame.write_parquet(folder / "t.parquet")
    (folder / "model.yaml").write_text(f"name: m\ndata: {{path: t.parquet, target: y{data_keys}}}\n{keys}\n")
    return read_dataset(folder / "model.yaml")


SLICED = pl.DataFrame(
    {
        "x": [float(row % 7) for row in range(100)],
        "region": [1, 2, 3, 3] * 25,
        "who": [f"w{row // 10}" for row in range(100)],
        "when": range(100),
        "day": pl.date_range(pl.date(2020, 1, 1), pl.date(2020, 4, 9), eager=True),
        "same": ["s"] * 100,
        "empty": pl.Series([None] * 100, dtype=pl.Null),
        "y": ["a", "b"] * 50,
    }
)


def test_slices_may_be_made_of_columns_that_are_not_learnt_from(tmp_path: Path) -> None:
    columns = ["region", "x", "who", "day", "same", "empty", "y", "when"]
    dataset = read(
        tmp_path, SLICED, f"slices: [{', '.join(columns)}]", ", ignore: [region, day], time: when, group: who"
    )
    assert [feature.name for feature in dataset.features] == ["x"]
    assert dataset.frame.columns == ["x"]
    assert [feature.name for feature in dataset.slices] == columns
    kinds = {feature.name: feature.kind for feature in dataset.slices}
    assert (kinds["region"], kinds["day"], kinds["when"], kinds["empty"]) == (
        "categorical", "datetime", "integer", "categorical"
    )  # fmt: skip
    assert dataset.slice_only.columns == [name for name in columns if name != "x"]
    assert dataset.slice_only["region"].to_list()[:4] == ["1", "2", "3", "3"]
    assert dataset.slice_only["empty"].to_list() == [""] * 100
    assert dataset.slice_only.height == dataset.frame.height


def test_a_column_that_no_slice_can_be_made_of_is_named(tmp_path: Path) -> None:
    frame = SLICED.with_columns(many=pl.Series([[1, 2]] * 100))
    with pytest.raises(DataError, match=r"model\.yaml:3: slices\[0\]: 'many' holds List.* cannot be divided"):
        read(tmp_path, frame, "slices: [many]", ", ignore: [many, empty]")


def test_what_is_wrong_is_said_before_torch_is_loaded() -> None:
    program = "import sys, model_deployer.training.data.dataset; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
