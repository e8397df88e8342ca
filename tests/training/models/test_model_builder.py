import numpy as np
import pytest
import torch

from model_deployer.training.models.heads import RegressionHead
from model_deployer.training.models.network import Network
from tests.support.tables import classes_of, counts_of, network_of, scores, spec, table, unfitted

FRAME = table(1200)


def test_a_skewed_positive_target_is_learnt_as_its_logarithm() -> None:
    normal, skewed = scores(FRAME), np.exp(scores(FRAME))
    logarithms = [unfitted(FRAME, target, None, spec())[0].blueprint.logarithm for target in (normal, skewed, -skewed)]
    assert logarithms == [False, True, False]


def test_the_logarithm_of_a_count_is_that_of_its_rate() -> None:
    target = 1 + counts_of(FRAME) ** 2
    blueprint = unfitted(FRAME, target, None, spec(task="count"))[0].blueprint
    assert (blueprint.logarithm, blueprint.count) == (False, True)
    assert unfitted(FRAME, target, None, spec())[0].blueprint.logarithm


@pytest.mark.parametrize("target", [scores(FRAME), np.exp(scores(FRAME))])
def test_the_head_takes_back_what_was_standardised(target: np.ndarray) -> None:
    head = unfitted(FRAME, target, None, spec())[0].head
    assert isinstance(head, RegressionHead)
    standard = head.transform_target(torch.tensor(target))
    assert standard.mean().item() == pytest.approx(0, abs=1e-5)
    value, lower, upper = (tensor[:, 0].numpy() for tensor in head(standard[:, None]))
    assert np.allclose(value, target, rtol=1e-4, atol=1e-4)
    assert (lower == upper).all()


def first_weights(seed: int) -> Network:
    options = spec().model_copy(update={"seed": seed})
    return network_of(unfitted(FRAME, classes_of(FRAME, 2), 2, options)[0])


def test_the_seed_alone_decides_the_first_weights() -> None:
    torch.manual_seed(5)
    weights = first_weights(0).output.weight
    assert torch.equal(weights, first_weights(0).output.weight)
    assert not torch.equal(weights, first_weights(1).output.weight)


def test_split_by_time_ignores_the_position_in_the_year() -> None:
    """The position in the year is not an input under a split by time."""
    layouts = [
        unfitted(FRAME, scores(FRAME), None, spec(by_time=by_time))[0].blueprint.layout for by_time in (False, True)
    ]
    assert [layout.season for layout in layouts] == [True, False]
