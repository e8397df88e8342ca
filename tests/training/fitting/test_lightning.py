"""Settings of Lightning's Trainer in model.yaml: precision, accumulation, callbacks and loggers."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest
import pytorch_lightning as lightning

from model_deployer.contract.errors import EnvironmentFault, SpecError
from model_deployer.training.fitting.fitting import fit
from tests.training.fitting.test_fitting import prepared, weights

CALLBACK = "tests.training.fitting.test_lightning.EpochCounter"


class EpochCounter(lightning.Callback):
    """Writes a line for each epoch."""

    def __init__(self, file: str) -> None:
        self._file = Path(file)

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        with self._file.open("a") as file:
            file.write(f"{trainer.current_epoch}\n")


def called(**parameters: Any) -> Any:
    raise AssertionError(parameters)


def test_callbacks_and_loggers_see_every_epoch(tmp_path: Path) -> None:
    settings = {
        "callbacks": [{"name": CALLBACK, "parameters": {"file": str(tmp_path / "epochs")}}],
        "loggers": [
            {"name": "pytorch_lightning.loggers.CSVLogger", "parameters": {"save_dir": str(tmp_path / "logs")}}
        ],
    }
    model, train, validation, plan = prepared(epochs=3, lightning=settings)
    history = fit(model, train, validation, plan, tmp_path / "fit")
    assert (tmp_path / "epochs").read_text().split() == ["0", "1", "2"]
    (file,) = (tmp_path / "logs").rglob("metrics.csv")
    logged = pl.read_csv(file)["validation_loss"].drop_nulls()
    assert logged.to_list() == pytest.approx([entry["validation_loss"] for entry in history])


def test_batches_are_accumulated(tmp_path: Path) -> None:
    plain = prepared(epochs=4, batch_size=64)
    single, both = (prepared(epochs=4, batch_size=64, lightning={"accumulate": accumulate}) for accumulate in (1, 4))
    assert both[3].steps == 4 * 5  # 1,200 rows are 19 batches
    for name, (model, train, validation, plan) in {"plain": plain, "single": single, "both": both}.items():
        losses = fit(model, train, validation, plan, tmp_path / name)
        assert losses[-1]["validation_loss"] < losses[0]["validation_loss"]
    assert weights(plain[0]) == weights(single[0]) != weights(both[0])


def test_a_lower_precision_learns_too(tmp_path: Path) -> None:
    model, train, validation, plan = prepared(epochs=4, lightning={"precision": "bf16-mixed"})
    losses = fit(model, train, validation, plan, tmp_path)
    assert losses[-1]["validation_loss"] < losses[0]["validation_loss"]


@pytest.mark.parametrize(
    ("key", "component", "error", "complaint"),
    [
        ("callbacks", {"name": "nothing.Here"}, EnvironmentFault, "`estimator.lightning.callbacks.name: nothing.Here`"),
        ("callbacks", {"name": "json.Nothing"}, SpecError, "the module json has no 'Nothing'"),
        ("callbacks", {"name": "subprocess.Popen"}, SpecError, "is not a subclass of pytorch_lightning.callbacks"),
        ("callbacks", {"name": "tests.training.fitting.test_lightning.called"}, SpecError, "is not a subclass"),
        ("loggers", {"name": CALLBACK}, SpecError, "estimator.lightning.loggers.name"),
        ("callbacks", {"name": CALLBACK, "parameters": {"path": "x"}}, SpecError, "refuses its `parameters`"),
    ],
)
def test_what_cannot_be_used_is_an_error(
    tmp_path: Path, key: str, component: dict[str, Any], error: type[Exception], complaint: str
) -> None:
    model, train, validation, plan = prepared(epochs=1, lightning={key: [component]})
    with pytest.raises(error, match=complaint):
        fit(model, train, validation, plan, tmp_path)
