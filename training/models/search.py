"""Parameters of an estimator, tried one set after another while the time lasts."""

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

#: Sets of parameters at most, and the values, rows by columns, that all trials together look at.
MOST_TRIALS, TRIED = 20, 50_000_000

Parameters = Mapping[str, Any]
Fitted = TypeVar("Fitted")


@dataclass(frozen=True)
class Options:
    """How an estimator is fitted.

    Attributes:
        objective: What is learnt, in LightGBM's terms: its ``objective``, and ``num_class`` where there are more than
            two classes.
        seed: Of everything that is drawn at random.
        trials: How many sets of parameters are tried.
        parameters: What model.yaml says of the estimator: never drawn.
        budget: When to stop, at the latest.
        rounds: Of boosting, where they are known: then nothing is searched for, and no round is judged.
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
        estimator: Its ONNX.
        parameters: Those that were best, where any were tried.
        rounds: Of boosting; None for what is not boosted.
        trials: How many sets of parameters were tried; None where nothing is searched for.
    """

    estimator: OnnxEstimator
    parameters: Parameters = field(default_factory=dict)
    rounds: int | None = None
    trials: int | None = None

    def again(self, options: Options) -> Options:
        """The options by which other rows give the same kind of estimator, without a search."""
        return replace(options, parameters=self.parameters, rounds=self.rounds, trials=1, budget=Budget())

    @property
    def serialized(self) -> bytes:
        """All of it."""
        model = onnx.ModelProto()
        model.CopyFrom(self.estimator.model)
        told = {"parameters": dict(self.parameters), "rounds": self.rounds, "trials": self.trials}
        helper.set_model_props(model, {"found": json.dumps(told)})
        return bytes(model.SerializeToString(deterministic=True))

    @classmethod
    def load(cls, stored: bytes) -> "SearchResult":
        """From :attr:`serialized`; raises whatever protobuf, JSON and ONNX Runtime do where it is damaged."""
        scorer = OnnxEstimator.load(stored)
        (entry,) = scorer.model.metadata_props
        scorer.model.ClearField("metadata_props")
        return cls(scorer, **json.loads(entry.value))


def plan_trials(rows: int, columns: int) -> int:
    """How many sets of parameters are tried on so many training rows: what takes two cores about a minute."""
    return max(1, min(MOST_TRIALS, TRIED // (rows * max(1, columns))))


def search(
    fit: Callable[[Parameters], tuple[float, Fitted]],
    draw: Callable[[np.random.Generator], Parameters],
    options: Options,
) -> tuple[Fitted, Parameters, int]:
    """The best of the defaults and of parameters drawn at random, its parameters, and how many sets were tried.

    Bergstra and Bengio, 2012, "Random search for hyper-parameter optimization".

    Args:
        fit: From what is to differ from the defaults, to the loss on the validation rows and whatever was fitted.
        draw: One set of parameters.
        options: How many, the seed, and the time; the defaults are always tried.
    """
    least, best, fitted, tried = math.inf, options.parameters, None, 0
    for parameters in trials(_sets(draw, options), options.trials, lambda: least):  # noqa: B023 (asked between turns)
        loss, other = fit(parameters)
        tried += 1
        if fitted is None or loss < least or math.isnan(least):
            least, best, fitted = loss, parameters, other
    assert fitted is not None, "the defaults are always tried"
    return fitted, best, tried


def _sets(draw: Callable[[np.random.Generator], Parameters], options: Options) -> Iterator[Parameters]:
    """The defaults, and then what is drawn while there is time."""
    yield options.parameters
    random = np.random.default_rng(options.seed)
    for _ in range(options.trials - 1):
        if not options.budget.left:
            return
        yield {**draw(random), **options.parameters}


@contextmanager
def own_errors(name: str, *errors: type[Exception]) -> Iterator[None]:
    """What a library says of parameters that it does not take, as an error of model.yaml.

    Raises:
        SpecError: In place of the library's own ``errors``.
    """
    try:
        yield
    except errors as error:
        reason = str(error).strip().partition("\n")[0].partition(" at /")[0].rstrip(" .")
        raise SpecError(f"{name} refuses `estimator.parameters`: {reason}") from None


def between(random: np.random.Generator, low: float, high: float) -> float:
    """A number whose logarithm is evenly distributed."""
    return float(np.exp(random.uniform(np.log(low), np.log(high))))
