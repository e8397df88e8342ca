"""Which model it is to be: a linear one, trees, the network, or a blend; the validation rows decide."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from contract.errors import EnvironmentFault
from training.baselines import linear_model
from training.fitting import fit, plan_fit
from training.model import Model
from training.sample import Sample
from training.spec import Estimator, Spec
from training.stages import say
from training.trees import Options, Trees, fit_columns, fit_trees, is_installed, plan_trials

#: Shares of the trees that are tried.
SHARES = np.linspace(0, 1, 21)

#: A share of less is not worth the cost of both.
LEAST_SHARE = 0.1

#: What the trees of an interrupted run are kept in: beside its folder, which the network empties when it starts anew.
TREES = ".trees.txt"


@dataclass(frozen=True)
class Candidate:
    """One model that was tried.

    Attributes:
        name: ``linear``, ``lightgbm``, ``tabm``, or the names of network and trees with a plus between them.
        loss: On the validation rows; see ``losses`` of the heads.
        seconds: Spent on fitting it.
        model: The fitted model.
        joint: What its head makes answers of, for the validation rows.
    """

    name: str
    loss: float
    seconds: float
    model: Model
    joint: Tensor

    def entry(self) -> dict[str, Any]:
        """What evaluation.json keeps of it."""
        return {"name": self.name, "loss": self.loss, "seconds": round(self.seconds, 1)}


@dataclass(frozen=True)
class Choice:
    """What became of the candidates.

    Attributes:
        model: The one that is best on the validation rows.
        tried: Every candidate's ``name``, ``loss`` and ``seconds``, the best first, and whether it was ``chosen``.
        history: Of the network's fit; empty without one.
    """

    model: Model
    tried: list[dict[str, Any]]
    history: list[dict[str, float]]


def choose_model(model: Model, train: Sample, validation: Sample, spec: Spec, folder: Path) -> Choice:
    """Fit the candidates that the spec asks for, and choose.

    Args:
        model: From :func:`training.building.build_model`, with a network of random weights.
        train: The rows to learn from.
        validation: The rows that decide.
        spec: Its ``estimator`` names a candidate, or ``auto`` for all of them.
        folder: Takes what an interrupted run goes on with.

    Raises:
        CheckFailed, EnvironmentFault, KeyboardInterrupt: As :func:`training.fitting.fit`.
        EnvironmentFault: LightGBM is asked for by name, and not installed.
    """
    contest = _Contest(model, train, validation, spec)
    wanted = _wanted(spec.estimator)
    candidates: list[Candidate] = []
    history: list[dict[str, float]] = []
    if "linear" in wanted:
        candidates.append(contest.enter("linear", lambda: linear_model(model, train)))
    if "lightgbm" in wanted:
        candidates.append(contest.enter("lightgbm", lambda: contest.with_trees(folder)))
    if "tabm" in wanted:
        candidates.append(contest.enter("tabm", lambda: contest.with_network(folder, history)))
    candidates += contest.blends(candidates)
    best = _best(candidates)
    tried = sorted(candidates, key=lambda each: each.loss)
    say("choose", _why(best, [each for each in tried if each is not best]))
    return Choice(best.model, [each.entry() | {"chosen": each is best} for each in tried], history)


def _wanted(estimator: Estimator) -> tuple[str, ...]:
    if estimator.name != "auto":
        return (estimator.name,)
    if is_installed():
        return ("linear", "lightgbm", "tabm")
    say("warning", "no trees are tried: LightGBM, or the libgomp that it needs, is not installed; pip install lightgbm")
    return ("linear", "tabm")


class _Contest:
    """The rows that all candidates learn from and are judged on."""

    def __init__(self, model: Model, train: Sample, validation: Sample, spec: Spec) -> None:
        self._model, self._train, self._validation, self._spec = model, train, validation, spec
        self._truth = torch.tensor(model.learnt(validation.target))
        self._weights = torch.tensor(validation.each_weight)

    def enter(self, name: str, make: Callable[[], Model]) -> Candidate:
        """Fit a candidate and judge it."""
        began = time.perf_counter()
        model = make()
        joint = model.joint(self._validation.inputs)
        candidate = Candidate(name, self.loss(joint, model), time.perf_counter() - began, model, joint)
        say("tried", f"{name}: {candidate.loss:.4g} on the validation part, {candidate.seconds:.0f} s")
        return candidate

    def loss(self, joint: Tensor, model: Model) -> float:
        """The weighted loss of joint answers."""
        return self._mean(self._losses(joint, model))

    def _losses(self, joint: Tensor, model: Model) -> Tensor:
        return model.head.losses(joint.double(), self._truth)

    def _mean(self, each: Tensor) -> float:
        return float((each * self._weights).sum() / self._weights.sum())

    def _is_worse(self, losses: Tensor, others: Tensor) -> bool:
        """Whether the losses are higher than others by more than a standard error of their difference."""
        difference = losses - others
        mean = self._mean(difference)
        weights = self._weights / self._weights.sum()
        error = float(((weights * (difference - mean)) ** 2).sum().sqrt())
        return mean > error

    def with_network(self, folder: Path, history: list[dict[str, float]]) -> Model:
        """The network, fitted."""
        plan = plan_fit(self._model, self._spec.estimator, len(self._train), self._spec.seed)
        parameters = sum(parameter.numel() for parameter in self._model.parameters())
        say("fit", f"{parameters:,} parameters, at most {plan.epochs} epochs of {plan.batch_size} rows a step")
        history += fit(self._model, self._train, self._validation, plan, folder)
        return self._model

    def with_trees(self, folder: Path) -> Model:
        """Trees alone; those of an interrupted run where there are any."""
        model, train = self._model, self._train
        classes = model.blueprint.outputs
        learnt = Sample(train.inputs, model.learnt(train.target), train.weights)
        columns, own = fit_columns(model.scaling, model.blueprint.cardinalities, learnt, classes, self._spec.seed)
        trees = _kept(folder.with_suffix(TREES))
        if trees is None:
            judged = columns(self._validation.inputs.numbers, self._validation.inputs.codes)
            trials = self._spec.estimator.trials or plan_trials(len(train), own.shape[1])
            say("fit", f"trees, with {trials} set{'s' * (trials > 1)} of parameters")
            options = Options(model.head.objective, train.weights, self._validation.weights, self._spec.seed, trials)
            trees = fit_trees(own, learnt.target, judged, self._truth.numpy(), options)
            _keep(trees, folder.with_suffix(TREES))
        return model.with_network(None).with_trees(columns, trees, share=1.0)

    def blends(self, candidates: list[Candidate]) -> list[Candidate]:
        """The better network and the trees, if both are there, with the share that suits the validation rows."""
        trees = next((each for each in candidates if each.model.trees), None)
        networks = [each for each in candidates if each.model.network]
        if trees is None or not networks:
            return []
        network = min(networks, key=lambda each: each.loss)
        share = self._share(network, trees)
        if not LEAST_SHARE <= share <= 1 - LEAST_SHARE:
            return []
        assert trees.model.columns and trees.model.trees
        model = network.model.with_trees(trees.model.columns, trees.model.trees, share)
        joint = _mixed(network, trees, share)
        loss = self.loss(joint, model)
        say("tried", f"{network.name} with {share:.0%} of {trees.name}: {loss:.4g} on the validation part")
        return [Candidate(f"{network.name}+{trees.name}", loss, network.seconds + trees.seconds, model, joint)]

    def _share(self, network: Candidate, trees: Candidate) -> float:
        """What the trees are to count: of all shares that are as good as the best, the most even one.

        Where the world moves on after training, two models that err differently err less together, and the validation
        rows show only part of that: a share is not taken to the last digit from them (the rule of one standard error:
        Breiman et al., 1984, "Classification and regression trees").
        """
        losses = [self._losses(_mixed(network, trees, share), network.model) for share in SHARES]
        best = min(losses, key=self._mean)
        good = [share for share, each in zip(SHARES, losses, strict=True) if not self._is_worse(each, best)]
        return float(min(good, key=lambda share: abs(share - 0.5)))


def _mixed(network: Candidate, trees: Candidate, share: float) -> Tensor:
    return network.model.head.mixed(network.joint, trees.joint, share)


def _best(candidates: list[Candidate]) -> Candidate:
    """The blend, if there is one: it is as good as any on the validation rows, and more robust; else the least loss."""
    blends = [each for each in candidates if "+" in each.name]
    return blends[0] if blends else min(candidates, key=lambda each: each.loss)


def _why(best: Candidate, others: list[Candidate]) -> str:
    if not others:
        return f"{best.name}, the only one that was asked for"
    return f"{best.name}: its loss is {', '.join(_gap(best, each) for each in others)}"


def _gap(best: Candidate, other: Candidate) -> str:
    percent = 100 * (other.loss - best.loss) / other.loss if other.loss else 0.0
    return f"{abs(percent):.2g} % {'below' if percent >= 0 else 'above'} {other.name}'s"


def _keep(trees: Trees, file: Path) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(trees.text, encoding="utf-8")
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise EnvironmentFault(f"cannot keep {file}: {reason}; mend that and run the same command again") from None


def _kept(file: Path) -> Trees | None:
    try:
        return Trees(file.read_text(encoding="utf-8"))
    except Exception:  # there is none, or it is damaged: that raises LightGBM's own errors too
        return None
