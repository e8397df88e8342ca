"""Which model it is to be: linear, trees or another estimator, the network, or a blend; validation rows decide."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from model_deployer.contract.errors import EnvironmentFault
from model_deployer.training.fitting.fitting import Plan, fit, kept_plan, plan_fit, plan_within
from model_deployer.training.models.baselines import linear_model
from model_deployer.training.models.estimators import fit_estimator, installed_boosting
from model_deployer.training.models.model import Model
from model_deployer.training.models.search import MAX_TRIALS, Options, SearchResult, plan_trials
from model_deployer.training.preprocessing.matrix import Matrix, fit_columns
from model_deployer.training.preprocessing.sample import Sample
from model_deployer.training.runtime.budget import Budget
from model_deployer.training.runtime.console import print_stage
from model_deployer.training.runtime.devices import choose_devices
from model_deployer.training.runtime.launch import launch
from model_deployer.training.spec import NETWORKS, Estimator, Spec

#: Shares of the scorer that are tried.
SHARES = np.linspace(0, 1, 21)

#: A share of less is not worth the cost of both.
LEAST_SHARE = 0.1

#: What the scorer of an interrupted run is kept in: beside its folder, which the network empties when it starts anew.
KEPT = ".estimator.onnx"

#: Of the time that is left, what the search for a scorer may take where the network comes after it.
SEARCH_SHARE = 0.45


@dataclass(frozen=True)
class Recipe:
    """How to fit the parts of a model again, on other rows.

    Attributes:
        plan: Of the network, if there is one that is fitted by gradient.
        history: Of its fit.
        rows: It learnt from, those in files too.
        name: Of the other estimator, if there is one.
        found: What the search for it found.
        options: Of that search.
    """

    plan: Plan | None = None
    history: tuple[dict[str, float], ...] = ()
    rows: int = 0
    name: str | None = None
    found: SearchResult | None = None
    options: Options | None = None

    def entry(self) -> dict[str, Any]:
        """What evaluation.json keeps of it."""
        entry: dict[str, Any] = {}
        if self.plan:
            entry |= {"epochs": self.plan.epochs, "batch_size": self.plan.batch_size, "rows": self.rows}
        if self.found and self.found.trials:
            entry |= {"trials": self.found.trials}
        return entry


@dataclass(frozen=True)
class Candidate:
    """One model that was tried.

    Attributes:
        name: As in model.yaml, or the names of network and scorer with a plus between them.
        loss: On the validation rows; see ``losses`` of the heads.
        seconds: Spent on fitting it.
        model: The fitted model.
        combined: What its head makes answers of, for the validation rows.
        recipe: How it was fitted.
    """

    name: str
    loss: float
    seconds: float
    model: Model
    combined: Tensor
    recipe: Recipe

    def entry(self) -> dict[str, Any]:
        """What evaluation.json keeps of it."""
        return {"name": self.name, "loss": self.loss, "seconds": round(self.seconds, 1), **self.recipe.entry()}


@dataclass(frozen=True)
class Choice:
    """What became of the candidates.

    Attributes:
        model: The one that is best on the validation rows.
        tried: Every candidate's ``name``, ``loss``, ``seconds`` and plan, the best first; one of them is ``chosen``.
        history: Of the network's fit; empty without one.
        recipe: How the model was fitted.
    """

    model: Model
    tried: list[dict[str, Any]]
    history: list[dict[str, float]]
    recipe: Recipe


def choose_model(model: Model, train: Sample, validation: Sample, spec: Spec, folder: Path) -> Choice:
    """Fit the candidates that the spec asks for, and choose.

    Args:
        model: From :func:`training.models.model_builder.build_model`, with a network of random weights.
        train: The rows to learn from.
        validation: The rows that decide.
        spec: Its ``estimator`` names a candidate, or ``auto`` for a linear model, boosted trees and the network.
        folder: Takes what an interrupted run goes on with.

    Raises:
        CheckFailed, EnvironmentFault, KeyboardInterrupt: As :func:`training.fitting.fitting.fit`.
        SpecError, EnvironmentFault: As :func:`training.models.estimators.fit_estimator`.
        SystemExit: This process was launched with others, another one leads, and there is no network to help with.
    """
    contest = _Contest(model, train, validation, spec)
    if launch().is_worker:
        return contest.follow(folder)
    candidates: list[Candidate] = []
    history: list[dict[str, float]] = []
    for name in _wanted(spec.estimator):
        if name == "linear":
            candidates.append(contest.enter(name, lambda: (linear_model(model, train), Recipe())))
        elif name in NETWORKS:
            plan = contest.plan(folder)
            if plan.is_cut and candidates:
                print_stage("skip", f"{name}: there is no time left for a single pass over the training rows")
                continue
            candidates.append(contest.enter(name, partial(contest.with_network, plan, folder, history)))
        else:
            candidates.append(contest.enter(name, partial(contest.with_estimator, name, folder)))
    candidates += contest.blends(candidates)
    best = _best(candidates)
    tried = sorted(candidates, key=lambda each: each.loss)
    print_stage("choose", _why(best, [each for each in tried if each is not best]))
    return Choice(best.model, [each.entry() | {"chosen": each is best} for each in tried], history, best.recipe)


def _wanted(estimator: Estimator) -> tuple[str, ...]:
    return ("linear", installed_boosting(), "tabm") if estimator.name == "auto" else (estimator.name,)


class _Contest:
    """The rows that all candidates learn from and are judged on."""

    def __init__(self, model: Model, train: Sample, validation: Sample, spec: Spec) -> None:
        self._model, self._train, self._validation, self._spec = model, train, validation, spec
        self._truth = torch.tensor(model.transform_target(validation.target))
        self._weights = torch.tensor(validation.row_weights)
        self._budget = Budget(spec.estimator.budget_seconds)
        self._first = 0.5 if spec.estimator.refit else 1.0  # the other half is for fitting what was chosen again
        self._machines = choose_devices(spec.estimator)

    def follow(self, folder: Path) -> Choice:
        """Help the process that leads to fit the network, the only candidate that it cannot fit alone."""
        if not set(NETWORKS) & set(_wanted(self._spec.estimator)):
            raise SystemExit(0)
        history: list[dict[str, float]] = []
        model, recipe = self.with_network(self.plan(folder), folder, history)
        return Choice(model, [], history, recipe)

    def enter(self, name: str, make: Callable[[], tuple[Model, Recipe]]) -> Candidate:
        """Fit a candidate and judge it."""
        began = time.perf_counter()
        model, recipe = make()
        combined = model.combined(self._validation.inputs)
        candidate = Candidate(name, self.loss(combined, model), time.perf_counter() - began, model, combined, recipe)
        print_stage("tried", f"{name}: {candidate.loss:.4g} on the validation part, {candidate.seconds:.0f} s")
        return candidate

    def loss(self, combined: Tensor, model: Model) -> float:
        """The weighted loss of combined answers."""
        return self._mean(self._losses(combined, model))

    def _losses(self, combined: Tensor, model: Model) -> Tensor:
        return model.head.losses(combined.double(), self._truth)

    def _mean(self, each: Tensor) -> float:
        return float((each * self._weights).sum() / self._weights.sum())

    def _is_worse(self, losses: Tensor, others: Tensor) -> bool:
        """Whether the losses are higher than others by more than a standard error of their difference."""
        difference = losses - others
        mean = self._mean(difference)
        weights = self._weights / self._weights.sum()
        error = float(((weights * (difference - mean)) ** 2).sum().sqrt())
        return mean > error

    def plan(self, folder: Path) -> Plan:
        """How the network is fitted; as an interrupted run planned it, if there was one."""
        if kept := kept_plan(folder, self._machines):
            return kept
        estimator = self._spec.estimator
        plan = plan_fit(self._model, estimator, self._train.rows, self._spec.seed, self._machines)
        if estimator.budget_seconds is None or estimator.epochs:
            return plan
        return plan_within(self._budget.left * self._first, plan, self._model, self._train, self._validation)

    def with_network(self, plan: Plan, folder: Path, history: list[dict[str, float]]) -> tuple[Model, Recipe]:
        """The network, fitted."""
        parameters = sum(parameter.numel() for parameter in self._model.parameters())
        print_stage("fit", f"{parameters:,} parameters, at most {plan.epochs} epochs of {plan.batch_size} rows a step")
        history += fit(self._model, self._train, self._validation, plan, folder)
        return self._model, Recipe(plan, tuple(history), self._train.rows)

    def with_estimator(self, name: str, folder: Path) -> tuple[Model, Recipe]:
        """Another estimator alone; that of an interrupted run where there is one."""
        model, train, seed = self._model, self._train, self._spec.seed
        classes = model.blueprint.outputs
        learnt = Sample(train.inputs, model.transform_target(train.target), train.weights)
        columns, own = fit_columns(model.scaling, model.blueprint.cardinalities, learnt, classes, seed)
        options = self._options(own)
        found = _kept(folder.with_suffix(KEPT))
        if found is None:
            judged = columns(self._validation.inputs.numbers, self._validation.inputs.codes)
            print_stage("fit", name)
            matrices = (
                Matrix(own, learnt.target, train.weights),
                Matrix(judged, self._truth.numpy(), self._validation.weights),
            )
            found = fit_estimator(name, *matrices, options)
            _keep(found, folder.with_suffix(KEPT))
        alone = model.with_network(None).with_estimator(columns, found.estimator, share=1.0)
        return alone, Recipe(name=name, found=found, options=options)

    def _options(self, columns: Tensor) -> Options:
        estimator = self._spec.estimator
        planned = MAX_TRIALS if estimator.budget_seconds else plan_trials(*columns.shape)
        return Options(
            objective=self._model.head.objective,
            seed=self._spec.seed,
            trials=estimator.trials or planned,
            parameters=estimator.parameters,
            budget=self._budget.part((SEARCH_SHARE if estimator.name == "auto" else 1) * self._first),
        )

    def blends(self, candidates: list[Candidate]) -> list[Candidate]:
        """The better network and the scorer, if both are there, with the share that suits the validation rows."""
        scorer = next((each for each in candidates if each.model.estimator), None)
        networks = [each for each in candidates if each.model.network]
        if scorer is None or not networks:
            return []
        network = min(networks, key=lambda each: each.loss)
        share = self._share(network, scorer)
        if not LEAST_SHARE <= share <= 1 - LEAST_SHARE:
            return []
        assert scorer.model.columns and scorer.model.estimator
        model = network.model.with_estimator(scorer.model.columns, scorer.model.estimator, share)
        combined = _mixed(network, scorer, share)
        loss = self.loss(combined, model)
        print_stage("tried", f"{network.name} with {share:.0%} of {scorer.name}: {loss:.4g} on the validation part")
        seconds = network.seconds + scorer.seconds
        recipe = replace(
            network.recipe, name=scorer.recipe.name, found=scorer.recipe.found, options=scorer.recipe.options
        )
        return [Candidate(f"{network.name}+{scorer.name}", loss, seconds, model, combined, recipe)]

    def _share(self, network: Candidate, scorer: Candidate) -> float:
        """What the scorer is to count: of all shares that are as good as the best, the most even one.

        Where the world moves on after training, two models that err differently err less together, and the validation
        rows show only part of that: a share is not taken to the last digit from them (the rule of one standard error:
        Breiman et al., 1984, "Classification and regression trees").
        """
        losses = [self._losses(_mixed(network, scorer, share), network.model) for share in SHARES]
        best = min(losses, key=self._mean)
        good = [share for share, each in zip(SHARES, losses, strict=True) if not self._is_worse(each, best)]
        return float(min(good, key=lambda share: abs(share - 0.5)))


def _mixed(network: Candidate, scorer: Candidate, share: float) -> Tensor:
    return network.model.head.blend(network.combined, scorer.combined, share)


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


def _keep(found: SearchResult, file: Path) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(found.serialized)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise EnvironmentFault(f"cannot keep {file}: {reason}; mend that and run the same command again") from None


def _kept(file: Path) -> SearchResult | None:
    try:
        return SearchResult.load(file.read_bytes())
    except Exception:  # there is none, or it is damaged: that raises ONNX Runtime's own errors too
        return None
