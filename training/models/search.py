"""Random search for the parameters of an estimator, within a time budget."""

import json
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np
import onnx
from onnx import helper

from model_deployer.contract.errors import SpecError
from model_deployer.training.models.onnx_estimator import OnnxEstimator
from model_deployer.training.runtime.budget import Budget
from model_deployer.training.runtime.progress import trials

#: The maximum number of trials, and the number of values (rows times columns) that all trials together process.
MAX_TRIALS, TOTAL_VALUES = 20, 50_000_000

Parameters = Mapping[str, Any]
Fitted = TypeVar("Fitted")


@dataclass(frozen=True)
class Options:
    """The options of a fit.

    Attributes:
        objective: The objective in LightGBM's terms: its ``objective``, ``num_class`` for more than two classes, and
            other parameters that the objective needs.
        seed: The seed of all random numbers.
        trials: The number of parameter sets to try.
        parameters: The ``estimator.parameters`` of model.yaml; the search does not change them.
        budget: The time budget of the search.
        rounds: The number of boosting rounds if it is known; then there is neither a search nor early stopping.
    """

    objective: Parameters
    seed: int
    trials: int = 1
    parameters: Parameters = field(default_factory=dict)
    budget: Budget = field(default_factory=Budget)
    rounds: int | None = None

    @property
    def classes(self) -> int:
        """The number of classes; 1 for a quantity."""
        return 2 if self.objective["objective"] == "binary" else int(self.objective.get("num_class", 1))


@dataclass(frozen=True)
class SearchResult:
    """A fitted estimator, and how to fit it again.

    Attributes:
        estimator: The estimator in ONNX.
        parameters: The best parameters of the search, as far as they differ from the defaults.
        rounds: The number of boosting rounds; None for an estimator that is not boosted.
        trials: The number of parameter sets that were tried; None without a search.
    """

    estimator: OnnxEstimator
    parameters: Parameters = field(default_factory=dict)
    rounds: int | None = None
    trials: int | None = None

    def again(self, options: Options) -> Options:
        """Return options that fit the same kind of estimator on other rows without a search."""
        return replace(options, parameters=self.parameters, rounds=self.rounds, trials=1, budget=Budget())

    @property
    def serialized(self) -> bytes:
        """The result as bytes: the ONNX model, with the other attributes as metadata."""
        model = onnx.ModelProto()
        model.CopyFrom(self.estimator.model)
        metadata = {"parameters": dict(self.parameters), "rounds": self.rounds, "trials": self.trials}
        helper.set_model_props(model, {"search": json.dumps(metadata)})
        return bytes(model.SerializeToString(deterministic=True))

    @classmethod
    def load(cls, serialized: bytes) -> "SearchResult":
        """Load :attr:`serialized`; damaged bytes raise an error of protobuf, JSON or ONNX Runtime."""
        estimator = OnnxEstimator.load(serialized)
        (entry,) = estimator.model.metadata_props
        estimator.model.ClearField("metadata_props")
        return cls(estimator, **json.loads(entry.value))


def plan_trials(rows: int, columns: int) -> int:
    """Return the number of trials for a training matrix of this size; they take two cores about a minute."""
    return max(1, min(MAX_TRIALS, TOTAL_VALUES // (rows * max(1, columns))))


def search(
    fit: Callable[[Parameters], tuple[float, Fitted]],
    draw: Callable[[np.random.Generator], Parameters],
    options: Options,
) -> tuple[Fitted, Parameters, int]:
    """Fit with the defaults and with random parameters, and return the best fit.

    Bergstra and Bengio, 2012, "Random search for hyper-parameter optimization".

    Args:
        fit: Fits with the given parameters, which override the defaults; returns the validation loss and the fitted
            estimator.
        draw: Draws one set of parameters.
        options: The number of trials, the seed and the time budget; the defaults are always tried.

    Returns:
        The best estimator, its parameters, and the number of trials.
    """
    lowest, best, fitted, count = math.inf, options.parameters, None, 0
    for parameters in trials(_parameter_sets(draw, options), options.trials, lambda: lowest):  # noqa: B023 (called between the trials)
        loss, estimator = fit(parameters)
        count += 1
        if fitted is None or loss < lowest or math.isnan(lowest):
            lowest, best, fitted = loss, parameters, estimator
    assert fitted is not None, "the defaults are always tried"
    return fitted, best, count


def _parameter_sets(draw: Callable[[np.random.Generator], Parameters], options: Options) -> Iterator[Parameters]:
    """Yield the defaults, and then random parameters while there is time."""
    yield options.parameters
    random = np.random.default_rng(options.seed)
    for _ in range(options.trials - 1):
        if not options.budget.left:
            return
        yield {**draw(random), **options.parameters}


@contextmanager
def parameter_errors(name: str, *errors: type[Exception]) -> Iterator[None]:
    """Convert the errors that a library raises for bad parameters to errors of model.yaml.

    Args:
        name: The name of the library, for the message.
        errors: The types of errors to convert.

    Raises:
        SpecError: instead of one of ``errors``.
    """
    try:
        yield
    except errors as error:
        reason = str(error).strip().partition("\n")[0].partition(" at /")[0].rstrip(" .")
        raise SpecError(f"{name} refuses `estimator.parameters`: {reason}") from None


def log_uniform(random: np.random.Generator, low: float, high: float) -> float:
    """Draw a number from a log-uniform distribution between two positive numbers."""
    return float(np.exp(random.uniform(np.log(low), np.log(high))))
