"""Fit the network by gradient descent, with early stopping, checkpoints, a time budget and several processes."""

import copy
import math
import shutil
import signal
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
import pytorch_lightning as lightning
import torch
from pytorch_lightning.callbacks import Callback, EarlyStopping, ModelCheckpoint
from pytorch_lightning.loggers import Logger
from torch import Tensor
from torch.multiprocessing.spawn import ProcessException

from model_deployer.contract.errors import CheckFailed, EnvironmentFault, SpecError
from model_deployer.training.fitting.batches import Batch, Files, Share, Shuffled, scaled, training_batches
from model_deployer.training.models.model import Model, rows_at_once
from model_deployer.training.models.network import Network
from model_deployer.training.models.own_network import OwnNetwork
from model_deployer.training.preprocessing.sample import Sample
from model_deployer.training.runtime.devices import ONE_CPU, THREADS, Devices
from model_deployer.training.runtime.imports import import_class
from model_deployer.training.runtime.launch import launch
from model_deployer.training.runtime.progress import EpochProgress
from model_deployer.training.runtime.silence import silence_libraries
from model_deployer.training.spec import PLAIN_LIGHTNING, Component, Estimator, LightningSpec

T = TypeVar("T")

#: The number of multiplications in the hidden layers over all epochs if the spec does not set the epochs: about 100
#: seconds on one ordinary core. It does not depend on the number of processes.
TOTAL_MULTIPLICATIONS = 6e11

#: The limits of the planned number of epochs.
MAX_EPOCHS, MIN_EPOCHS = 100, 1

#: The minimum number of steps in an epoch, as far as the smallest batch allows; with few rows, more steps help more
#: than larger batches.
MIN_STEPS = 128
MIN_BATCH_SIZE, MAX_BATCH_SIZE = 32, 256

#: The share of the steps with a constant learning rate; afterwards it falls along a cosine.
CONSTANT_SHARE = 0.5

#: The number of steps that are timed to plan within a time budget.
TIMED_STEPS = 12

#: The maximum norm of a gradient; a larger one is clipped.
MAX_GRADIENT_NORM = 1.0

#: The names of the checkpoints in the folder of a fit.
LAST_CHECKPOINT = "last.ckpt"
BEST_CHECKPOINT = "best.ckpt"


@dataclass(frozen=True)
class Plan:
    """The settings of one fit, which are fixed before it starts.

    Attributes:
        epochs: The maximum number of passes over the training rows.
        batch_size: The number of rows in a step.
        steps: The number of steps of all epochs together.
        learning_rate: The learning rate of AdamW.
        weight_decay: The weight decay of AdamW.
        patience: The number of epochs without improvement until the fit stops.
        seed: The seed of all random numbers.
        is_cut: Whether the only epoch ends before all rows are used, because the time budget does not allow more.
        is_final: Whether the fit runs all epochs and keeps the last one, because there are no validation rows left.
        devices: The devices that the fit runs on.
        lightning: Settings of Lightning's Trainer.
    """

    epochs: int
    batch_size: int
    steps: int
    learning_rate: float
    weight_decay: float
    patience: int
    seed: int
    is_cut: bool = False
    is_final: bool = False
    devices: Devices = ONE_CPU
    lightning: LightningSpec = PLAIN_LIGHTNING

    def final(self, rows: int, history: Sequence[Mapping[str, float]]) -> "Plan":
        """Return the plan of the final fit, with as many epochs as were best in the first fit.

        The learning rate falls within these epochs, which is better than to repeat the first fit up to its best epoch.

        Args:
            rows: The number of rows of the final fit.
            history: The losses of the first fit, from :func:`fit`.
        """
        epochs = int(min(history, key=lambda entry: entry["validation_loss"])["epoch"])
        steps = self.steps if self.is_cut else epochs * _steps(rows, self.batch_size, self.lightning)
        return replace(self, epochs=epochs, steps=steps, is_final=True)


