"""Columns of text in tables: how model.yaml states their forms, and what a training run says and asks."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from model_deployer.contract.errors import DataError, SpecError
from model_deployer.contract.features import Datetime, Integer, Numeric
from model_deployer.training.data.dataset import read_dataset
from model_deployer.training.data.features import infer_features
from model_deployer.training.data.spec_draft import draft_spec
from model_deployer.training.data.table import read_table
from model_deployer.training.data.target import read_target
from model_deployer.training.data.values import apply_formats, describe, raise_questions
from model_deployer.training.spec import Spec, read_spec

ROWS = 60
US_DATES = [f"{index % 12 + 1:02}/{index % 11 + 1:02}/2023" for index in range(ROWS)]
PRICES = [f"$1,{index:03}.50" for index in range(ROWS)]
TRUTH = ["no", "yes", "yes"] * (ROWS // 3)


def spec_of(columns: dict[str, Any], folder: Path, data: dict[str, Any] | None = None, **keys: Any) -> Spec:
    pl.DataFrame(columns).write_csv(folder / "t.csv")
    return Spec.model_validate({"name": "m", "data": {"path": "t.csv", "target": "y"} | (data or {}), **keys})


def test_an_ambiguous_date_ends_the_run_with_both_readings(tmp_path: Path) -> None:
    spec = spec_of({"sold": US_DATES, "y": TRUTH}, tmp_path)
    with pytest.raises(DataError) as error:
        raise_questions(read_table(spec, tmp_path).values.questions)
    assert str(error.value) == (
        "column 'sold': its dates can be read in more than one way, as `%d/%m/%Y` or as `%m/%d/%Y`; say which under "
        '`data.formats`: `sold: "%d/%m/%Y"` or `sold: "%m/%d/%Y"`'
    )


@pytest.mark.parametrize(("form", "month"), [("%m/%d/%Y", 2), ("%d/%m/%Y", 2)])
def test_a_stated_form_is_used(tmp_path: Path, form: str, month: int) -> None:
    spec = spec_of({"sold": US_DATES, "y": TRUTH}, tmp_path, {"formats": {"sold": form}})
    values = read_table(spec, tmp_path).values
    assert not values.questions
    second = values.frame["sold"][1]
    assert (second.month, second.day) == (month, 2)
    assert values.frame["sold"][14] == (pl.Series([US_DATES[14]]).str.to_datetime(form)[0])


def test_a_value_in_another_form_is_named_by_its_row(tmp_path: Path) -> None:
    dates = [*US_DATES[:20], "2023-01-01", *US_DATES[21:]]
    spec = spec_of({"sold": dates, "y": TRUTH}, tmp_path, {"formats": {"sold": "%m/%d/%Y"}})
    with pytest.raises(DataError, match=r"data.formats.sold: 'sold', row 21: the value does not have the form"):
        read_table(spec, tmp_path)
    marked = spec_of({"sold": dates, "y": TRUTH}, tmp_path, {"formats": spec.data.formats, "missing": ["2023-01-01"]})
    assert read_table(marked, tmp_path).frame["sold"].null_count() == 1


@pytest.mark.parametrize("task", ["regression", "count", "quantile"])
def test_a_quantity_of_few_values_is_read_by_its_form(tmp_path: Path, task: str) -> None:
    columns = {"x": range(ROWS), "y": [f"{1 + index % 3}.000,00 €" for index in range(ROWS)]}
    frame = read_table(spec_of(columns, tmp_path, task=task), tmp_path).frame
    assert frame["y"].unique().sort().to_list() == [1000, 2000, 3000]
    labels = read_table(spec_of(columns, tmp_path), tmp_path).frame["y"]
    assert labels.dtype == pl.String


def test_the_contract_has_the_form_and_the_unit(tmp_path: Path) -> None:
    columns = {"sold": US_DATES, "price": PRICES, "share": [f"{index}%" for index in range(ROWS)], "y": TRUTH}
    spec = spec_of(columns, tmp_path, {"formats": {"sold": "%m/%d/%Y"}})
    values = read_table(spec, tmp_path).values
    assert describe(values) == ["sold: read as `%m/%d/%Y`", "price: read as `$1,234.5`", "share: read as `1234.5%`"]
    sold, price, share = infer_features(values.frame, spec.with_formats(values.formats))
    assert isinstance(sold, Datetime) and sold.format == "%m/%d/%Y"
    assert isinstance(price, Numeric) and (price.format, price.unit, price.maximum) == ("$1,234.5", "$", 1059.5)
    assert isinstance(share, Integer) and (share.format, share.unit, share.maximum) == ("1234.5%", "%", ROWS - 1)
    assert price.consequences()[0] == "Text in the form $1,234.5 of the table is accepted, too."


def test_a_column_that_is_declared_as_text_stays_text(tmp_path: Path) -> None:
    columns = {"sold": US_DATES, "price": PRICES, "y": TRUTH}
    features = {"sold": {"kind": "categorical"}, "price": {"kind": "text"}}
    values = read_table(spec_of(columns, tmp_path, features=features), tmp_path).values
    assert (values.formats, values.questions) == ({}, ())
    assert values.frame["price"].to_list() == PRICES


@pytest.mark.parametrize(
    ("target", "labels"),
    [
        ([f"{index % 50 + 0.5}%" for index in range(ROWS)], None),
        (["36 months", "60 months"] * 30, ("36 months", "60 months")),
        (["Yes", "No"] * 30, ("No", "Yes")),
        (np.array([0.0, 1.0] * 30), ("0", "1")),
        (np.array([0.0, 1.0, 2.0] * 20), ("0", "1", "2")),
        (np.array([0.0, 1.5] * 30), None),
    ],
)
def test_targets(tmp_path: Path, target: Any, labels: tuple[str, ...] | None) -> None:
    spec = spec_of({"x": range(ROWS), "y": target}, tmp_path)
    assert read_target(read_table(spec, tmp_path).frame, spec).labels == labels


def test_text_of_files_with_types_is_read_by_forms_only(tmp_path: Path) -> None:
    columns = {"code": [str(index) for index in range(ROWS)], "price": PRICES, "y": TRUTH}
    pl.DataFrame(columns).write_parquet(tmp_path / "t.parquet")
    spec = Spec.model_validate({"name": "m", "data": {"path": "t.parquet", "target": "y"}})
    frame = read_table(spec, tmp_path).frame
    assert [str(dtype) for dtype in frame.dtypes[:2]] == ["String", "Float64"]


def test_rows_beyond_memory_are_read_by_the_same_forms(tmp_path: Path) -> None:
    spec = spec_of({"y": TRUTH}, tmp_path, {"formats": {"price": "$1,234.5", "other": "yes/no"}})
    frame = apply_formats(pl.DataFrame({"price": ["$1,000", "n/a", None]}), spec, 100)
    assert frame["price"].to_list() == [1000, None, None]
    with pytest.raises(DataError, match="'price', row 102"):
        apply_formats(pl.DataFrame({"price": ["$1,000", "a lot"]}), spec, 100)


def test_a_form_that_is_none_is_an_error_of_model_yaml(tmp_path: Path) -> None:
    text = "name: m\ndata:\n  path: t.csv\n  target: y\n  formats:\n    sold: day first\n"
    (tmp_path / "model.yaml").write_text(text)
    with pytest.raises(SpecError, match=r"model.yaml:\d: data.formats: 'sold': expected the number 1234.5"):
        read_spec(tmp_path / "model.yaml")


def test_a_draft_has_the_forms_and_the_questions_of_a_run(tmp_path: Path) -> None:
    lab = [f"{index / 7:.2f}" for index in range(ROWS)]
    columns = {"sold": US_DATES, "price": PRICES, "lab": ["<0.5", *lab[1:]], "x": np.arange(ROWS) % 7, "y": TRUTH}
    pl.DataFrame(columns).write_csv(tmp_path / "t.csv")
    draft = draft_spec("y", tmp_path, {"path": str(tmp_path / "t.csv")})
    assert draft.notes[1:] == ("price: read as `$1,234.5`",)
    assert [question.column for question in draft.questions] == ["sold", "lab"]
    (tmp_path / "model.yaml").write_text(draft.text)
    with pytest.raises(DataError) as error:
        read_dataset(tmp_path / "model.yaml")
    assert str(error.value) == "\n".join(question.message() for question in draft.questions)
    answered = draft.text.replace("sold:  # name one: '%d/%m/%Y' or '%m/%d/%Y'", 'sold: "%m/%d/%Y"')
    answered = answered.replace("  target: y\n", "  target: y\n  missing: ['<0.5']\n")
    (tmp_path / "model.yaml").write_text(answered)
    dataset = read_dataset(tmp_path / "model.yaml")
    assert {feature.name: feature.kind for feature in dataset.features} == {
        "sold": "datetime", "price": "numeric", "lab": "numeric", "x": "integer",
    }  # fmt: skip
