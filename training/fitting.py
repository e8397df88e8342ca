"""The network learns from the training rows, and stops where the validation rows say so."""

import copy
import math
import shutil
import signal
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as lightning
import torch
from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint
from rich import get_console
from torch import Tensor

from contract.errors import CheckFailed, EnvironmentFault
from training.model import CHUNK, Model
from training.network import Network
from training.progress import EpochProgress
from training.quiet import quiet
from training.sample import Sample
from training.spec import Estimator

#: Multiplications in hidden layers that all epochs together may take, where the spec names no epochs: about 100 seconds
#: of one ordinary core.
WORK = 6e11

#: Most and fewest epochs that are planned.
MOST_EPOCHS, FEWEST_EPOCHS = 100, 1

#: Steps that an epoch has at least, as far as the smallest batch allows: few rows need steps more than large batches.
STEPS = 128
SMALLEST_BATCH, LARGEST_BATCH = 32, 256

#: Share of the steps after which the learning rate falls along a cosine.
FLAT = 0.5

#: Steps that are timed where a budget has to be kept.
TIMED = 12

#: Norm that gradients are clipped to.
CLIP = 1.0

#: Threads of a fit. With one, weights do not depend on the number of cores, nor the time on what else they do.
THREADS = 1

LAST = "last.ckpt"
BEST = "best.ckpt"


@dataclass(frozen=True)
class Plan:
    """How one fit goes: fixed before it begins.

    Attributes:
        epochs: Passes over the training rows.
        batch_size: Rows of a step.
        steps: Of all epochs together.
        learning_rate, weight_decay: Of AdamW.
        patience: Epochs without improvement after which it ends.
        seed: Of everything that is drawn at random.
        is_cut: Whether the only epoch ends before all rows were seen, as there is no time for more.
    """

    epochs: int
    batch_size: int
    steps: int
    learning_rate: float
    weight_decay: float
    patience: int
    seed: int
    is_cut: bool = False


def plan_fit(model: Model, estimator: Estimator, rows: int, seed: int) -> Plan:
    """Choose epochs and batch size for so many training rows, whatever the machine."""
    affordable = int(WORK / (rows * _network(model).work))
    epochs = estimator.epochs or min(MOST_EPOCHS, max(FEWEST_EPOCHS, affordable))
    fitting = 2 ** math.floor(math.log2(max(1, rows / STEPS)))
    batch_size = estimator.batch_size or min(LARGEST_BATCH, max(SMALLEST_BATCH, fitting))
    return Plan(
        epochs=epochs,
        batch_size=batch_size,
        steps=epochs * math.ceil(rows / batch_size),
        learning_rate=estimator.learning_rate,
        weight_decay=estimator.weight_decay,
        patience=estimator.patience,
        seed=seed,
    )


def plan_within(seconds: float, plan: Plan, model: Model, train: Sample, validation: Sample) -> Plan:
    """The plan with as many epochs as this machine has time for: a dozen steps are timed on a copy of the network."""
    batches = plan.steps // plan.epochs
    began = time.monotonic()
    step, judging = _pace(_Learner(copy.deepcopy(model), train, validation, plan))
    left = max(0.0, seconds - (time.monotonic() - began))
    if epochs := min(MOST_EPOCHS, int(left / (batches * step + judging))):
        return replace(plan, epochs=epochs, steps=epochs * batches)
    return replace(plan, epochs=1, steps=max(1, int((left - judging) / step)), is_cut=True)


def _pace(learner: "_Learner") -> tuple[float, float]:
    """Seconds of a training step, and of judging an epoch; what the learner has learnt by that is of no use."""
    optimiser = learner.configure_optimizers()[0][0]
    judged = learner.val_dataloader()
    with _threads(THREADS), torch.random.fork_rng():
        steps = [_seconds_of(learner.step, optimiser, batch) for batch in islice(learner.train_dataloader(), TIMED)]
        judging = _seconds_of(learner.judge, next(iter(judged))) * len(judged)
    return statistics.median(steps), judging


def _seconds_of(work: Callable[..., None], *arguments: Any) -> float:
    began = time.perf_counter()
    work(*arguments)
    return time.perf_counter() - began


