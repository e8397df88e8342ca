import dataclasses
import io
import signal
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rich
import torch
from pytorch_lightning.utilities.combined_loader import CombinedLoader
from safetensors.torch import save

from model_deployer.contract.errors import CheckFailed, EnvironmentFault
from model_deployer.training.fitting.fitting import (
    LAST_CHECKPOINT,
    MAX_EPOCHS,
    Plan,
    fit,
    load_plan,
    plan_fit,
    plan_within,
)
from model_deployer.training.models.model import Model
from model_deployer.training.preprocessing.sample import Sample
from tests.support.interrupts import interrupt_when
from tests.support.tables import classes_of, network_of, scores, spec, table, unfitted

FRAME = table(1200)
LATER = table(400, seed=1)


@pytest.fixture(autouse=True)
def shown() -> Iterator[io.StringIO]:
    """Return the text that is printed to a console that is not a terminal."""
    text = io.StringIO()
    rich.reconfigure(file=text, force_terminal=False, width=200)
    yield text
    rich.reconfigure()


def prepared(classes: int | None = 2, **estimator: Any) -> tuple[Model, Sample, Sample, Plan]:
    options = spec(by_time=False, **estimator)
    targets = [scores(frame) if classes is None else classes_of(frame, classes) for frame in (FRAME, LATER)]
    model, train = unfitted(FRAME, targets[0], classes, options)
    validation = Sample(model.blueprint.preprocessor.transform(LATER), targets[1])
    return model, train, validation, plan_fit(model, options.estimator, len(train), options.seed)


def weights(model: Model) -> bytes:
    return save({name: value.contiguous() for name, value in model.state_dict().items()})


@pytest.mark.parametrize("classes", [None, 2, 3])
def test_it_learns(classes: int | None, tmp_path: Path) -> None:
    model, train, validation, plan = prepared(classes, epochs=8)
    history = fit(model, train, validation, plan, tmp_path)
    assert [entry["epoch"] for entry in history] == list(range(1, len(history) + 1))
    assert min(entry["validation_loss"] for entry in history) < 0.8 * (1.0 if classes is None else np.log(classes))


def test_weights_follow_the_seed(tmp_path: Path) -> None:
    """The same seed gives the same weights byte for byte, and another seed does not."""
    results = []
    for run, seed in enumerate((0, 0, 1)):
        model, train, validation, plan = prepared()
        torch.manual_seed(run)
        fit(model, train, validation, dataclasses.replace(plan, seed=seed), tmp_path / str(run))
        results.append(weights(model))
    assert results[0] == results[1]
    assert results[0] != results[2]


def test_interrupted_fit_resumes_to_the_same_weights(tmp_path: Path) -> None:
    """An interrupted fit that is resumed ends with the very weights of one that was not interrupted."""
    model, train, validation, plan = prepared(epochs=40)
    history = fit(model, train, validation, plan, tmp_path / "uninterrupted")
    interrupted, *_ = prepared(epochs=40)
    folder = tmp_path / "interrupted"
    with pytest.raises(KeyboardInterrupt), interrupt_when((folder / LAST_CHECKPOINT).exists):
        fit(interrupted, train, validation, plan, folder)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    resumed, *_ = prepared(epochs=40)
    assert fit(resumed, train, validation, plan, folder) == history
    assert weights(resumed) == weights(model)


