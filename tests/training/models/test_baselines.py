import numpy as np
import pytest
from sklearn.metrics import log_loss, r2_score

from model_deployer.training.models.baselines import fit_baselines
from model_deployer.training.preprocessing.sample import Sample
from tests.support.tables import classes_of, scores, spec, table, unfitted

FRAME, LATER = table(3000), table(1000, seed=1)


@pytest.mark.parametrize("classes", [2, 3])
def test_a_linear_classifier_is_better_than_the_frequencies(classes: int) -> None:
    model, train = unfitted(FRAME, classes_of(FRAME, classes), classes, spec())
    inputs, truth = model.blueprint.preprocessor.transform(LATER), classes_of(LATER, classes)
    baselines = fit_baselines(model, train)
    probabilities = {name: baseline.predict(inputs)["probabilities"] for name, baseline in baselines.items()}
    assert {array.shape for array in probabilities.values()} == {(1000, classes)}
    assert np.allclose(probabilities["trivial"], 1 / classes, atol=0.01)
    assert log_loss(truth, probabilities["linear"]) < 0.7 * log_loss(truth, probabilities["trivial"])


@pytest.mark.parametrize("logarithm", [False, True])
def test_a_linear_regression_is_better_than_the_mean(logarithm: bool) -> None:
    target, truth = scores(FRAME), scores(LATER)
    if logarithm:
        target, truth = np.exp(target), np.exp(truth)
    model, train = unfitted(FRAME, target, None, spec())
    inputs = model.blueprint.preprocessor.transform(LATER)
    baselines = fit_baselines(model, train)
    values = {name: baseline.predict(inputs)["value"] for name, baseline in baselines.items()}
    assert np.allclose(values["trivial"], target.mean())
    linear = values["linear"]
    assert r2_score(*((np.log(truth), np.log(linear)) if logarithm else (truth, linear))) > 0.6


def test_weights_count() -> None:
    model, train = unfitted(FRAME, classes_of(FRAME, 2), 2, spec())
    weighted = Sample(train.inputs, train.target, 1.0 + 2 * train.target)
    trivial = fit_baselines(model, weighted)["trivial"].predict(train.inputs)["probabilities"]
    assert np.allclose(trivial, [0.25, 0.75], atol=0.01)


@pytest.mark.parametrize("columns", [["size, in m²"], ["colour"], ["open"], ["when"], ["model_street"]])
@pytest.mark.parametrize("classes", [2, None])
def test_a_table_may_have_columns_of_one_kind_only(columns: list[str], classes: int | None) -> None:
    frame = FRAME.select(columns)
    target = scores(FRAME) if classes is None else classes_of(FRAME, classes)
    model, train = unfitted(frame, target, classes, spec())
    outputs = fit_baselines(model, train)["linear"].predict(train.inputs)
    assert all(np.isfinite(array).all() and len(array) == len(frame) for array in outputs.values())