def kept_plan(folder: Path) -> Plan | None:
    """The plan of the interrupted fit whose checkpoint lies in a folder; None where there is none, or it is damaged."""
    try:
        return Plan(**torch.load(folder / LAST, weights_only=False)["plan"])
    except Exception:  # a damaged pickle may raise anything
        return None


def fit(model: Model, train: Sample, validation: Sample, plan: Plan, folder: Path) -> list[dict[str, float]]:
    """Fit the model in place and leave it with the weights of the epoch that was best on the validation rows.

    Every epoch ends with a checkpoint in ``folder``, and a checkpoint found there is gone on from, unless it is damaged
    or of another network: then the fit starts anew. Whatever is random
    in an epoch depends on the seed and the number of the epoch alone, so a resumed fit ends with the very weights of
    one that was never interrupted.

    Args:
        model: From :func:`training.building.build_model`.
        train: The rows to learn from.
        validation: The rows that choose the epoch.
        plan: From :func:`plan_fit`.
        folder: Takes the checkpoints of this fit and no other.

    Returns:
        For each epoch ``epoch`` (from 1), ``train_loss`` and ``validation_loss``: see ``losses`` of the heads.

    Raises:
        CheckFailed: The losses became infinite before there was anything to keep.
        EnvironmentFault: A checkpoint could not be written.
        KeyboardInterrupt: The user interrupted; the last complete epoch lies in ``folder``.
    """
    learner = _Learner(model, train, validation, plan)
    if not all(_belongs(folder / name, learner) for name in (LAST, BEST)):
        shutil.rmtree(folder, ignore_errors=True)
    with quiet(), torch.random.fork_rng(), _threads(THREADS):
        _run(learner, _trainer(plan, folder), folder / LAST)
    best = folder / BEST
    if not best.exists() or not math.isfinite(min(entry["validation_loss"] for entry in learner.history)):
        raise CheckFailed("the loss became infinite in the first epoch; lower `estimator.learning_rate`")
    learner.load_state_dict(torch.load(best, weights_only=False)["state_dict"])
    model.eval()
    return learner.history


def _network(model: Model) -> Network:
    if not isinstance(model.network, Network):
        raise TypeError("only a network is fitted by gradient")
    return model.network


def _belongs(checkpoint: Path, learner: "_Learner") -> bool:
    """Whether a checkpoint is there, whole, and of such a network."""
    try:
        found = torch.load(checkpoint, weights_only=False)["state_dict"]
    except Exception:  # a damaged pickle may raise anything
        return False
    return _shapes(found) == _shapes(learner.state_dict())


def _shapes(state: Mapping[str, Tensor]) -> dict[str, torch.Size]:
    return {name: value.shape for name, value in state.items()}


def _trainer(plan: Plan, folder: Path) -> lightning.Trainer:
    best = ModelCheckpoint(
        folder,
        filename=Path(BEST).stem,
        monitor="validation_loss",
        save_last=True,
        save_on_train_epoch_end=True,
        enable_version_counter=False,
    )
    return lightning.Trainer(
        accelerator="cpu",
        devices=1,
        max_epochs=plan.epochs,
        limit_train_batches=plan.steps if plan.is_cut else None,
        gradient_clip_val=CLIP,
        deterministic=True,
        reload_dataloaders_every_n_epochs=1,
        num_sanity_val_steps=0,
        callbacks=[EpochProgress(get_console()), EarlyStopping("validation_loss", patience=plan.patience), best],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
    )


def _run(learner: "_Learner", trainer: lightning.Trainer, last: Path) -> None:
    """Lightning answers Ctrl-C with an exit of its own and deaf to the next one; both are undone."""
    handler = signal.getsignal(signal.SIGINT)
    try:
        trainer.fit(learner, ckpt_path=last if last.exists() else None, weights_only=False)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        message = f"cannot keep checkpoints in {last.parent}: {reason}; mend that and run the same command again"
        raise EnvironmentFault(message) from None
    except SystemExit as stop:
        signal.signal(signal.SIGINT, handler)
        raise KeyboardInterrupt from stop


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@dataclass(frozen=True)
class _Batches:
    """Rows of some tensors, a batch at a time; in an order that the seed decides, or in their own."""

    tensors: tuple[Tensor, ...]
    size: int
    seed: int | None = None

    def __len__(self) -> int:
        return math.ceil(len(self.tensors[0]) / self.size)

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        rows = len(self.tensors[0])
        order = torch.arange(rows)
        if self.seed is not None:
            order = torch.randperm(rows, generator=torch.Generator().manual_seed(self.seed))
        return (tuple(tensor[batch] for tensor in self.tensors) for batch in torch.split(order, self.size))


