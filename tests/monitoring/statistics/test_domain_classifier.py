import numpy as np
import pytest

from model_deployer.monitoring.statistics.domain_classifier import Model, Sample, domain_classifier

NAMES = ["age", "income", "visits", "region"]


def sample(seed: int, shift: float = 0.0, days: int = 20) -> Sample:
    """Rows of days that differ a little; the income is shifted, and some values are missing."""
    random = np.random.default_rng(seed)
    blocks = np.repeat(np.arange(days), 60)
    values = random.standard_normal((len(blocks), 4)) + 0.2 * random.standard_normal((days, 4))[blocks]
    values[:, 1] += shift
    values[random.random(len(blocks)) < 0.05, 2] = np.nan
    return Sample(values, blocks)


@pytest.mark.parametrize("model", ["trees", "linear"])
def test_the_field_that_moved_is_named_first(model: Model) -> None:
    result = domain_classifier(sample(0), sample(1, shift=0.8), NAMES, model)
    assert result.auc.low > 0.55
    assert result.fields[0].name == "income"
    assert result.fields[0].drop > 0.05


def test_days_that_differ_are_not_a_move() -> None:
    """Classifiers that saw rows of the same day would recognize them; these separate nothing."""
    areas = [domain_classifier(sample(seed), sample(100 + seed), NAMES, "linear").auc for seed in range(10)]
    assert np.mean([area.value for area in areas]) < 0.55
    assert sum(area.low > 0.5 for area in areas) <= 2


def test_the_same_seed_gives_the_same_result() -> None:
    first, second = (domain_classifier(sample(0), sample(1), NAMES, "linear", seed=3) for _ in range(2))
    assert first == second


def test_too_few_blocks_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 5 blocks"):
        domain_classifier(sample(0, days=4), sample(1), NAMES)
