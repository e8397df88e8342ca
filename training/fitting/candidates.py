"""Fit the candidates (linear model, trees, network, their blend) and choose the best on the validation rows."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pytorch_lightning import LightningModule
from sklearn.base import BaseEstimator
from torch import Tensor

from model_deployer.contract.errors import EnvironmentFault
from model_deployer.contract.evaluation import CandidateResult, Epoch, SkippedCandidate
from model_deployer.contract.number_format import exact
from model_deployer.training.fitting.fitting import Plan, fit, load_plan, plan_fit, plan_within
from model_deployer.training.models.baselines import linear_model
from model_deployer.training.models.estimators import fit_estimator, installed_boosting
from model_deployer.training.models.model import Model
from model_deployer.training.models.network import Network
from model_deployer.training.models.own_network import OwnArchitecture, OwnNetwork, build_own_network
from model_deployer.training.models.search import MAX_TRIALS, Options, SearchResult, plan_trials
from model_deployer.training.preprocessing.matrix import Matrix, fit_columns
from model_deployer.training.preprocessing.sample import Sample
from model_deployer.training.runtime.budget import Budget
from model_deployer.training.runtime.console import print_stage
from model_deployer.training.runtime.devices import broadcast_decision, choose_devices
from model_deployer.training.runtime.imports import import_class
from model_deployer.training.runtime.launch import launch
from model_deployer.training.spec import ESTIMATORS, NETWORKS, Component, Estimator, Spec

#: The weights of the estimator in a blend that are compared.
SHARES = np.linspace(0, 1, 21)

#: A blend with a smaller weight of one part is not worth the cost of both parts.
MIN_SHARE = 0.1

#: The suffix of the file with the fitted estimator of an interrupted run. The file is next to the run's folder, because
#: the fit of the network empties the folder when it starts from scratch.
ESTIMATOR_SUFFIX = ".onnx"

#: The part of the remaining time that the candidates share if there is more than one to come; the rest is for what they
#: do not count.
SHARED_TIME = 0.9

_NO_TIME = "the time budget does not allow one pass over the training rows"


@dataclass(frozen=True)
class Recipe:
    """How to fit the parts of a model again, on other rows.

    Attributes:
        plan: The plan of the network's fit; None without a network.
        history: The losses of the network's fit, by epoch.
        rows: The number of rows that the network was fitted on, including those in files.
        estimator: The name of the estimator of another library; None without one.
        search_result: The result of its search; None without one.
        options: The options of its search; None without one.
    """

    plan: Plan | None = None
    history: tuple[dict[str, float], ...] = ()
    rows: int = 0
    estimator: str | None = None
    search_result: SearchResult | None = None
    options: Options | None = None

    def effort(self) -> dict[str, Any]:
        """Return the fields of :class:`contract.evaluation.CandidateResult` that only some candidates have."""
        effort: dict[str, Any] = {}
        if self.plan:
            effort |= {"epochs": self.plan.epochs, "batch_size": self.plan.batch_size, "rows": self.rows}
        if self.search_result and self.search_result.trials:
            effort |= {"trials": self.search_result.trials}
        return effort

    def parameters(self) -> dict[str, str]:
        """Return the parameters of the fit as text, for people: what was searched or set, and the size of the fit."""
        named: dict[str, Any] = {}
        if self.search_result:
            named |= dict(self.search_result.parameters)
            named |= {} if self.search_result.rounds is None else {"boosting rounds": self.search_result.rounds}
        if self.plan:
            named |= {"epochs at most": self.plan.epochs, "batch size": self.plan.batch_size}
        return {name: exact(value) if isinstance(value, float) else str(value) for name, value in named.items()}


@dataclass(frozen=True)
class Candidate:
    """A fitted model to choose from.

    Attributes:
        name: The name in model.yaml, or for a blend the names of network and estimator with a plus between them.
        loss: The mean loss on the validation rows; see ``losses`` of the heads.
        seconds: The duration of the fit.
        model: The fitted model.
        combined: The input of its head for the validation rows; see :meth:`training.models.model.Model.combined`.
        recipe: How it was fitted.
    """

    name: str
    loss: float
    seconds: float
    model: Model
    combined: Tensor
    recipe: Recipe

    def result(self, is_chosen: bool) -> CandidateResult:
        """Return the part of the candidate that the evaluation contains."""
        seconds = round(self.seconds, 1)
        return CandidateResult(
            name=self.name,
            loss=self.loss,
            seconds=seconds,
            **self.recipe.effort(),
            chosen=is_chosen,
            parameters=self.recipe.parameters(),
        )


@dataclass(frozen=True)
class Choice:
    """The chosen model.

    Attributes:
        model: The chosen model.
        tried: All candidates, the lowest loss first; one of them is ``chosen``.
        skipped: The candidates that were not fitted, with the reason.
        history: The losses of the network's fit, by epoch; empty without a network.
        recipe: How the model was fitted.
    """

    model: Model
    tried: tuple[CandidateResult, ...]
    skipped: tuple[SkippedCandidate, ...]
    history: tuple[Epoch, ...]
    recipe: Recipe


def choose_model(model: Model, train: Sample, validation: Sample, spec: Spec, folder: Path) -> Choice:
    """Fit the candidates that the spec names, and choose one.

    Args:
        model: A model from :func:`training.models.model_builder.build_model`, with a network of random weights.
        train: The rows to fit on.
        validation: The rows to choose on.
        spec: The model.yaml; its ``estimator`` names one candidate, or ``auto`` for a linear model, boosted trees and
            the network, and classes that compete with them.
        folder: The folder for the files that a restarted run resumes from.

    Raises:
        CheckFailed, EnvironmentFault, KeyboardInterrupt: as :func:`training.fitting.fitting.fit`.
        SpecError, EnvironmentFault: as :func:`training.models.estimators.fit_estimator`.
        SystemExit: if this process is a worker of a launch and there is no network to fit.
    """
    components = _components(spec.estimator)
    fits = _CandidateFits(model, train, validation, spec, time_shares(components))
    if launch().is_worker:
        return fits.help_leader([component for component in components if is_network(component.name)], folder)
    candidates: list[Candidate] = []
    skipped: list[SkippedCandidate] = []
    for component in components:
        name = component.name
        if name == "linear":
            candidates.append(fits.fit_candidate(name, lambda: (linear_model(model, train), Recipe())))
        elif is_network(name):
            unfitted, network_folder = fits.network(component), _network_folder(folder, name)
            plan = fits.plan(name, unfitted, network_folder)
            if plan.is_cut and candidates:
                skipped.append(SkippedCandidate(name=name, reason=_NO_TIME))
                print_stage("skip", f"{name}: {_NO_TIME}")
                continue
            candidates.append(fits.fit_candidate(name, partial(fits.fit_network, unfitted, plan, network_folder)))
        else:
            candidates.append(fits.fit_candidate(name, partial(fits.fit_estimator, component, folder)))
    candidates += fits.blends(candidates)
    best = _best(candidates)
    ranked = sorted(candidates, key=lambda candidate: candidate.loss)
    print_stage("choose", _reason(best, [candidate for candidate in ranked if candidate is not best]))
    broadcast_decision(_architecture(best.model))
    results = tuple(candidate.result(is_chosen=candidate is best) for candidate in ranked)
    return Choice(best.model, results, tuple(skipped), _epochs(best, ranked), best.recipe)


def _components(estimator: Estimator) -> tuple[Component, ...]:
    """Return the candidates in the order of their fits: networks, which need the most time, come last."""
    names = ("linear", installed_boosting(), "tabm") if estimator.name == "auto" else (estimator.name,)
    plain = [Component.model_construct(name=name, parameters=estimator.parameters) for name in names]
    return tuple(sorted([*plain, *estimator.candidates], key=lambda component: is_network(component.name)))


def is_network(name: str) -> bool:
    """Return whether a candidate is fitted by gradient.

    Args:
        name: A value of ``estimator.name``, other than ``auto``.

    Raises:
        EnvironmentFault: if a class cannot be imported.
        SpecError: if it is neither an estimator nor a LightningModule.
    """
    if name in ESTIMATORS:
        return name in NETWORKS
    bases: tuple[type[Any], ...] = (BaseEstimator, LightningModule)
    return issubclass(import_class(name, bases, "estimator"), LightningModule)


def time_shares(components: Sequence[Component]) -> dict[str, float]:
    """Return the share of the remaining time for each candidate, by name: all of it for the last one."""
    left = range(len(components), 0, -1)
    return {
        component.name: SHARED_TIME / count if count > 1 else 1.0
        for component, count in zip(components, left, strict=True)
    }


class _CandidateFits:
    """The fits of all candidates on the same training rows, with losses on the same validation rows."""

    def __init__(
        self, model: Model, train: Sample, validation: Sample, spec: Spec, time_shares: Mapping[str, float]
    ) -> None:
        self._model, self._train, self._validation, self._spec = model, train, validation, spec
        self._truth = torch.tensor(model.transform_target(validation.target))
        self._weights = torch.tensor(validation.row_weights)
        self._budget, self._time_shares = Budget(spec.estimator.budget_seconds), time_shares
        self._first_fit_share = 0.5 if spec.estimator.refit else 1.0  # the other half of the time is for the refit
        self._devices = choose_devices(spec.estimator)

    def help_leader(self, networks: Sequence[Component], folder: Path) -> Choice:
        """Help the first process of a launch to fit the networks; it fits all other candidates alone."""
        if not networks:
            raise SystemExit(0)
        fitted = []
        for component in networks:
            model, network_folder = self.network(component), _network_folder(folder, component.name)
            fitted.append(self.fit_network(model, self.plan(component.name, model, network_folder), network_folder))
        chosen = broadcast_decision(None)
        model, recipe = next((fit for fit in fitted if _architecture(fit[0]) == chosen), fitted[0])
        return Choice(model, (), (), (), recipe)

    def fit_candidate(self, name: str, fit_model: Callable[[], tuple[Model, Recipe]]) -> Candidate:
        """Fit a candidate and compute its loss on the validation rows."""
        start = time.perf_counter()
        model, recipe = fit_model()
        combined = model.combined(self._validation.inputs)
        candidate = Candidate(name, self.loss(combined, model), time.perf_counter() - start, model, combined, recipe)
        print_stage("tried", f"{name}: {candidate.loss:.4g} on the validation part, {candidate.seconds:.0f} s")
        return candidate

    def loss(self, combined: Tensor, model: Model) -> float:
        """Return the weighted mean loss of the inputs of a head, [rows, outputs]."""
        return self._mean(self._losses(combined, model))

    def _losses(self, combined: Tensor, model: Model) -> Tensor:
        return model.head.losses(combined.double(), self._truth)

    def _mean(self, values: Tensor) -> float:
        return float((values * self._weights).sum() / self._weights.sum())

    def _is_worse(self, losses: Tensor, reference: Tensor) -> bool:
        """Return whether losses are higher than a reference by more than one standard error of the difference."""
        difference = losses - reference
        mean = self._mean(difference)
        weights = self._weights / self._weights.sum()
        error = float(((weights * (difference - mean)) ** 2).sum().sqrt())
        return mean > error

    def network(self, component: Component) -> Model:
        """Return the model with a network of random weights."""
        if component.name in NETWORKS:
            return self._model
        assert isinstance(self._model.network, Network)
        sizes, task = self._model.network.architecture, self._model.blueprint.task
        return self._model.with_network(build_own_network(component, sizes, task, self._spec.seed))

    def plan(self, name: str, model: Model, folder: Path) -> Plan:
        """Return the plan of a network's fit: that of an interrupted run if there is one, else a new one."""
        if interrupted := load_plan(folder, self._devices):
            return interrupted
        estimator = self._spec.estimator
        plan = plan_fit(model, estimator, self._train.rows, self._spec.seed, self._devices)
        if estimator.budget_seconds is None or estimator.epochs:
            return plan
        seconds = self._budget.left * self._first_fit_share * self._time_shares[name]
        return plan_within(seconds, plan, model, self._train, self._validation)

    def fit_network(self, model: Model, plan: Plan, folder: Path) -> tuple[Model, Recipe]:
        """Fit the network of a model in place."""
        parameters = sum(parameter.numel() for parameter in model.parameters())
        print_stage(
            "fit", f"{parameters:,} parameters, up to {plan.epochs} epochs in batches of {plan.batch_size} rows"
        )
        history = fit(model, self._train, self._validation, plan, folder)
        return model, Recipe(plan, tuple(history), self._train.rows)

    def fit_estimator(self, component: Component, folder: Path) -> tuple[Model, Recipe]:
        """Fit an estimator of another library, or load the one that an interrupted run fitted."""
        name = component.name
        model, train, seed = self._model, self._train, self._spec.seed
        classes = model.blueprint.outputs
        transformed = Sample(train.inputs, model.transform_target(train.target), train.weights)
        columns, train_values = fit_columns(model.scaling, model.blueprint.cardinalities, transformed, classes, seed)
        options = self._options(component, train_values)
        file = folder.with_name(f"{folder.name}.{name}{ESTIMATOR_SUFFIX}")
        result = _load_result(file)
        if result is None:
            validation_values = columns(self._validation.inputs.numbers, self._validation.inputs.codes)
            print_stage("fit", name)
            matrices = (
                Matrix(train_values, transformed.target, train.weights),
                Matrix(validation_values, self._truth.numpy(), self._validation.weights),
            )
            result = fit_estimator(name, *matrices, options)
            _save_result(result, file)
        fitted = model.with_network(None).with_estimator(columns, result.estimator, share=1.0)
        return fitted, Recipe(estimator=name, search_result=result, options=options)

    def _options(self, component: Component, columns: Tensor) -> Options:
        estimator = self._spec.estimator
        planned = MAX_TRIALS if estimator.budget_seconds else plan_trials(*columns.shape)
        return Options(
            objective=self._model.head.objective,
            seed=self._spec.seed,
            trials=estimator.trials or planned,
            parameters=component.parameters,
            budget=self._budget.part(self._time_shares[component.name] * self._first_fit_share),
        )

    def blends(self, candidates: list[Candidate]) -> list[Candidate]:
        """Return the blend of the best network and the best estimator, if there are both and it is worth its cost."""
        estimators = [candidate for candidate in candidates if candidate.model.estimator]
        networks = [candidate for candidate in candidates if candidate.model.network]
        if not estimators or not networks:
            return []
        network, other = _lowest(networks), _lowest(estimators)
        share = self._share(network, other)
        if not MIN_SHARE <= share <= 1 - MIN_SHARE:
            return []
        assert other.model.columns and other.model.estimator
        model = network.model.with_estimator(other.model.columns, other.model.estimator, share)
        combined = _blend(network, other, share)
        loss = self.loss(combined, model)
        print_stage("tried", f"{network.name} with {share:.0%} of {other.name}: {loss:.4g} on the validation part")
        recipe = replace(
            network.recipe,
            estimator=other.recipe.estimator,
            search_result=other.recipe.search_result,
            options=other.recipe.options,
        )
        seconds = network.seconds + other.seconds
        return [Candidate(f"{network.name}+{other.name}", loss, seconds, model, combined, recipe)]

    def _share(self, network: Candidate, other: Candidate) -> float:
        """Return the weight of the estimator: among those as good as the best, the one closest to one half.

        After training, the data change, and a blend of two models with different errors is more robust. The validation
        rows show only a part of that, so the weight is not optimised exactly on them (the rule of one standard error:
        Breiman et al., 1984, "Classification and regression trees").
        """
        losses = [self._losses(_blend(network, other, share), network.model) for share in SHARES]
        lowest = min(losses, key=self._mean)
        good = [share for share, values in zip(SHARES, losses, strict=True) if not self._is_worse(values, lowest)]
        return float(min(good, key=lambda share: abs(share - 0.5)))


