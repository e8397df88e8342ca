from pathlib import Path

import pytest
import torch

from model_deployer.contract.artifact import ARCHITECTURE, ESTIMATOR, WEIGHTS
from model_deployer.contract.errors import ArtifactError
from model_deployer.training.fitting.candidates import choose_model
from model_deployer.training.fitting.prediction_interval import fit_interval
from model_deployer.training.models.model import CHUNK, NUMBERS, load_model, rows_at_once, save_model
from model_deployer.training.preprocessing.sample import Sample
from model_deployer.training.spec import Spec
from tests.support.tables import classes_of, counts_of, scores, spec, table, unfitted

FRAME = table(1200)


@pytest.mark.parametrize("classes", [None, 2])
def test_two_files_without_code_bring_the_model_back(classes: int | None, tmp_path: Path) -> None:
    model, train = unfitted(FRAME, scores(FRAME) if classes is None else classes_of(FRAME, classes), classes, spec())
    save_model(model, tmp_path)
    again = load_model(tmp_path)
    assert again.blueprint == model.blueprint
    expected = model.predict(train.inputs)
    assert all(torch.equal(value, expected[name]) for name, value in again.predict(train.inputs).items())
    first = [(tmp_path / name).read_bytes() for name in (ARCHITECTURE, WEIGHTS)]
    save_model(again, tmp_path)
    assert first == [(tmp_path / name).read_bytes() for name in (ARCHITECTURE, WEIGHTS)]


@pytest.mark.parametrize("options", [spec(task="count"), spec(task="quantile", quantile=0.9)])
def test_a_head_comes_back_with_its_promise(options: Spec, tmp_path: Path) -> None:
    model, train = unfitted(FRAME, counts_of(FRAME), None, options)
    fit_interval(model, train, 0.9)
    save_model(model, tmp_path)
    again, expected = load_model(tmp_path), model.predict(train.inputs)
    assert type(again.head) is type(model.head)
    assert all(torch.equal(value, expected[name]) for name, value in again.predict(train.inputs).items())


def test_files_that_do_not_fit_together_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="does not hold a model that can be rebuilt"):
        load_model(tmp_path)
    save_model(unfitted(FRAME, scores(FRAME), None, spec())[0], tmp_path)
    weights = (tmp_path / WEIGHTS).read_bytes()
    save_model(unfitted(FRAME, scores(FRAME), None, spec(width=8))[0], tmp_path)
    (tmp_path / WEIGHTS).write_bytes(weights)
    with pytest.raises(ArtifactError, match="does not hold a model that can be rebuilt"):
        load_model(tmp_path)
    (tmp_path / WEIGHTS).write_bytes(weights[:100])
    with pytest.raises(ArtifactError, match="does not hold a model that can be rebuilt"):
        load_model(tmp_path)


def test_many_rows_are_answered_as_a_few_are() -> None:
    model, train = unfitted(FRAME, scores(FRAME), None, spec())
    many = train.take(torch.arange(CHUNK + 500).remainder(len(train)).numpy())
    assert torch.allclose(model.predict(many.inputs)["value"][:1200], model.predict(train.inputs)["value"], rtol=1e-5)


def test_trees_come_back_too(tmp_path: Path) -> None:
    later = table(500, seed=1)
    options = spec(name="lightgbm")
    model, train = unfitted(FRAME, classes_of(FRAME, 3), 3, options)
    validation = Sample(model.blueprint.preprocessor.transform(later), classes_of(later, 3))
    model = choose_model(model, train, validation, options, tmp_path / "run").model
    save_model(model, tmp_path)
    again = load_model(tmp_path)
    assert torch.equal(again.predict(train.inputs)["probabilities"], model.predict(train.inputs)["probabilities"])
    (tmp_path / ESTIMATOR).unlink()
    with pytest.raises(ArtifactError, match="does not hold a model that can be rebuilt"):
        load_model(tmp_path)


@pytest.mark.parametrize("columns", [0, 1, 26, 1000, 10**6])
def test_a_wide_table_takes_no_more_memory_than_a_narrow_one(columns: int) -> None:
    rows = rows_at_once(columns)
    assert 1 <= rows <= CHUNK
    assert rows == 1 or rows * columns <= NUMBERS
