"""A linear model of a quantile that fits half a million rows in seconds."""

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit
from sklearn.preprocessing import StandardScaler

Floats = NDArray[np.float64]

#: The width of the smoothed corner of the pinball loss, in standard deviations of the target.
SMOOTHING = 0.05

#: The maximum number of steps of L-BFGS; usually about 50 suffice.
MAX_STEPS = 200


class LinearQuantile:
    """Quantile regression (Koenker and Bassett, 1978, "Regression quantiles") with a ridge penalty.

    The pinball loss is smoothed by a logistic kernel (Fernandes, Guerre and Horta, 2021, "Smoothing quantile
    regressions"), so that it is as easy to minimise as the loss of a logistic regression; the intercept is exact.
    scikit-learn's ``QuantileRegressor`` solves a linear program instead. On 11,000 rows that takes ten times as long
    for a loss that is lower by a thousandth, and gives nearly equal columns weights in the thousands, which lose too
    much precision in float32.

    Args:
        quantile: The quantile, strictly between 0 and 1.
        alpha: The factor of half the squared weights in the objective; the other term is the mean loss.

    Attributes:
        coef_: The weight of each column, float64 [columns].
        intercept_: The prediction if all columns are 0.
    """

    coef_: Floats
    intercept_: float

    def __init__(self, quantile: float, alpha: float) -> None:
        self.quantile, self.alpha = quantile, alpha

    def fit(self, matrix: Any, target: NDArray[Any], sample_weight: Floats | None = None) -> Self:
        """Fit the model.

        Args:
            matrix: A sparse matrix, float64 [rows, columns].
            target: The target of each row, float [rows], with a standard deviation of about 1.
            sample_weight: The weight of each row, float64 [rows]; None if all rows weigh the same.
        """
        row_weights = np.ones(len(target)) if sample_weight is None else sample_weight
        weights, truth = row_weights / row_weights.sum(), target.astype(np.float64)
        scaler = StandardScaler(with_mean=False).fit(matrix)
        columns, scale = scaler.transform(matrix).tocsr(), scaler.scale_
        rows = columns.T.tocsr()

        def loss(parameters: Floats) -> tuple[float, Floats]:
            slopes = parameters[:-1] / scale
            residuals = (truth - columns @ parameters[:-1] - parameters[-1]) / SMOOTHING
            losses = SMOOTHING * (self.quantile * residuals + np.logaddexp(0, -residuals))
            row_gradients = weights * (expit(-residuals) - self.quantile)
            gradient = np.append(rows @ row_gradients + self.alpha * slopes / scale, row_gradients.sum())
            return float(weights @ losses + self.alpha * slopes @ slopes / 2), gradient

        start = np.append(np.zeros(columns.shape[1]), self._quantile_of(truth, row_weights))
        solution = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": MAX_STEPS, "maxcor": 20}).x
        self.coef_ = solution[:-1] / scale
        self.intercept_ = self._quantile_of(truth - columns @ solution[:-1], row_weights)
        return self

    def _quantile_of(self, values: Floats, weights: Floats) -> float:
        return float(np.quantile(values, self.quantile, weights=weights, method="inverted_cdf"))