def _lowest(candidates: Sequence[Candidate]) -> Candidate:
    return min(candidates, key=lambda candidate: candidate.loss)


def _network_folder(folder: Path, name: str) -> Path:
    """Return the folder for the checkpoints of a network; each own network has one of its own."""
    return folder if name in NETWORKS else folder.with_name(f"{folder.name}.{name}")


def _architecture(model: Model) -> OwnArchitecture | None:
    """Return what identifies an own network; None for another one."""
    return model.network.architecture if isinstance(model.network, OwnNetwork) else None


def _epochs(best: Candidate, ranked: Sequence[Candidate]) -> tuple[Epoch, ...]:
    """Return the losses of the chosen network's fit, or of the best one if none was chosen."""
    histories = [candidate.recipe.history for candidate in (best, *ranked) if candidate.recipe.history]
    return tuple(Epoch.model_validate(entry) for entry in histories[0]) if histories else ()


def _blend(network: Candidate, other: Candidate, share: float) -> Tensor:
    return network.model.head.blend(network.combined, other.combined, share)


def _best(candidates: list[Candidate]) -> Candidate:
    """Return the blend if there is one, as it is as good as the best and more robust; else the lowest loss."""
    blends = [candidate for candidate in candidates if "+" in candidate.name]
    return blends[0] if blends else _lowest(candidates)


def _reason(best: Candidate, others: list[Candidate]) -> str:
    if not others:
        return f"{best.name}, the only candidate"
    return f"{best.name}: its loss is {', '.join(_gap(best, candidate) for candidate in others)}"


def _gap(best: Candidate, other: Candidate) -> str:
    percent = 100 * (other.loss - best.loss) / other.loss if other.loss else 0.0
    return f"{abs(percent):.2g} % {'below' if percent >= 0 else 'above'} {other.name}'s"


def _save_result(result: SearchResult, file: Path) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(result.serialized)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise EnvironmentFault(f"cannot write {file}: {reason}; fix this and run the same command again") from None


def _load_result(file: Path) -> SearchResult | None:
    try:
        return SearchResult.load(file.read_bytes())
    except Exception:  # an absent or damaged file; the latter also raises errors of ONNX Runtime
        return None