class _Learner(lightning.LightningModule):
    """What Lightning has to know: the batches, the losses, the optimiser."""

    def __init__(self, model: Model, train: Sample, validation: Sample, plan: Plan) -> None:
        super().__init__()
        self.network = _network(model)
        self.history: list[dict[str, float]] = []
        self._head = (model.head,)
        self._plan = plan
        self._train_rows = _tensors(model, train)
        self._validation_rows = _tensors(model, validation)
        self._losses: dict[str, list[Tensor]] = {"train": [], "validation": []}

    def train_dataloader(self) -> Any:
        return _Batches(self._train_rows, self._plan.batch_size, self._epoch_seed())

    def val_dataloader(self) -> Any:
        return _Batches(self._validation_rows, CHUNK)

    def on_train_epoch_start(self) -> None:
        torch.manual_seed(self._epoch_seed())

    def training_step(self, batch: tuple[Tensor, ...]) -> Tensor:
        *inputs, target, weights = batch
        (head,), answers = self._head, self.network(*inputs)
        members = answers.shape[1]
        each = head.losses(answers.flatten(0, 1), target.repeat_interleave(members))
        return self._weighted("train", each.view(-1, members).mean(1), weights)

    def validation_step(self, batch: tuple[Tensor, ...]) -> None:
        """The loss of the members' common answer, which is what a caller gets."""
        *inputs, target, weights = batch
        (head,) = self._head
        self._weighted("validation", head.losses(head.joint(self.network(*inputs), None), target), weights)

    def step(self, optimiser: torch.optim.Optimizer, batch: tuple[Tensor, ...]) -> None:
        """One step, outside of Lightning."""
        self.train()
        optimiser.zero_grad()
        self.training_step(batch).backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), CLIP)
        optimiser.step()

    @torch.no_grad()
    def judge(self, batch: tuple[Tensor, ...]) -> None:
        """The loss of some rows, outside of Lightning."""
        self.eval()
        self.validation_step(batch)

    def on_validation_epoch_end(self) -> None:
        train, validation = self._mean("train"), self._mean("validation")
        self.log("validation_loss", validation)
        losses = {"train_loss": train.item(), "validation_loss": validation.item()}
        self.history.append({"epoch": self.current_epoch + 1} | losses)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["history"] = self.history
        checkpoint["plan"] = asdict(self._plan)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.history = checkpoint["history"]

    def configure_optimizers(self) -> Any:
        plan = self._plan
        optimiser = torch.optim.AdamW(
            self.network.parameters(), lr=plan.learning_rate, weight_decay=plan.weight_decay, fused=True
        )
        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _flat_then_cosine(step / plan.steps))
        return [optimiser], [{"scheduler": schedule, "interval": "step"}]

    def _epoch_seed(self) -> int:
        return int(np.random.SeedSequence([self._plan.seed, self.current_epoch]).generate_state(1)[0])

    def _weighted(self, part: str, losses: Tensor, weights: Tensor) -> Tensor:
        total, weight = (losses * weights).sum(), weights.sum()
        self._losses[part].append(torch.stack([total.detach(), weight]))
        return total / weight.clamp_min(torch.finfo(weight.dtype).tiny)  # all rows of a batch may weigh nothing

    def _mean(self, part: str) -> Tensor:
        totals = torch.stack(self._losses[part]).sum(0)
        self._losses[part].clear()
        return totals[0] / totals[1]


def _flat_then_cosine(share: float) -> float:
    return 0.5 * (1 + math.cos(math.pi * max(0.0, share - FLAT) / (1 - FLAT)))


@torch.no_grad()
def _tensors(model: Model, sample: Sample) -> tuple[Tensor, ...]:
    """Scaled inputs, target and weights: scaling is the same in every epoch, so it is done once."""
    scaled = model.scaling(sample.inputs.numbers, sample.inputs.codes)
    target = model.head.learnt(torch.tensor(sample.target))
    return (*scaled, target, torch.tensor(sample.each_weight).float())