def plan_fit(model: Model, estimator: Estimator, rows: int, seed: int, devices: Devices = ONE_CPU) -> Plan:
    """Choose the number of epochs and the batch size, independently of the speed of the machine.

    Args:
        model: The model with the network.
        estimator: The ``estimator`` of the model.yaml, whose values take precedence.
        rows: The number of training rows.
        seed: The seed of the fit.
        devices: The devices of the fit; a GPU, whose network is larger, gets a larger plan.
    """
    affordable = int(devices.cores * TOTAL_MULTIPLICATIONS / (rows * _network(model).work))
    epochs = estimator.epochs or min(MAX_EPOCHS, max(MIN_EPOCHS, affordable))
    suitable = 2 ** math.floor(math.log2(max(1, rows / MIN_STEPS)))
    batch_size = estimator.batch_size or min(MAX_BATCH_SIZE, max(MIN_BATCH_SIZE, suitable))
    return Plan(
        epochs=epochs,
        batch_size=batch_size,
        steps=epochs * _steps(rows, batch_size, estimator.lightning),
        learning_rate=estimator.learning_rate,
        weight_decay=estimator.weight_decay,
        patience=estimator.patience,
        seed=seed,
        devices=devices,
        lightning=estimator.lightning,
    )


def _steps(rows: int, batch_size: int, settings: LightningSpec) -> int:
    """Return the number of steps of the optimiser in an epoch."""
    return math.ceil(math.ceil(rows / batch_size) / settings.accumulate)


def plan_within(seconds: float, plan: Plan, model: Model, train: Sample, validation: Sample) -> Plan:
    """Return the plan with as many epochs as this machine can run in a time budget.

    A dozen steps are timed on a copy of the network, in one process; a fit in several processes is not slower.

    Args:
        seconds: The time budget.
        plan: The plan to adapt.
        model: The model with the network.
        train: The training rows.
        validation: The validation rows.
    """
    batches = plan.steps // plan.epochs
    start = time.monotonic()
    step, validation_pass = _measure_seconds(
        _Learner(copy.deepcopy(model), train, validation, plan), plan.devices.first
    )
    remaining = max(0.0, seconds - (time.monotonic() - start))
    if epochs := min(MAX_EPOCHS, int(remaining / (batches * step + validation_pass))):
        return replace(plan, epochs=epochs, steps=epochs * batches)
    return replace(plan, epochs=1, steps=max(1, int((remaining - validation_pass) / step)), is_cut=True)


def _measure_seconds(learner: "_Learner", device: torch.device) -> tuple[float, float]:
    """Return the seconds of a training step and of a pass over the validation rows; the learner's weights change."""
    learner.to(device).on_fit_start()
    optimiser = _first_optimiser(learner.configure_optimizers())
    validation_batches = learner.val_dataloader()
    with _threads(THREADS), _preserve_random_state():
        batches = islice(learner.train_dataloader(), TIMED_STEPS)
        steps = [_seconds_of(learner.step, optimiser, batch) for batch in batches]
        validation_pass = _seconds_of(learner.evaluate, next(iter(validation_batches))) * len(validation_batches)
    return statistics.median(steps), validation_pass


def _first_optimiser(configured: Any) -> torch.optim.Optimizer:
    """Return the first optimiser in what ``configure_optimizers`` of Lightning may return."""
    while not isinstance(configured, torch.optim.Optimizer):
        configured = configured["optimizer"] if isinstance(configured, Mapping) else configured[0]
    return configured


def _seconds_of(work: Callable[..., Tensor], *arguments: Any) -> float:
    start = time.perf_counter()
    work(*arguments).item()  # waits for a GPU
    return time.perf_counter() - start


def load_plan(folder: Path, devices: Devices = ONE_CPU) -> Plan | None:
    """Load the plan of an interrupted fit from its checkpoint.

    Args:
        folder: The folder of the fit.
        devices: The devices that resume the fit; they may differ from those that started it.

    Returns:
        The plan; None if there is no checkpoint, or it is damaged.
    """
    try:
        return Plan(**_load(folder / LAST_CHECKPOINT)["plan"], devices=devices)
    except Exception:  # a damaged pickle may raise anything
        return None


