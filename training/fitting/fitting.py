"""The network learns from the training rows, and stops where the validation rows say so."""

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
from typing import Any, cast

import numpy as np
import pytorch_lightning as lightning
import torch
from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint
from torch import Tensor
from torch.multiprocessing.spawn import ProcessException

from model_deployer.contract.errors import CheckFailed, EnvironmentFault
from model_deployer.training.fitting.batches import Batch, Files, Share, Shuffled, scaled, training_batches
from model_deployer.training.models.model import Model, rows_at_once
from model_deployer.training.models.network import Network
from model_deployer.training.preprocessing.sample import Sample
from model_deployer.training.runtime.devices import ONE_CPU, THREADS, Devices
from model_deployer.training.runtime.launch import launch
from model_deployer.training.runtime.progress import EpochProgress
from model_deployer.training.runtime.silence import silence_libraries
from model_deployer.training.spec import Estimator

#: Multiplications in hidden layers that all epochs together may take, where the spec names no epochs: about 100 seconds
#: of one ordinary core. They do not depend on how many processes share them.
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
        is_final: Whether all epochs are run, and the last one counts: no rows are left to judge them by.
        on: The machines that it runs on.
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
    on: Devices = ONE_CPU

    def finally_for(self, rows: int, history: Sequence[Mapping[str, float]]) -> "Plan":
        """The plan by which a fit that went so is done again on so many rows: as many epochs as were best.

        The learning rate falls within these: that is worth more than the very path to the best epoch.
        """
        epochs = int(min(history, key=lambda entry: entry["validation_loss"])["epoch"])
        steps = self.steps if self.is_cut else epochs * math.ceil(rows / self.batch_size)
        return replace(self, epochs=epochs, steps=steps, is_final=True)


def plan_fit(model: Model, estimator: Estimator, rows: int, seed: int, on: Devices = ONE_CPU) -> Plan:
    """Choose epochs and batch size for so many training rows, whatever the machine; on a GPU for its larger network."""
    affordable = int(on.cores * WORK / (rows * _network(model).work))
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
        on=on,
    )


def plan_within(seconds: float, plan: Plan, model: Model, train: Sample, validation: Sample) -> Plan:
    """The plan with as many epochs as this machine has time for: a dozen steps are timed on a copy of the network.

    They are timed in one process: several are not slower.
    """
    batches = plan.steps // plan.epochs
    began = time.monotonic()
    step, judging = _pace(_Learner(copy.deepcopy(model), train, validation, plan), plan.on.first)
    left = max(0.0, seconds - (time.monotonic() - began))
    if epochs := min(MOST_EPOCHS, int(left / (batches * step + judging))):
        return replace(plan, epochs=epochs, steps=epochs * batches)
    return replace(plan, epochs=1, steps=max(1, int((left - judging) / step)), is_cut=True)


def _pace(learner: "_Learner", device: torch.device) -> tuple[float, float]:
    """Seconds of a training step, and of judging an epoch; what the learner has learnt by that is of no use."""
    learner.to(device).on_fit_start()
    optimiser = learner.configure_optimizers()[0][0]
    judged = learner.val_dataloader()
    with _threads(THREADS), _rng():
        steps = [_seconds_of(learner.step, optimiser, batch) for batch in islice(learner.train_dataloader(), TIMED)]
        judging = _seconds_of(learner.judge, next(iter(judged))) * len(judged)
    return statistics.median(steps), judging


def _seconds_of(work: Callable[..., Tensor], *arguments: Any) -> float:
    began = time.perf_counter()
    work(*arguments).item()  # waits for a GPU
    return time.perf_counter() - began


def kept_plan(folder: Path, on: Devices = ONE_CPU) -> Plan | None:
    """The plan of the interrupted fit whose checkpoint lies in a folder; None where there is none, or it is damaged.

    It may go on elsewhere than it began.
    """
    try:
        return Plan(**_load(folder / LAST)["plan"], on=on)
    except Exception:  # a damaged pickle may raise anything
        return None


