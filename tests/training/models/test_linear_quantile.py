import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn.linear_model import QuantileRegressor
from sklearn.metrics import mean_pinball_loss

from model_deployer.training.models.linear_quantile import LinearQuantile

ROWS = 2000


def table(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return three numbers and five one-hot levels [rows, 8], and a target [rows] with a variable variance."""
    random = np.random.default_rng(seed)
    numbers = random.normal(size=(ROWS, 3))
    matrix = np.hstack([numbers, np.eye(5)[random.integers(0, 5, ROWS)]])
    target = matrix @ np.linspace(-0.5, 0.5, 8) + random.normal(size=ROWS) * np.exp(numbers[:, 0] / 2) / 2
    return matrix, target


@pytest.mark.parametrize("quantile", [0.02, 0.5, 0.9])
def test_it_is_as_good_as_the_linear_program(quantile: float) -> None:
    matrix, target = table()
    exact = QuantileRegressor(quantile=quantile, alpha=0).fit(matrix, target)
    smooth = LinearQuantile(quantile, alpha=1e-9).fit(csr_matrix(matrix), target)
    predictions = matrix @ smooth.coef_ + smooth.intercept_
    losses = [mean_pinball_loss(target, values, alpha=quantile) for values in (exact.predict(matrix), predictions)]
    assert losses[0] <= losses[1] * (1 + 1e-9)
    assert losses[1] == pytest.approx(losses[0], rel=5e-3)
    # The intercept is one of the residuals, so that one row is on the line, or on either side of it by rounding.
    rounding = 1e-9
    assert np.mean(target < predictions - rounding) <= quantile <= np.mean(target <= predictions + rounding)


def test_a_row_of_weight_two_counts_as_two_rows() -> None:
    matrix, target = table()
    weights = np.random.default_rng(1).integers(0, 3, ROWS)
    repeated = np.repeat(np.arange(ROWS), weights)
    from_weights = LinearQuantile(0.7, alpha=1e-3).fit(csr_matrix(matrix), target, weights.astype(float))
    from_repeats = LinearQuantile(0.7, alpha=1e-3).fit(csr_matrix(matrix[repeated]), target[repeated])
    assert from_weights.coef_ == pytest.approx(from_repeats.coef_, abs=5e-3)
    assert from_weights.intercept_ == pytest.approx(from_repeats.intercept_, abs=2e-2)


def test_columns_that_agree_or_say_nothing_share_finite_weights() -> None:
    matrix, target = table()
    redundant = np.hstack([matrix, matrix[:, :1] + 1e-9, np.zeros((ROWS, 1)), np.ones((ROWS, 1))])
    model = LinearQuantile(0.5, alpha=1 / ROWS).fit(csr_matrix(redundant), target)
    assert np.abs(model.coef_).max() < 2
    assert model.coef_[0] == pytest.approx(model.coef_[8], abs=1e-3)