def fit(model: Model, train: Sample, validation: Sample, plan: Plan, folder: Path) -> list[dict[str, float]]:
    """Fit the network of a model in place; afterwards it has the weights of the best epoch and is on the CPU.

    The best epoch is the one with the lowest validation loss, or the last one under a final plan.

    Every epoch ends with a checkpoint in ``folder``. If there is a checkpoint already, the fit resumes from it, unless
    it is damaged or belongs to another network: then the fit starts from scratch. All random numbers of an epoch depend
    only on the seed and the number of the epoch, so a resumed fit ends with the same weights as an uninterrupted one.

    Several processes share the rows of every batch. Their steps are those of a single process, except for rounding and
    for random numbers within the network. Processes that were launched together all call this function with the same
    arguments and must share the folder.

    Args:
        model: A model from :func:`training.models.model_builder.build_model`.
        train: The rows to fit on.
        validation: The rows to choose the best epoch on.
        plan: A plan from :func:`plan_fit`.
        folder: The folder for the checkpoints of this fit; nothing else may use it.

    Returns:
        For each epoch ``epoch`` (from 1), ``train_loss`` and ``validation_loss``; see ``losses`` of the heads.

    Raises:
        CheckFailed: if the losses became infinite in the first epoch.
        EnvironmentFault: if a checkpoint cannot be written, or one of several processes ends too early.
        KeyboardInterrupt: if the user interrupts the fit; ``folder`` holds the last complete epoch.
    """
    learner = _Learner(model, train, validation, plan)
    resumes = all(_is_resumable(folder / name, learner) for name in (LAST_CHECKPOINT, BEST_CHECKPOINT))
    if not resumes and not launch().is_worker:
        shutil.rmtree(folder, ignore_errors=True)
    with silence_libraries(), _preserve_random_state(), _threads(THREADS):
        epochs = _epochs_to_run(plan, folder) if resumes else plan.epochs
        _run(learner, _trainer(plan, folder, epochs), folder, resumes)
    history = _load_weights(learner.cpu(), folder, LAST_CHECKPOINT if plan.is_final else BEST_CHECKPOINT)
    if plan.devices.launched:
        torch.distributed.barrier()  # a process must not delete the checkpoints before all processes have read them
    model.eval()
    return history


def _load_weights(learner: "_Learner", folder: Path, checkpoint: str) -> list[dict[str, float]]:
    """Load the weights and return the history from the checkpoints, because the fit may have run in other processes.

    Raises:
        CheckFailed: if there is no checkpoint, because the first losses were infinite.
    """
    has_best = (folder / BEST_CHECKPOINT).exists()
    history: list[dict[str, float]] = _load(folder / LAST_CHECKPOINT)["history"] if has_best else []
    if not history or not math.isfinite(min(entry["validation_loss"] for entry in history)):
        raise CheckFailed("the loss became infinite in the first epoch; lower `estimator.learning_rate`")
    learner.load_state_dict(_load(folder / checkpoint)["state_dict"])
    return history


def _network(model: Model) -> Network | OwnNetwork:
    if not isinstance(model.network, Network | OwnNetwork):
        raise TypeError("only a network is fitted by gradient")
    return model.network


def _is_resumable(checkpoint: Path, learner: "_Learner") -> bool:
    """Return whether there is a checkpoint that is not damaged and belongs to a network of the same shape."""
    try:
        state = _load(checkpoint)["state_dict"]
    except Exception:  # a damaged pickle may raise anything
        return False
    return _shapes(state) == _shapes(learner.state_dict())


def _shapes(state: Mapping[str, Tensor]) -> dict[str, torch.Size]:
    return {name: value.shape for name, value in state.items()}


def _load(checkpoint: Path) -> dict[str, Any]:
    return cast(dict[str, Any], torch.load(checkpoint, map_location="cpu", weights_only=False))


def _epochs_to_run(plan: Plan, folder: Path) -> int:
    """Return the total number of epochs of a resumed fit; none is added if early stopping had ended it.

    Lightning would add one.
    """
    if plan.is_final:
        return plan.epochs
    losses = [entry["validation_loss"] for entry in _load(folder / LAST_CHECKPOINT)["history"]]
    was_stopped = not math.isfinite(losses[-1]) or len(losses) - 1 - np.argmin(losses) >= plan.patience
    return len(losses) if was_stopped else plan.epochs


def _trainer(plan: Plan, folder: Path, epochs: int) -> lightning.Trainer:
    best, last = (
        ModelCheckpoint(
            folder,
            filename=Path(name).stem,
            monitor=monitor,
            save_on_train_epoch_end=True,
            enable_version_counter=False,
        )
        for name, monitor in ((BEST_CHECKPOINT, "validation_loss"), (LAST_CHECKPOINT, None))
    )
    early_stopping = [] if plan.is_final else [EarlyStopping("validation_loss", patience=plan.patience)]
    return lightning.Trainer(
        **plan.devices.trainer_arguments(),
        max_epochs=epochs,
        limit_train_batches=plan.steps if plan.is_cut else None,
        gradient_clip_val=MAX_GRADIENT_NORM,
        deterministic=True,
        reload_dataloaders_every_n_epochs=1,
        num_sanity_val_steps=0,
        precision=plan.lightning.precision,
        accumulate_grad_batches=plan.lightning.accumulate,
        callbacks=[EpochProgress(), best, last, *early_stopping, *_components(plan.lightning.callbacks, Callback)],
        logger=_components(plan.lightning.loggers, Logger) or False,  # type: ignore[type-abstract]
        log_every_n_steps=1,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
    )