def fit(model: Model, train: Sample, validation: Sample, plan: Plan, folder: Path) -> list[dict[str, float]]:
    """Fit the model in place and leave it, on the CPU, with the weights of the epoch that was best on validation rows.

    Under a final plan these are the weights of the last epoch.

    Every epoch ends with a checkpoint in ``folder``, and a checkpoint found there is gone on from, unless it is damaged
    or of another network: then the fit starts anew. Whatever is random
    in an epoch depends on the seed and the number of the epoch alone, so a resumed fit ends with the very weights of
    one that was never interrupted.

    Several processes share the rows of every batch, and each step is the one that a single process would take but for
    rounding and for what is drawn at random within the network. Where they were launched together, each of them calls
    this with the same arguments, and all of them have to see the folder.

    Args:
        model: From :func:`training.models.model_builder.build_model`.
        train: The rows to learn from.
        validation: The rows that choose the epoch.
        plan: From :func:`plan_fit`.
        folder: Takes the checkpoints of this fit and no other.

    Returns:
        For each epoch ``epoch`` (from 1), ``train_loss`` and ``validation_loss``: see ``losses`` of the heads.

    Raises:
        CheckFailed: The losses became infinite before there was anything to keep.
        EnvironmentFault: A checkpoint could not be written, or a process of several has ended before its time.
        KeyboardInterrupt: The user interrupted; the last complete epoch lies in ``folder``.
    """
    learner = _Learner(model, train, validation, plan)
    resumes = all(_belongs(folder / name, learner) for name in (LAST, BEST))
    if not resumes and not launch().is_worker:
        shutil.rmtree(folder, ignore_errors=True)
    with silence_libraries(), _rng(), _threads(THREADS):
        _run(learner, _trainer(plan, folder, _epochs(plan, folder) if resumes else plan.epochs), folder, resumes)
    history = _adopt(learner.cpu(), folder, LAST if plan.is_final else BEST)
    if plan.on.launched:
        torch.distributed.barrier()  # until the last one has read them, no process may take the checkpoints away
    model.eval()
    return history


def _adopt(learner: "_Learner", folder: Path, chosen: str) -> list[dict[str, float]]:
    """Take over what the fit left in its checkpoints, as it may have run in other processes.

    Raises:
        CheckFailed: There is none, as the first losses were infinite.
    """
    history: list[dict[str, float]] = _load(folder / LAST)["history"] if (folder / BEST).exists() else []
    if not history or not math.isfinite(min(entry["validation_loss"] for entry in history)):
        raise CheckFailed("the loss became infinite in the first epoch; lower `estimator.learning_rate`")
    learner.load_state_dict(_load(folder / chosen)["state_dict"])
    return history


def _network(model: Model) -> Network:
    if not isinstance(model.network, Network):
        raise TypeError("only a network is fitted by gradient")
    return model.network


def _belongs(checkpoint: Path, learner: "_Learner") -> bool:
    """Whether a checkpoint is there, whole, and of such a network."""
    try:
        found = _load(checkpoint)["state_dict"]
    except Exception:  # a damaged pickle may raise anything
        return False
    return _shapes(found) == _shapes(learner.state_dict())


def _shapes(state: Mapping[str, Tensor]) -> dict[str, torch.Size]:
    return {name: value.shape for name, value in state.items()}


def _load(checkpoint: Path) -> dict[str, Any]:
    return cast(dict[str, Any], torch.load(checkpoint, map_location="cpu", weights_only=False))


def _epochs(plan: Plan, folder: Path) -> int:
    """How many epochs a resumed fit is to have in all: no more than it has, if its patience is at an end.

    Lightning would go on for one more.
    """
    if plan.is_final:
        return plan.epochs
    losses = [entry["validation_loss"] for entry in _load(folder / LAST)["history"]]
    is_over = not math.isfinite(losses[-1]) or len(losses) - 1 - np.argmin(losses) >= plan.patience
    return len(losses) if is_over else plan.epochs


def _trainer(plan: Plan, folder: Path, epochs: int) -> lightning.Trainer:
    best, last = (
        ModelCheckpoint(
            folder,
            filename=Path(name).stem,
            monitor=monitor,
            save_on_train_epoch_end=True,
            enable_version_counter=False,
        )
        for name, monitor in ((BEST, "validation_loss"), (LAST, None))
    )
    stops = [] if plan.is_final else [EarlyStopping("validation_loss", patience=plan.patience)]
    return lightning.Trainer(
        **plan.on.arguments(),
        max_epochs=epochs,
        limit_train_batches=plan.steps if plan.is_cut else None,
        gradient_clip_val=CLIP,
        deterministic=True,
        reload_dataloaders_every_n_epochs=1,
        num_sanity_val_steps=0,
        callbacks=[EpochProgress(), best, last, *stops],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
    )


