"""Probe rows of a trained model: its thresholds and categories are among them, and its export agrees on them."""

import pytest

from model_deployer.contract.features import Boolean
from model_deployer.training.export.export import TOLERANCE, check_parity, export_onnx
from model_deployer.training.export.probe_rows import critical_values, probe_rows
from model_deployer.training.fitting.candidates import choose_model
from model_deployer.training.models.model import Model
from tests.support.tables import FEATURES, classes_of, spec, table, unfitted


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory) -> Model:
    frame = table(1500)
    model, sample = unfitted(frame, classes_of(frame, 2), 2, spec(name="lightgbm"))
    return choose_model(model, sample, sample, spec(name="lightgbm"), tmp_path_factory.mktemp("fit")).model


def test_thresholds_of_trees_are_values_of_raw_fields(trees: Model) -> None:
    size = critical_values(trees)["size, in m²"]
    present = table(1500)["size, in m²"].drop_nans().to_list()
    inside = [value for value in size if isinstance(value, float) and min(present) < value < max(present)]
    assert len(inside) > 10


def test_rows_are_those_that_a_client_may_send(trees: Model) -> None:
    """A boolean is true, false or missing: a network looks up its code, and has none for other numbers."""
    rows = probe_rows(trees, FEATURES, table(1500), 0)
    booleans = [feature.name for feature in FEATURES if isinstance(feature, Boolean)]
    assert booleans
    for name in booleans:
        assert set(rows[name].drop_nans().to_list()) == {0.0, 1.0}


def test_the_export_agrees_on_every_probe_row(trees: Model) -> None:
    rows = probe_rows(trees, FEATURES, table(1500), 0)
    assert {"", "a category never seen"} <= set(rows["colour"].to_list())
    assert check_parity(export_onnx(trees, FEATURES), trees, rows) <= TOLERANCE
