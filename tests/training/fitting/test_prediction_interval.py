import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from model_deployer.training.fitting.prediction_interval import fit_interval
from model_deployer.training.models.baselines import linear_model
from model_deployer.training.models.heads import QuantileHead, RegressionHead
from model_deployer.training.preprocessing.sample import Sample
from tests.support.tables import classes_of, counts_of, scores, spec, table, unfitted


@pytest.mark.parametrize("logarithm", [False, True])
def test_the_interval_covers_new_rows_as_often_as_promised(logarithm: bool) -> None:
    frame = table(9000)
    target = np.exp(scores(frame)) if logarithm else scores(frame)
    model, train = unfitted(frame, target, None, spec())
    assert model.blueprint.logarithm is logarithm
    known, new = train.take(np.arange(1000)), train.take(np.arange(1000, 9000))
    fit_interval(model, known, 0.8)
    lower, value, upper = (model.predict(new.inputs)[name][:, 0].numpy() for name in ("lower", "value", "upper"))
    assert ((lower < value) & (value < upper)).all()
    assert np.mean((lower <= new.target) & (new.target <= upper)) == pytest.approx(0.8, abs=0.04)


def test_count_interval_grows_and_covers_as_promised() -> None:
    """The interval of a count grows with its rate, and covers as many rows as promised."""
    frame = table(9000)
    model, train = unfitted(frame, counts_of(frame), None, spec(task="count"))
    model = linear_model(model, train)
    known, new = train.take(np.arange(3000)), train.take(np.arange(3000, 9000))
    fit_interval(model, known, 0.9)
    lower, value, upper = (model.predict(new.inputs)[name][:, 0].numpy() for name in ("lower", "value", "upper"))
    assert np.mean((lower <= new.target) & (new.target <= upper)) == pytest.approx(0.9, abs=0.015)
    assert np.corrcoef(value, upper - lower)[0, 1] > 0.8
    assert lower.min() == 0


@pytest.mark.parametrize("quantile", [0.1, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("logarithm", [False, True])
def test_quantile_and_interval_hold_on_new_rows(quantile: float, logarithm: bool) -> None:
    """A quantile and its interval keep their promises on new rows."""
    frame = table(13_000)
    target = np.exp(scores(frame)) if logarithm else scores(frame)
    model, train = unfitted(frame, target, None, spec(task="quantile", quantile=quantile))
    assert model.blueprint.logarithm is logarithm
    known, new = train.take(np.arange(5000)), train.take(np.arange(5000, 13_000))
    fit_interval(model, known, 0.9)
    lower, value, upper = (model.predict(new.inputs)[name][:, 0].numpy() for name in ("lower", "value", "upper"))
    assert np.mean(new.target <= value) == pytest.approx(quantile, abs=0.015)
    assert np.mean((lower <= new.target) & (new.target <= upper)) == pytest.approx(0.9, abs=0.015)
    assert ((lower < value) & (value <= upper)).all()


@given(
    st.lists(st.tuples(st.floats(-1e6, 1e6), st.integers(1, 3)), min_size=1, max_size=30),
    st.sampled_from([0.01, 0.05, 0.5, 0.9, 0.95, 0.99]) | st.floats(1e-9, 1 - 1e-9),
    st.floats(0.01, 0.99),
)
def test_quantile_is_within_its_interval(rows: list[tuple[float, int]], quantile: float, coverage: float) -> None:
    """However few the rows, the quantile lies within its interval."""
    head = QuantileHead(logarithm=False, quantile=quantile)
    target, weights = (torch.tensor(values, dtype=torch.float64) for values in zip(*rows, strict=True))
    head.fit_interval(torch.zeros(len(target), 1), target, weights, coverage)
    value, lower, upper = (tensor.item() for tensor in head(torch.zeros(1, 1)))
    assert lower <= value <= upper
    assert value in target.float()
    assert weights[target.float() <= value].sum() >= quantile * weights.sum() - 1e-9


def test_the_half_width_is_the_residual_of_the_right_rank() -> None:
    frame = table(200)
    model, train = unfitted(frame, scores(frame), None, spec())
    head = model.head
    assert isinstance(head, RegressionHead)
    nine_rows = train.take(np.arange(9))
    residuals = np.sort(np.abs(model.predict(nine_rows.inputs)["value"][:, 0].numpy() - nine_rows.target))
    deviation = head.deviation.item()
    for coverage, rank in ((0.5, 5), (0.8, 8), (0.9, 9), (0.99, 9)):
        fit_interval(model, nine_rows, coverage)
        assert head.below.item() * deviation == pytest.approx(residuals[rank - 1], rel=1e-4)
        assert head.above == head.below


def test_rows_count_by_their_weight() -> None:
    frame = table(9000)
    target = scores(frame)
    model, train = unfitted(frame, target, None, spec())
    weights = np.where(np.abs(target - target.mean()) > target.std(), 9.0, 1.0)
    weighted = Sample(train.inputs, target, weights)
    known, new = weighted.take(np.arange(1000)), weighted.take(np.arange(1000, 9000))
    fit_interval(model, known, 0.8)
    lower, upper = (model.predict(new.inputs)[name][:, 0].numpy() for name in ("lower", "upper"))
    is_covered = (lower <= new.target) & (new.target <= upper)
    assert np.average(is_covered, weights=new.weights) == pytest.approx(0.8, abs=0.04)
    assert is_covered.mean() > 0.85


def test_a_classification_has_no_interval() -> None:
    frame = table(200)
    model, train = unfitted(frame, classes_of(frame, 2), 2, spec())
    with pytest.raises(TypeError, match="only a quantity"):
        fit_interval(model, train, 0.9)
