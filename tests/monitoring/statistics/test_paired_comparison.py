import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import nct, norm
from scipy.stats import t as student

from model_deployer.monitoring.statistics.blocks import Blocks
from model_deployer.monitoring.statistics.normal_means import PRIOR, mean_interval
from model_deployer.monitoring.statistics.paired_comparison import paired_comparison


def normal_blocks(blocks: int, mean: float, seed: int) -> Blocks:
    return Blocks(np.random.default_rng(seed).normal(mean, 0.02, blocks), np.full(blocks, 1000.0))


def test_the_interval_is_where_the_bayes_factor_is_1_over_alpha() -> None:
    blocks, alpha = normal_blocks(30, 0.01, 0), 0.05
    low, high = mean_interval(blocks, alpha)
    deviation = blocks.means.std(ddof=1) / np.sqrt(30)
    for end in (low, high):
        statistic = (blocks.mean - end) / deviation
        marginal, _ = quad(
            lambda effect, t=statistic: nct.pdf(t, 29, effect * np.sqrt(30)) * norm.pdf(effect, scale=PRIOR),
            -3,
            3,
            limit=200,
        )
        assert marginal / student.pdf(statistic, 29) == pytest.approx(1 / alpha, rel=1e-3)


def test_the_interval_is_rarely_ever_wrong_at_any_look() -> None:
    """Of 400 comparisons of equal models, looked at after each of 200 blocks, at most 5 % ever name a better one."""
    ever = 0
    for seed in range(400):
        blocks = normal_blocks(200, 0, seed)
        looks = [paired_comparison(Blocks(blocks.means[:n], blocks.weights[:n])) for n in (5, 20, 80, 200)]
        ever += any(each.verdict != "not known yet" for each in looks)
    assert ever <= 20


def test_many_small_gains_do_not_hide_a_rare_large_loss() -> None:
    """The models are equally good: one in 500 rows is worse by 1, and nine times as many are better by a ninth."""
    names = 0
    for seed in range(150):
        random = np.random.default_rng(seed)
        differs, is_gain = random.random((300, 20)) < 0.02, random.random((300, 20)) < 0.9
        means = np.where(differs, np.where(is_gain, -1 / 9, 1), 0).mean(axis=1)
        looks = [paired_comparison(Blocks(means[:n], np.full(n, 20.0))) for n in (20, 50, 100, 300)]
        names += any(each.verdict != "not known yet" for each in looks)
    assert names <= 7


def test_rows_of_clients_that_differ_are_no_false_verdict() -> None:
    """Each client has a difference of its own: rows as blocks would be certain, clients as blocks are not."""
    names = 0
    for seed in range(200):
        random = np.random.default_rng(seed)
        clients = random.normal(0, 0.05, 40)
        means = random.normal(clients, 0.3 / np.sqrt(200))
        names += paired_comparison(Blocks(means, np.full(40, 200.0))).verdict != "not known yet"
    assert names <= 10


def test_verdicts() -> None:
    worse = paired_comparison(normal_blocks(100, 0.02, 1))
    assert worse.verdict == "worse"
    assert worse.low > 0
    assert worse.since is not None
    assert worse.since < 60
    better = paired_comparison(normal_blocks(100, -0.02, 1))
    assert better.verdict == "better"
    unknown = paired_comparison(normal_blocks(100, 0, 3))
    assert unknown.verdict == "not known yet"
    assert unknown.excluded < 0.02
    assert unknown.since is None


def test_models_that_never_differ_are_not_certain_to_be_equal() -> None:
    few = paired_comparison(Blocks(np.zeros(10), np.ones(10)))
    many = paired_comparison(Blocks(np.zeros(1000), np.ones(1000)))
    assert few.verdict == many.verdict == "not known yet"
    assert 0.2 < few.excluded < 1
    assert many.excluded < 0.02


def test_the_first_blocks_say_nothing() -> None:
    empty = paired_comparison(Blocks(np.empty(0), np.empty(0)))
    assert (empty.low, empty.high, empty.verdict) == (-1, 1, "not known yet")
    assert mean_interval(Blocks(np.array([0.3]), np.ones(1)), 0.05) == (-np.inf, np.inf)


def test_weights_count_rows() -> None:
    blocks = Blocks(np.array([0.1] * 20 + [-0.1] * 20), np.array([3.0] * 20 + [1.0] * 20))
    assert paired_comparison(blocks).difference == pytest.approx(0.05)
