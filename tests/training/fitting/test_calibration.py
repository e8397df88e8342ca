import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from model_deployer.training.fitting.calibration import calibrate
from model_deployer.training.models.heads import ClassificationHead
from model_deployer.training.models.model import Model
from model_deployer.training.preprocessing.sample import Sample
from tests.support.tables import classes_of, network_of, spec, table, unfitted

FRAME = table(4000)


def drawn(model: Model, train: Sample, slope: float, shift: float = 0.0) -> Sample:
    """Return the rows, with targets drawn from the model's probabilities after a slope and a shift of one class."""
    logits = torch.log(model.predict(train.inputs)["probabilities"].double()) * slope
    logits[:, -1] += shift
    cumulative = logits.softmax(1).cumsum(1).numpy()
    luck = np.random.default_rng(99).random((len(train), 1))
    target: NDArray[np.int64] = (luck > cumulative[:, :-1]).sum(1).astype(np.int64)
    return Sample(train.inputs, target)


def slope(model: Model) -> float:
    assert isinstance(model.head, ClassificationHead)
    return model.head.slope.item()


def intercept(model: Model) -> list[float]:
    assert isinstance(model.head, ClassificationHead)
    return [value.item() for value in model.head.intercept]


def log_loss(model: Model, rows: Sample) -> float:
    logarithms = model.predict(rows.inputs)["probabilities"].log()
    return torch.nn.functional.nll_loss(logarithms, torch.from_numpy(rows.target)).item()


def overconfident(classes: int) -> tuple[Model, Sample]:
    torch.manual_seed(0)
    model, train = unfitted(FRAME, classes_of(FRAME, classes), classes, spec())
    with torch.no_grad():
        network_of(model).output.weight.mul_(150)
    return model, train


@pytest.mark.parametrize("classes", [2, 3])
def test_it_finds_the_slope_of_an_overconfident_model(classes: int) -> None:
    model, train = overconfident(classes)
    rows = drawn(model, train, slope=0.5)
    before = log_loss(model, rows)
    assert calibrate(model, rows, rows, 0)
    assert slope(model) == pytest.approx(0.5, abs=0.12)
    assert log_loss(model, rows) < before


def test_two_classes_get_an_intercept_too() -> None:
    model, train = overconfident(2)
    rows = drawn(model, train, slope=1.0, shift=1.0)
    assert calibrate(model, rows, rows, 0)
    assert intercept(model) == [0.0, pytest.approx(1.0, abs=0.15)]


def test_a_calibrated_model_stays_as_it_is() -> None:
    model, train = overconfident(2)
    rows = drawn(model, train, slope=1.0)
    before = model.predict(rows.inputs)["probabilities"]
    assert not calibrate(model, rows, rows, 0) or abs(slope(model) - 1) < 0.1
    assert torch.allclose(model.predict(rows.inputs)["probabilities"], before, atol=0.02)


def test_rows_of_another_base_rate_teach_nothing() -> None:
    model, train = overconfident(2)
    before, later = drawn(model, train, slope=0.5), drawn(model, train, slope=0.5, shift=1.0)
    assert not calibrate(model, before, later, 0)
    assert slope(model) == 1


def test_a_row_of_weight_zero_does_not_count() -> None:
    model, train = overconfident(2)
    rows = drawn(model, train, slope=0.5)
    doubled = Sample(
        rows.inputs,
        np.where(np.arange(len(rows)) % 2, rows.target, 1 - rows.target),
        (np.arange(len(rows)) % 2).astype(float),
    )
    assert calibrate(model, rows, doubled, 0)
    assert slope(model) == pytest.approx(0.5, abs=0.15)
