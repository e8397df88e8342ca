"""Which files a path names, and which of their columns are not data."""

import os
from pathlib import Path

import pandas as pd
import polars as pl
import pytest

from model_deployer.contract.errors import DataError
from model_deployer.training.data.table import read_table
from model_deployer.training.spec import FeatureOverride
from tests.training.reading.files import read, spec

FRAME = pl.DataFrame({"x": [1, 2, 3], "y": ["a", "b", "a"]})


def partitioned(folder: Path) -> Path:
    """Write a table as Hive and Spark do."""
    for year, region in ((2023, "north"), (2024, "S%C3%BCd"), (2024, "__HIVE_DEFAULT_PARTITION__")):
        path = folder / f"year={year}" / f"region={region}"
        path.mkdir(parents=True)
        FRAME.write_parquet(path / "part-0.parquet")
        (path / ".part-0.parquet.crc").write_bytes(b"crc")
    (folder / "_SUCCESS").touch()
    return folder


@pytest.mark.parametrize("path", ["sales", "sales/", "sales/*/*/*.parquet", "sales/**/*.parquet"])
def test_the_names_of_folders_are_columns(tmp_path: Path, path: str) -> None:
    partitioned(tmp_path / "sales")
    table = read(tmp_path, path)
    assert table.frame.columns == ["x", "y", "year", "region"]
    assert table.frame["year"].to_list() == [2023] * 3 + [2024] * 6
    assert table.frame["region"].to_list() == ["north"] * 3 + ["Süd"] * 3 + [None] * 3
    assert table.notes == tuple(f"column '{name}' is read from the names of the folders" for name in ("year", "region"))


def test_folders_of_sampled_rows(tmp_path: Path) -> None:
    partitioned(tmp_path / "sales")
    table = read(tmp_path, "sales", rows_in_memory=5)
    assert table.frame.columns == ["x", "y", "year", "region"]
    assert table.frame["year"].dtype == pl.Int64
    assert table.chunks[1].read(["region", "y"]).to_dict(as_series=False) == {
        "region": ["Süd"] * 3,
        "y": ["a", "b", "a"],
    }


def test_the_values_of_folders_are_part_of_the_version(tmp_path: Path) -> None:
    partitioned(tmp_path / "sales")
    before = read(tmp_path, "sales").version
    (tmp_path / "sales" / "year=2023").rename(tmp_path / "sales" / "year=2022")
    assert read(tmp_path, "sales").version != before


def test_folders_that_differ_are_refused(tmp_path: Path) -> None:
    partitioned(tmp_path / "sales")
    FRAME.write_parquet(tmp_path / "sales" / "more.parquet")
    with pytest.raises(DataError, match="its folders of the form name=value differ"):
        read(tmp_path, "sales")


def test_a_folder_of_plain_files(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    for name in ("b.csv", "a.csv"):
        FRAME.with_columns(y=pl.lit(name)).write_csv(tmp_path / "data" / name)
    (tmp_path / "data" / "README.md").write_text("about")
    assert read(tmp_path, "data").frame["y"].to_list() == ["a.csv"] * 3 + ["b.csv"] * 3


def test_home_is_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    FRAME.write_csv(tmp_path / "t.csv")
    assert read(Path("elsewhere"), "~/t.csv").frame.equals(FRAME)


def test_pipes_and_devices_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    for path in ("pipe.csv", "/dev/zero"):
        with pytest.raises(DataError, match=r"data\.path: .* is a pipe, a socket or a device"):
            read(tmp_path, path)


def frame_with_index(name: str | None = None) -> "pd.DataFrame":
    """Return rows that were sampled from a larger frame, as pandas has them."""
    frame = pd.DataFrame({"x": [1.5, 2.5, 3.5], "y": ["a", "b", "a"]}, index=[17, 3, 8])
    frame.index.name = name
    return frame


def test_an_index_of_pandas_is_not_a_feature(tmp_path: Path) -> None:
    for name in (None, "customer"):
        frame_with_index(name).to_csv(tmp_path / "t.csv")
        columns = read(tmp_path, "t.csv").frame.columns
        assert columns == ["x", "y"] if name is None else ["customer", "x", "y"]
    pl.DataFrame({"Unnamed: 0": [0, 1, 2], "x": [1, 2, 3], "y": ["a", "b", "a"]}).write_csv(tmp_path / "t.csv")
    table = read(tmp_path, "t.csv")
    assert table.frame.columns == ["x", "y"]
    assert "column 'Unnamed: 0' is an index of pandas, not a feature: left out" in table.notes


@pytest.mark.parametrize(("name", "column"), [(None, "__index_level_0__"), ("customer", "customer")])
def test_an_index_that_a_parquet_file_records(tmp_path: Path, name: str | None, column: str) -> None:
    """An index that a Parquet file records is left out, unless model.yaml names it."""
    frame = pl.DataFrame({"x": [1.5, 2.5, 3.5], "y": ["a", "b", "a"], column: [17, 3, 8]})
    recorded = {"pandas": f'{{"index_columns": ["{column}"], "columns": []}}'}
    frame.write_parquet(tmp_path / "t.parquet", metadata=recorded)
    assert read(tmp_path, "t.parquet").frame.columns == ["x", "y"]
    assert read(tmp_path, "t.parquet", rows_in_memory=2).frame.columns == ["x", "y"]
    assert read(tmp_path, "t.parquet", group=column).frame.columns == ["x", "y", column]
    assert read(tmp_path, "t.parquet", ignore=[column]).frame.columns == ["x", "y"]
    stated = spec("t.parquet").model_copy(update={"features": {column: FeatureOverride()}})
    assert read_table(stated, tmp_path).frame.columns == ["x", "y", column]


def test_a_column_without_a_name_that_does_not_number_the_rows_is_kept(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(",y\n1,a\n1,b\n")
    assert read(tmp_path, "t.csv").frame.columns == ["", "y"]