def _components(components: Sequence[Component], base: type[T]) -> list[T]:
    """Create objects of Lightning that a model.yaml describes.

    Raises:
        EnvironmentFault: if the module of a class cannot be imported.
        SpecError: if a class is not a subclass of ``base``, or refuses its parameters.
    """
    key = f"estimator.lightning.{base.__name__.lower()}s.name"
    created = []
    for component in components:
        component_class = import_class(component.name, base, key)
        try:
            created.append(component_class(**component.parameters))
        except (TypeError, ValueError) as error:
            raise SpecError(f"`{key}`: {component.name} refuses its `parameters`: {error}") from None
    return created


def _run(learner: "_Learner", trainer: lightning.Trainer, folder: Path, resumes: bool) -> None:
    """Run the trainer, and raise KeyboardInterrupt on Ctrl-C.

    On Ctrl-C, Lightning raises SystemExit and ignores further interrupts; both are undone here. If the interrupt comes
    before the first batch, Lightning's teardown fails, and its error follows the interrupt.
    """
    handler = signal.getsignal(signal.SIGINT)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        trainer.fit(learner, ckpt_path=folder / LAST_CHECKPOINT if resumes else None, weights_only=False)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        message = f"cannot write checkpoints to {folder}: {reason}; fix this and run the same command again"
        raise EnvironmentFault(message) from None
    except ProcessException as error:
        reason = str(error).strip().splitlines()[-1]
        message = f"a process of the fit ended too early: {reason}; fix this and run the same command again"
        raise EnvironmentFault(message) from None
    except (SystemExit, RuntimeError) as stop:
        if isinstance(stop, RuntimeError) and not isinstance(stop.__context__, KeyboardInterrupt):
            raise
        signal.signal(signal.SIGINT, handler)
        if trainer.strategy.launcher:
            trainer.strategy.launcher.kill(signal.SIGKILL)  # processes that were not interrupted would continue
        raise KeyboardInterrupt from stop


def _preserve_random_state() -> AbstractContextManager[None]:
    """Restore torch's random state of the CPU afterwards; only fits draw random numbers on a GPU."""
    return torch.random.fork_rng(devices=[])


@contextmanager
def _threads(count: int) -> Iterator[None]:
    previous = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(previous)


