import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn.linear_model import QuantileRegressor
from sklearn.metrics import mean_pinball_loss

from model_deployer.training.models.linear_quantile import LinearQuantile

ROWS = 2000


def table(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Three numbers and five one-hot levels, and a target whose scatter grows with one of them."""
    random = np.random.default_rng(seed)
    numbers = random.normal(size=(ROWS, 3))
    matrix = np.hstack([numbers, np.eye(5)[random.integers(0, 5, ROWS)]])
    target = matrix @ np.linspace(-0.5, 0.5, 8) + random.normal(size=ROWS) * np.exp(numbers[:, 0] / 2) / 2
    return matrix, target


@pytest.mark.parametrize("quantile", [0.02, 0.5, 0.9])
def test_it_is_as_good_as_the_linear_program(quantile: float) -> None:
    matrix, target = table()
    exact = QuantileRegressor(quantile=quantile, alpha=0).fit(matrix, target)
    found = LinearQuantile(quantile, alpha=1e-9).fit(csr_matrix(matrix), target)
    answers = matrix @ found.coef_ + found.intercept_
    losses = [mean_pinball_loss(target, each, alpha=quantile) for each in (exact.predict(matrix), answers)]
    assert losses[0] <= losses[1] * (1 + 1e-9)
    assert losses[1] == pytest.approx(losses[0], rel=5e-3)
    # The intercept is one of the residuals, so that one row lies on the line, on either side of it by rounding.
    rounding = 1e-9
    assert np.mean(target < answers - rounding) <= quantile <= np.mean(target <= answers + rounding)


def test_a_row_of_weight_two_counts_as_two_rows() -> None:
    matrix, target = table()
    weights = np.random.default_rng(1).integers(0, 3, ROWS)
    repeated = np.repeat(np.arange(ROWS), weights)
    one = LinearQuantile(0.7, alpha=1e-3).fit(csr_matrix(matrix), target, weights.astype(float))
    two = LinearQuantile(0.7, alpha=1e-3).fit(csr_matrix(matrix[repeated]), target[repeated])
    assert one.coef_ == pytest.approx(two.coef_, abs=5e-3)
    assert one.intercept_ == pytest.approx(two.intercept_, abs=2e-2)


def test_columns_that_agree_or_say_nothing_share_finite_weights() -> None:
    matrix, target = table()
    twice = np.hstack([matrix, matrix[:, :1] + 1e-9, np.zeros((ROWS, 1)), np.ones((ROWS, 1))])
    found = LinearQuantile(0.5, alpha=1 / ROWS).fit(csr_matrix(twice), target)
    assert np.abs(found.coef_).max() < 2
    assert found.coef_[0] == pytest.approx(found.coef_[8], abs=1e-3)
