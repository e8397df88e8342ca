import gzip
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from model_deployer.contract.errors import DataError, SpecError
from model_deployer.training.data.features import conform, infer_features
from model_deployer.training.data.spec_draft import draft_spec
from model_deployer.training.data.table import read_table
from model_deployer.training.spec import Spec, read_spec

ROWS = 60
TRUTH = ["a", "b", "b"] * (ROWS // 3)


def drafted(frame: pl.DataFrame, folder: Path, target: str = "y", name: str = "t.parquet") -> tuple[str, Spec]:
    """Return the draft for a table, and the spec that is read from it."""
    frame.write_parquet(folder / name)
    text = draft_spec(target, folder, {"path": str(folder / name)}).text
    (folder / "model.yaml").write_text(text)
    return text, read_spec(folder / "model.yaml")


def test_a_draft_says_what_was_inferred(tmp_path: Path) -> None:
    columns = {
        "distance": np.arange(ROWS) % 7 / 2,
        "origin": ["JFK", None, "LGA"] * (ROWS // 3),
        "when": pl.datetime_range(pl.datetime(2013, 1, 1), pl.datetime(2013, 1, 1), eager=True).extend_constant(
            None, 59
        ),
        "key": [f"{number}" for number in range(ROWS)],
        "remark": [f"note number {number}" for number in range(ROWS)],
        "same": 1,
        "parts": [[1, 2]] * ROWS,
        "y": TRUTH,
    }
    text, spec = drafted(pl.DataFrame(columns), tmp_path, name="My Flights (2013).parquet")
    assert spec.name == "my-flights-2013"
    assert (spec.data.path, spec.data.target, spec.task) == ("My Flights (2013).parquet", "y", "classification")
    assert spec.data.ignore == ("key", "same", "parts")
    lines = text.splitlines()
    assert "#   distance: {}  # numeric, 0 to 3" in lines
    assert "#   origin: {}  # categorical, 2 categories, 33.3% missing" in lines
    assert "#   remark: {}  # text" in lines
    assert "  # time: when  # test on the latest rows, as in production" in lines
    assert "# positive: b" in lines
    assert max(map(len, lines)) <= 120


def test_every_comment_can_be_made_to_count(tmp_path: Path) -> None:
    when = pl.datetime_range(pl.datetime(2013, 1, 1), pl.datetime(2013, 3, 1), "1d", eager=True)
    frame = pl.DataFrame({"when": when, "x": range(60), "y": TRUTH}).with_columns(x=pl.col("x") // 3)
    text, _ = drafted(frame, tmp_path)
    sections = r"^( *)# (  |card:|cost:|estimator:|gates:|limits:|features:|positive:|time:)"
    (tmp_path / "all.yaml").write_text(re.sub(sections, r"\1\2", text, flags=re.MULTILINE))
    spec = read_spec(tmp_path / "all.yaml")
    assert set(spec.features) == {"when", "x"}
    assert (spec.data.time, spec.positive, spec.estimator.epochs) == ("when", "b", 50)


def test_the_path_is_relative_to_the_folder_of_the_draft(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    pl.DataFrame({"x": [1.5, 2.5], "y": [0.5, 1.5]}).write_csv(tmp_path / "data" / "t.csv")
    text = draft_spec("y", tmp_path, {"path": str(tmp_path / "data" / "t.csv")}).text
    assert yaml.safe_load(text)["data"]["path"] == "data/t.csv"
    assert yaml.safe_load(text)["task"] == "regression"


@pytest.mark.parametrize(
    ("values", "line"),
    [
        (range(60), "task: regression  # use `count` if the target is a number of events or items"),
        ([0, 1, 2] * 20, "task: classification  # 3 classes; use `count` if the target is a number of events or items"),
        ([0, 1] * 30, "task: classification  # 2 classes"),
        (range(-1, 59), "task: regression"),
        (range(1900, 1960), "task: regression"),
    ],
)
def test_a_count_is_suggested_where_integers_begin_at_nothing(values: Sequence[int], line: str, tmp_path: Path) -> None:
    text, _ = drafted(pl.DataFrame({"x": [0.5, 1.5] * 30, "y": values}), tmp_path)
    assert line in text.splitlines()


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    names=st.lists(
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="^"), min_size=1, max_size=12),
        min_size=2,
        max_size=4,
        unique=True,
    )
)
def test_a_draft_is_ready_whatever_the_columns_are_called(tmp_path: Path, names: list[str]) -> None:
    columns = {name: [number % (index + 3) for number in range(ROWS)] for index, name in enumerate(names[1:])}
    _, spec = drafted(pl.DataFrame({**columns, names[0]: TRUTH}), tmp_path, target=names[0])
    frame = read_table(spec, tmp_path).frame
    assert conform(frame, infer_features(frame, spec)).columns == names[1:]


@pytest.mark.parametrize(
    "name", ["*", "no", "1e3", "a: b", "# x", "'", '"', "a\nb", "é", "2013-01-01", "\u2028", "null"]
)
def test_names_that_yaml_would_take_for_something_else(tmp_path: Path, name: str) -> None:
    _, spec = drafted(pl.DataFrame({"x": TRUTH, name: [0.5, 1.5] * 30}), tmp_path, target=name)
    assert spec.data.target == name


def test_a_table_that_cannot_be_used(tmp_path: Path) -> None:
    pl.DataFrame({"x": [1, 2], "y": ["a", "a"]}).write_csv(tmp_path / "t.csv")
    with pytest.raises(DataError, match="has no column 'z'"):
        draft_spec("z", tmp_path, {"path": str(tmp_path / "t.csv")})
    with pytest.raises(DataError, match="the same value in every row"):
        draft_spec("y", tmp_path, {"path": str(tmp_path / "t.csv")})


def test_columns_without_a_usable_name_are_ignored(tmp_path: Path) -> None:
    columns = {name: [number % 7 for number in range(ROWS)] for name in ("", "x", "value")}
    _, spec = drafted(pl.DataFrame({**columns, "y": [1.5 * number for number in range(ROWS)]}), tmp_path)
    assert spec.data.ignore == ("", "value")
    _, spec = drafted(pl.DataFrame({**columns, "y": TRUTH}), tmp_path)
    assert spec.data.ignore == ("",)


def test_how_a_table_is_read_is_written_into_the_draft(tmp_path: Path) -> None:
    (tmp_path / "Sales 2024.csv.gz").write_bytes(gzip.compress(b"note\nx\ty\n" + b"1\ta\n2\tb\n" * 30))
    stated: dict[str, str | int] = {
        "path": str(tmp_path / "Sales 2024.csv.gz"),
        "delimiter": "tab",
        "header_row": 2,
        "footer_rows": 0,
    }
    draft = draft_spec("y", tmp_path, stated)
    (tmp_path / "model.yaml").write_text(draft.text)
    data = read_spec(tmp_path / "model.yaml").data
    assert (data.path, data.delimiter, data.header_row, data.footer_rows) == ("Sales 2024.csv.gz", "\t", 2, 0)
    assert "name: sales-2024\n" in draft.text
    assert draft.notes == ("read as CSV: tabs between values, UTF-8, header in row 2",)


def test_a_draft_for_a_query(tmp_path: Path) -> None:
    pl.DataFrame({"x": [0.5, 1.5] * 30, "y": TRUTH}).write_parquet(tmp_path / "t.parquet")
    query = "SELECT *\nFROM 't.parquet'  -- all"
    (tmp_path / "model.yaml").write_text(draft_spec("y", tmp_path, {"query": query}).text)
    spec = read_spec(tmp_path / "model.yaml")
    assert (spec.name, spec.data.path, spec.data.query) == ("model", None, query)


def test_keys_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"data\.delimiter: expected one character"):
        draft_spec("y", tmp_path, {"path": "t.csv", "delimiter": ", "})