class _Learner(lightning.LightningModule):
    """The fit in Lightning's terms: batches, losses, optimiser and checkpoints."""

    def __init__(self, model: Model, train: Sample, validation: Sample, plan: Plan) -> None:
        super().__init__()
        self.network = _network(model)
        self.history: list[dict[str, float]] = []
        self._head = (model.head,)  # in a tuple, so that it is not a submodule: it is neither fitted nor checkpointed
        self._plan = plan
        self._train_rows = scaled(model, train)
        self._files = Files(train.stream, model.with_network(None)) if train.stream else None
        self._validation_rows = scaled(model, validation)
        self._losses: dict[str, list[Tensor]] = {"train": [], "validation": []}

    @property
    def _share(self) -> Share:
        return Share(self.global_rank, self.trainer.world_size) if self._trainer else Share()

    def train_dataloader(self) -> Any:
        size, seed = self._plan.batch_size, self._epoch_seed()
        return training_batches(self._train_rows, self._files, size, self._share, seed)

    def val_dataloader(self) -> Any:
        numbers, _, codes, *_ = self._validation_rows
        return Shuffled(self._validation_rows, rows_at_once(numbers.shape[1] + codes.shape[1]), self._share)

    def on_fit_start(self) -> None:
        self._head = (copy.deepcopy(self._head[0]).to(self.device),)

    def on_train_epoch_start(self) -> None:
        torch.manual_seed(self._epoch_seed() + self._share.rank)

    def training_step(self, batch: Batch, batch_index: int = 0) -> Tensor:
        """Return the loss of the members, float32 []: its gradient, averaged over the processes, is that of the batch.

        The gradient of the batch is that of the weighted mean over the rows of all processes.
        """
        if isinstance(self.network, OwnNetwork) and self.network.training_step:
            return self._own_step(self.network, batch, batch_index)
        *inputs, target, weights, total_weight = batch
        outputs = self.network(*inputs)
        members = outputs.shape[1]
        losses = self._training_losses(outputs.flatten(0, 1), target.repeat_interleave(members))
        total = self._add_loss("train", losses.view(-1, members).mean(1), weights)
        smallest = torch.finfo(total_weight.dtype).tiny  # the weights of all rows of a batch may be 0
        return total * self._share.processes / total_weight.clamp_min(smallest)

    def _training_losses(self, outputs: Tensor, target: Tensor) -> Tensor:
        (head,) = self._head
        own_loss = self.network.loss if isinstance(self.network, OwnNetwork) else None
        return own_loss(outputs, target) if own_loss else head.losses(outputs, target)

    def _own_step(self, network: OwnNetwork, batch: Batch, batch_index: int) -> Tensor:
        """Return the loss of a batch from the step of an own network."""
        assert network.training_step
        with network.within(self):
            loss = network.training_step(batch, batch_index)
        weights = batch[-2]
        self._add_loss("train", loss.detach().expand(len(weights)), weights)
        return loss

    def validation_step(self, batch: Batch) -> Tensor:
        """Return the total loss of the members' average, which is what the model predicts, float32 []."""
        *inputs, target, weights, _ = batch
        (head,) = self._head
        return self._add_loss("validation", head.losses(head.combine(self.network(*inputs), None), target), weights)

    def step(self, optimiser: torch.optim.Optimizer, batch: Batch) -> Tensor:
        """Take one training step outside of Lightning, and return its loss."""
        self.train()
        optimiser.zero_grad()
        loss = self.training_step(self._to_device(batch))
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), MAX_GRADIENT_NORM)
        optimiser.step()
        return loss

    @torch.no_grad()
    def evaluate(self, batch: Batch) -> Tensor:
        """Return the validation loss of a batch outside of Lightning."""
        self.eval()
        return self.validation_step(self._to_device(batch))

    def _to_device(self, batch: Batch) -> Batch:
        return tuple(tensor.to(self.device) for tensor in batch)

    def on_validation_epoch_end(self) -> None:
        train, validation = self._mean("train"), self._mean("validation")
        self.log_dict({"train_loss": train, "validation_loss": validation})
        losses = {"train_loss": train.item(), "validation_loss": validation.item()}
        self.history.append({"epoch": self.current_epoch + 1} | losses)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["history"] = self.history
        checkpoint["plan"] = {name: value for name, value in vars(self._plan).items() if name != "devices"}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.history = checkpoint["history"]

    def configure_optimizers(self) -> Any:
        plan = self._plan
        if isinstance(self.network, OwnNetwork) and self.network.configure_optimizers:
            return self.network.configure_optimizers()
        optimiser = torch.optim.AdamW(
            self.network.parameters(),
            lr=plan.learning_rate,
            weight_decay=plan.weight_decay,
            fused=plan.lightning.precision
            == "32-true",  # with others, Lightning cannot clip the gradients of a fused one
        )
        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _constant_then_cosine(step / plan.steps))
        return [optimiser], [{"scheduler": schedule, "interval": "step"}]

    def _epoch_seed(self) -> int:
        return int(np.random.SeedSequence([self._plan.seed, self.current_epoch]).generate_state(1)[0])

    def _add_loss(self, part: str, losses: Tensor, weights: Tensor) -> Tensor:
        """Add the loss of some rows to the sums of an epoch, and return their total loss."""
        total = (losses * weights).sum()
        self._losses[part].append(torch.stack([total.detach(), weights.sum()]))
        return total

    def _mean(self, part: str) -> Tensor:
        """Return the mean loss of all rows of a part in this epoch, including those of other processes."""
        own_totals = torch.stack(self._losses[part]).sum(0)
        self._losses[part].clear()
        totals = cast(Tensor, self.trainer.strategy.reduce(own_totals, reduce_op="sum"))
        return totals[0] / totals[1]


def _constant_then_cosine(progress: float) -> float:
    return 0.5 * (1 + math.cos(math.pi * max(0.0, progress - CONSTANT_SHARE) / (1 - CONSTANT_SHARE)))