def _run(learner: "_Learner", trainer: lightning.Trainer, folder: Path, resumes: bool) -> None:
    """Lightning answers Ctrl-C with an exit of its own and deaf to the next one; both are undone."""
    handler = signal.getsignal(signal.SIGINT)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        trainer.fit(learner, ckpt_path=folder / LAST if resumes else None, weights_only=False)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        message = f"cannot keep checkpoints in {folder}: {reason}; mend that and run the same command again"
        raise EnvironmentFault(message) from None
    except ProcessException as error:
        reason = str(error).strip().splitlines()[-1]
        message = f"a process of the fit has ended before its time: {reason}; mend that and run the same command again"
        raise EnvironmentFault(message) from None
    except SystemExit as stop:
        signal.signal(signal.SIGINT, handler)
        if trainer.strategy.launcher:
            trainer.strategy.launcher.kill(signal.SIGKILL)  # processes that were not interrupted would go on
        raise KeyboardInterrupt from stop


def _rng() -> AbstractContextManager[None]:
    """Keeps what the rest of this process draws at random as it was; nothing but a fit draws on a GPU."""
    return torch.random.fork_rng(devices=[])


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class _Learner(lightning.LightningModule):
    """What Lightning has to know: the batches, the losses, the optimiser."""

    def __init__(self, model: Model, train: Sample, validation: Sample, plan: Plan) -> None:
        super().__init__()
        self.network = _network(model)
        self.history: list[dict[str, float]] = []
        self._head = (model.head,)  # in a tuple, as it is no part of what is learnt and kept
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

    def training_step(self, batch: Batch) -> Tensor:
        """The loss whose gradient, averaged over the processes, is that of the weighted mean over the whole batch."""
        *inputs, target, weights, whole = batch
        (head,), answers = self._head, self.network(*inputs)
        members = answers.shape[1]
        each = head.losses(answers.flatten(0, 1), target.repeat_interleave(members))
        total = self._total("train", each.view(-1, members).mean(1), weights)
        least = torch.finfo(whole.dtype).tiny  # all rows of a batch may weigh nothing
        return total * self._share.processes / whole.clamp_min(least)

    def validation_step(self, batch: Batch) -> Tensor:
        """The loss of the members' common answer, which is what a caller gets."""
        *inputs, target, weights, _ = batch
        (head,) = self._head
        return self._total("validation", head.losses(head.combine(self.network(*inputs), None), target), weights)

    def step(self, optimiser: torch.optim.Optimizer, batch: Batch) -> Tensor:
        """One step, outside of Lightning."""
        self.train()
        optimiser.zero_grad()
        loss = self.training_step(self._here(batch))
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), CLIP)
        optimiser.step()
        return loss

    @torch.no_grad()
    def judge(self, batch: Batch) -> Tensor:
        """The loss of some rows, outside of Lightning."""
        self.eval()
        return self.validation_step(self._here(batch))

    def _here(self, batch: Batch) -> Batch:
        return tuple(tensor.to(self.device) for tensor in batch)

    def on_validation_epoch_end(self) -> None:
        train, validation = self._mean("train"), self._mean("validation")
        self.log("validation_loss", validation)
        losses = {"train_loss": train.item(), "validation_loss": validation.item()}
        self.history.append({"epoch": self.current_epoch + 1} | losses)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["history"] = self.history
        checkpoint["plan"] = {name: value for name, value in vars(self._plan).items() if name != "on"}

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

    def _total(self, part: str, losses: Tensor, weights: Tensor) -> Tensor:
        total = (losses * weights).sum()
        self._losses[part].append(torch.stack([total.detach(), weights.sum()]))
        return total

    def _mean(self, part: str) -> Tensor:
        """Of all rows of a part, those of the other processes too."""
        mine = torch.stack(self._losses[part]).sum(0)
        self._losses[part].clear()
        totals = cast(Tensor, self.trainer.strategy.reduce(mine, reduce_op="sum"))
        return totals[0] / totals[1]


def _flat_then_cosine(share: float) -> float:
    return 0.5 * (1 + math.cos(math.pi * max(0.0, share - FLAT) / (1 - FLAT)))