def test_interrupt_before_the_first_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(loader: CombinedLoader) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(CombinedLoader, "__iter__", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fit(*prepared(epochs=1), tmp_path)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_the_best_epoch_is_kept_and_patience_ends_the_fit(tmp_path: Path) -> None:
    model, train, validation, plan = prepared(epochs=40, learning_rate=0.02, patience=2)
    history = fit(model, train, validation, plan, tmp_path)
    losses = [entry["validation_loss"] for entry in history]
    assert len(history) < 40
    assert np.argmin(losses) == len(losses) - 3
    again, *_ = prepared(epochs=40, learning_rate=0.02, patience=2)
    assert fit(again, train, validation, plan, tmp_path) == history
    assert weights(again) == weights(model)
    logarithms = model.predict(validation.inputs)["probabilities"].log()
    loss = torch.nn.functional.nll_loss(logarithms, torch.from_numpy(validation.target)).item()
    assert loss == pytest.approx(min(losses), abs=1e-5)


def test_a_row_of_weight_two_counts_as_two_rows(tmp_path: Path) -> None:
    model, train, validation, plan = prepared(epochs=1)
    random = np.random.default_rng(0)
    weighted = Sample(validation.inputs, validation.target, random.integers(0, 3, len(validation)).astype(float))
    repeated = validation.take(np.repeat(np.arange(len(validation)), weighted.row_weights.astype(int)))
    (with_weights,) = fit(model, train, weighted, plan, tmp_path / "weighted")
    (with_repeats,) = fit(prepared()[0], train, repeated, plan, tmp_path / "repeated")
    assert with_weights["validation_loss"] == pytest.approx(with_repeats["validation_loss"], rel=1e-4)


def test_fit_without_a_terminal_prints_a_line_per_epoch(
    tmp_path: Path, shown: io.StringIO, capfd: pytest.CaptureFixture[str]
) -> None:
    """Without a terminal there is one line per epoch and nothing else."""
    model, train, validation, plan = prepared()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit(model, train, validation, plan, tmp_path)
    lines = shown.getvalue().splitlines()
    assert [line.split(":")[0] for line in lines] == [f"epoch {number} of at most 3" for number in (1, 2, 3)]
    assert capfd.readouterr() == ("", "")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["best.ckpt", "last.ckpt"]


def test_a_loss_that_is_no_number_is_reported(tmp_path: Path) -> None:
    model, train, validation, plan = prepared(None, learning_rate=1e30)
    with pytest.raises(CheckFailed, match=r"lower `estimator.learning_rate`"):
        fit(model, train, validation, plan, tmp_path)


@pytest.mark.parametrize(("rows", "epochs", "batch"), [(1_000, 100, 32), (40_000, 100, 256), (10**9, 1, 256)])
def test_more_rows_get_fewer_epochs_and_larger_batches(rows: int, epochs: int, batch: int) -> None:
    plan = plan_fit(prepared()[0], spec(epochs=None).estimator, rows, 0)
    assert (plan.epochs, plan.batch_size) == (epochs, batch)
    assert plan.steps == epochs * -(-rows // batch)


def test_budget_bounds_epochs_and_steps() -> None:
    """An hour is more than few rows need, and no time at all is one step."""
    model, train, validation, plan = prepared()
    before = weights(model)
    assert plan_within(3600, plan, model, train, validation).epochs == MAX_EPOCHS
    cut = plan_within(0, plan, model, train, validation)
    assert (cut.epochs, cut.steps, cut.is_cut) == (1, 1, True)
    assert weights(model) == before


def test_an_interrupted_fit_keeps_its_plan(tmp_path: Path) -> None:
    model, train, validation, plan = prepared()
    assert load_plan(tmp_path) is None
    fit(model, train, validation, dataclasses.replace(plan, learning_rate=1e-3), tmp_path)
    assert load_plan(tmp_path) == dataclasses.replace(plan, learning_rate=1e-3)


def test_final_plan_has_the_best_epochs_and_last_weights(tmp_path: Path) -> None:
    """A final plan has as many epochs as were best, and its last weights count."""
    model, train, validation, plan = prepared(epochs=8)
    final = plan.final(1000, [{"epoch": epoch, "validation_loss": abs(epoch - 3)} for epoch in range(1, 9)])
    assert (final.epochs, final.steps, final.batch_size) == (3, 3 * -(-1000 // plan.batch_size), plan.batch_size)
    history = fit(model, train, validation, dataclasses.replace(final, patience=1, learning_rate=0.3), tmp_path)
    assert [entry["epoch"] for entry in history] == [1, 2, 3]
    last = torch.load(tmp_path / LAST_CHECKPOINT, weights_only=False)["state_dict"]
    assert all(
        torch.equal(value, network_of(model).state_dict()[name.partition(".")[2]])
        for name, value in last.items()
        if name.startswith("network.")
    )


@pytest.mark.parametrize("content", [b"not a checkpoint", None])
def test_unusable_checkpoint_is_ignored(tmp_path: Path, content: bytes | None) -> None:
    """A checkpoint that is damaged, or of another network, is ignored."""
    model, train, validation, plan = prepared()
    history = fit(model, train, validation, plan, tmp_path / "empty")
    other, *_ = prepared(width=8)
    fit(other, train, validation, plan, tmp_path / "used")
    if content is not None:
        (tmp_path / "used" / LAST_CHECKPOINT).write_bytes(content)
    again, *_ = prepared()
    assert fit(again, train, validation, plan, tmp_path / "used") == history
    assert weights(again) == weights(model)


def test_batches_may_weigh_nothing(tmp_path: Path) -> None:
    model, train, validation, plan = prepared()
    mostly_zero = np.zeros(len(train))
    mostly_zero[::100] = 100.0
    history = fit(model, Sample(train.inputs, train.target, mostly_zero), validation, plan, tmp_path)
    assert np.isfinite([entry["train_loss"] for entry in history]).all()


def test_unwritable_checkpoint_is_an_environment_fault(tmp_path: Path) -> None:
    """A checkpoint that cannot be written is a fault of the environment."""
    model, train, validation, plan = prepared(epochs=1)
    (tmp_path / "file").touch()
    with pytest.raises(EnvironmentFault, match=r"cannot write checkpoints to .*; fix this"):
        fit(model, train, validation, plan, tmp_path / "file" / "folder")
