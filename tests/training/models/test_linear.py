import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression, PoissonRegressor, Ridge

from model_deployer.training.models.baselines import linear_model
from model_deployer.training.models.linear import Linear, _design
from tests.support.tables import classes_of, counts_of, scores, spec, table, unfitted

FRAME = table(1500)


@pytest.mark.parametrize("classes", [None, 2, 3])
def test_it_answers_as_scikit_learn_does(classes: int | None) -> None:
    target = scores(FRAME) if classes is None else classes_of(FRAME, classes)
    model, train = unfitted(FRAME, target, classes, spec())
    linear = linear_model(model, train)
    assert isinstance(linear.network, Linear)
    matrix = _design(model.scaling(train.inputs.numbers, train.inputs.codes), model.blueprint.cardinalities)
    transformed = model.transform_target(target)
    outputs = linear.predict(train.inputs)
    if classes is None:
        expected = Ridge().fit(matrix, transformed).predict(matrix) * target.std(ddof=1) + target.mean()
        assert np.allclose(outputs["value"][:, 0], expected, atol=1e-3)
    else:
        expected = LogisticRegression(max_iter=200, tol=1e-3).fit(matrix, transformed).predict_proba(matrix)
        assert np.allclose(outputs["probabilities"], expected, atol=1e-4)


def test_a_count_is_answered_as_scikit_learn_does() -> None:
    target = counts_of(FRAME)
    model, train = unfitted(FRAME, target, None, spec(task="count"))
    matrix = _design(model.scaling(train.inputs.numbers, train.inputs.codes), model.blueprint.cardinalities)
    expected = PoissonRegressor(alpha=1 / len(train), max_iter=200).fit(matrix, target / target.mean()).predict(matrix)
    values = linear_model(model, train).predict(train.inputs)["value"][:, 0]
    assert np.allclose(values, expected * target.mean(), rtol=1e-3)
    assert values.mean().item() == pytest.approx(target.mean(), rel=1e-2)


def test_it_leaves_the_model_that_it_shares_with_as_it_was() -> None:
    model, train = unfitted(FRAME, classes_of(FRAME, 2), 2, spec())
    before = {name: value.clone() for name, value in model.state_dict().items()}
    linear = linear_model(model, train)
    assert model.network is not linear.network
    assert model.head is not linear.head
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
