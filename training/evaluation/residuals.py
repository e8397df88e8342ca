"""The errors of a quantity on the test rows."""

import numpy as np

from model_deployer.contract.evaluation import ErrorBin, ErrorQuantile, Residuals
from model_deployer.contract.outputs import Regression
from model_deployer.training.evaluation.quantiles import quantile_parts
from model_deployer.training.evaluation.scored_rows import ScoredRows

#: The quantiles of the absolute errors.
SHARES = (0.5, 0.8, 0.9, 0.95, 0.99)

#: The number of parts of the rows, by predicted value.
PARTS = 5


def residuals(scored: ScoredRows) -> Residuals | None:
    """Return the errors on the rows; None for a classification, and for a quantile, whose value estimates a limit.

    Args:
        scored: The model and the test rows.
    """
    if not isinstance(scored.output, Regression) or scored.output.quantile is not None:
        return None
    value = scored.answers["value"][:, 0].astype(np.float64)
    errors = scored.target - value
    used = scored.weights > 0
    quantiles = np.quantile(np.abs(errors[used]), SHARES, weights=scored.weights[used], method="inverted_cdf").tolist()
    return Residuals(
        bias=float(np.average(errors, weights=scored.weights)),
        quantiles=tuple(
            ErrorQuantile(share=share, error=error) for share, error in zip(SHARES, quantiles, strict=True)
        ),
        bins=_bins(scored, value),
    )


def _bins(scored: ScoredRows, value: np.ndarray) -> tuple[ErrorBin, ...]:
    parts = quantile_parts(value, PARTS)
    bins = []
    for part in range(parts.max() + 1):
        rows = parts == part
        weights = scored.weights[rows]
        if weights.any():
            predicted, observed = (float(np.average(each[rows], weights=weights)) for each in (value, scored.target))
            error = float(np.average(np.abs(scored.target - value)[rows], weights=weights))
            bins.append(ErrorBin(rows=int(rows.sum()), predicted=predicted, observed=observed, error=error))
    return tuple(bins)
