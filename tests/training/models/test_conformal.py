import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from model_deployer.training.models.conformal import conformal_quantile

SHARES = st.floats(0.001, 0.999)


@given(st.integers(1, 60), SHARES)
def test_without_weights_it_is_the_score_of_the_right_rank(rows: int, share: float) -> None:
    scores = torch.from_numpy(np.random.default_rng(rows).permutation(rows).astype(np.float32))
    rank = min(math.ceil((rows + 1) * share), rows)
    assert conformal_quantile(scores, torch.ones(rows), share).item() == rank - 1


@given(st.lists(st.tuples(st.integers(-50, 50), st.integers(0, 5)), min_size=1), SHARES, st.floats(0.1, 10))
def test_weighted_quantile_is_free_of_the_weight_unit(rows: list[tuple[int, int]], share: float, unit: float) -> None:
    """Rows of that share by weight lie at or below the value, and the unit of the weights does not matter."""
    scores, weights = (torch.tensor(values, dtype=torch.float64) for values in zip(*rows, strict=True))
    weights[0] += 1
    bound = conformal_quantile(scores, weights, share)
    assert weights[scores <= bound].sum() >= share * weights.sum() * (1 - 1e-12)
    assert bound in scores[weights > 0]
    assert conformal_quantile(scores, weights * 4, share) == bound
    assert conformal_quantile(-scores, weights * unit, 1e-9).item() == pytest.approx(-scores[weights > 0].max().item())
