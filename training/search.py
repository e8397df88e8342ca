"""Parameters of an estimator, tried one set after another while the time lasts."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from training.budget import Budget
from training.progress import trials
from training.scorer import Scorer

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
    """

    objective: Parameters
    seed: int
    trials: int = 1
    parameters: Parameters = field(default_factory=dict)
    budget: Budget = field(default_factory=Budget)

    @property
    def classes(self) -> int:
        """The number of classes; 1 for a quantity."""
        return 2 if self.objective["objective"] == "binary" else int(self.objective.get("num_class", 1))


@dataclass(frozen=True)
class Found:
    """A fitted estimator, and what evaluation.json keeps of how it was found."""

    scorer: Scorer
    plan: dict[str, Any] = field(default_factory=dict)


def plan_trials(rows: int, columns: int) -> int:
    """How many sets of parameters are tried on so many training rows: what takes two cores about a minute."""
    return max(1, min(MOST_TRIALS, TRIED // (rows * max(1, columns))))


def search(
    fit: Callable[[Parameters], tuple[float, Fitted]],
    draw: Callable[[np.random.Generator], Parameters],
    options: Options,
) -> tuple[Fitted, int]:
    """The best of the defaults and of parameters drawn at random, and how many sets were tried.

    Bergstra and Bengio, 2012, "Random search for hyper-parameter optimization".

    Args:
        fit: From what is to differ from the defaults, to the loss on the validation rows and whatever was fitted.
        draw: One set of parameters.
        options: How many, the seed, and the time; the defaults are always tried.
    """
    best: list[Fitted] = []
    least, tried = math.nan, 0
    for parameters in trials(_draws(draw, options), options.trials, lambda: least):  # noqa: B023 (asked between turns)
        loss, fitted = fit(parameters)
        tried += 1
        if loss < least or math.isnan(least):
            least, best = loss, [fitted]
    return best[0], tried


def _draws(draw: Callable[[np.random.Generator], Parameters], options: Options) -> Iterator[Parameters]:
    """First the defaults, then parameters at random while the time lasts."""
    random = np.random.default_rng(options.seed)
    yield options.parameters
    for _ in range(options.trials - 1):
        if not options.budget.left:
            return
        yield {**draw(random), **options.parameters}


def between(random: np.random.Generator, low: float, high: float) -> float:
    """A number whose logarithm is evenly distributed."""
    return float(np.exp(random.uniform(np.log(low), np.log(high))))
