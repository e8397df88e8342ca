"""Renamed columns, chosen rows, and rows without a target."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from model_deployer.contract.errors import DataError, SpecError
from model_deployer.training.data.table import Table, read_table
from model_deployer.training.spec import Spec

FRAME = pl.DataFrame(
    {
        "price": [1.5, 2.5, None, 4.0, 5.0],
        "state": ["NY", "NJ", "NY", None, "CA"],
        "sold": ["31/12/2023", "01/01/2024", "02/01/2024", "03/01/2024", "04/01/2024"],
        "value": ["no", "yes", "yes", "no", None],
    }
)


def read(folder: Path, **data: Any) -> Table:
    FRAME.write_csv(folder / "t.csv")
    target = "outcome" if data.get("rename") else "value"
    spec = Spec.model_validate({"name": "m", "data": {"path": "t.csv", "target": target, **data}})
    return read_table(spec, folder)


def test_columns_have_new_names_everywhere(tmp_path: Path) -> None:
    table = read(
        tmp_path, rename={"value": "outcome", "state": "odd name"}, where="`odd name` == 'NY'", ignore=["price"]
    )
    assert table.frame.columns == ["odd name", "sold", "outcome"]


@pytest.mark.parametrize(
    ("where", "rows"),
    [
        ("price > 2", [1, 3, 4]),
        ("not price > 2", [0, 2]),
        ("is_missing(price)", [2]),
        ("state in ('NY', 'NJ')", [0, 1, 2]),
        ("state != 'NY' and price < 5", [1, 3]),
        ("sold >= '2024-01-02'", [2, 3, 4]),
        ("year(sold) == 2023", [0]),
    ],
)
def test_a_condition_chooses_rows(tmp_path: Path, where: str, rows: list[int]) -> None:
    assert read(tmp_path, where=where).frame["value"].to_list() == FRAME["value"].gather(rows).to_list()


def test_rows_without_a_target_can_be_left_out(tmp_path: Path) -> None:
    assert read(tmp_path, drop_missing_target=True).frame.height == 4


def test_the_version_is_that_of_the_shaped_table(tmp_path: Path) -> None:
    versions = {
        read(tmp_path, **data).version
        for data in (
            {},
            {"where": "price > 2"},
            {"where": "price > 3"},
            {"drop_missing_target": True},
            {"ignore": ["sold"]},
        )
    }
    assert len(versions) == 4  # what is ignored is in the file, too


@pytest.mark.parametrize(
    ("data", "error", "complaint"),
    [
        ({"where": "price > 100"}, DataError, "none of the 5 rows"),
        ({"where": "price + 1"}, SpecError, "data.where: expected a condition"),
        ({"where": "cost > 1"}, SpecError, "data.where: 'cost' is not a feature"),
        ({"where": "price > mean(price, by=state)"}, SpecError, "expected a condition"),
        ({"rename": {"price": "state", "value": "outcome"}}, SpecError, "two columns would be called 'state'"),
        ({"rename": {"prise": "x", "value": "outcome"}}, SpecError, "no column 'prise'; did you mean 'price'"),
    ],
)
def test_what_cannot_be_shaped_is_an_error(
    tmp_path: Path, data: dict[str, Any], error: type[Exception], complaint: str
) -> None:
    with pytest.raises(error, match=complaint):
        read(tmp_path, **data)
