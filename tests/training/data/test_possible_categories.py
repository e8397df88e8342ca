"""The values of a table and of model.yaml that may be categories of a model."""

from pathlib import Path
from typing import Any

import polars as pl

from model_deployer.training.data.possible_categories import possible_categories
from model_deployer.training.spec import Spec

TABLE = pl.DataFrame(
    {
        "city": ["Ulm", None, "Bonn", "Ulm"],
        "plan": [1, 2, 2, None],
        "code": [7.0, None, 3.0, 7.0],
        "income": [1.5, 2.0, None, 4.0],
        "is_new": [True, False, None, True],
        "bought": [0, 1, 1, 0],
    }
)


def specification(data: dict[str, Any], **features: Any) -> Spec:
    return Spec.model_validate({"name": "m", "data": data, "adopt": {"source": "m.cbm"}, "features": features})


def test_texts_whole_numbers_and_stated_categories_count(tmp_path: Path) -> None:
    TABLE.write_csv(tmp_path / "t.csv")
    stated = {"kind": "categorical", "categories": ["Trier", "Ulm"]}
    texts = possible_categories(specification({"path": "t.csv", "target": "bought"}, city=stated), tmp_path)
    assert texts["city"] == ["Trier", "Ulm", "Ulm", "Bonn"]
    assert (texts["plan"], texts["code"]) == (["1", "2"], ["7", "3"])
    assert texts["is_new"] == ["true", "false"]
    assert "income" not in texts


def test_a_model_without_a_table_has_the_stated_categories(tmp_path: Path) -> None:
    spec = specification({"target": "bought"}, city={"kind": "categorical", "categories": ["Ulm"]})
    assert possible_categories(spec, tmp_path) == {"city": ["Ulm"]}
