"""The random search for the parameters of an estimator."""

import numpy as np
import pytest

from model_deployer.training.models.estimators import fit_estimator
from model_deployer.training.models.search import Options, Parameters, SearchResult, plan_trials, search
from model_deployer.training.runtime.budget import Budget
from tests.support.estimators import matrix, objective


def draw(random: np.random.Generator) -> Parameters:
    return {"depth": int(random.integers(1, 100)), "rate": 0.5}


def test_search_keeps_the_best_and_never_draws_what_is_set() -> None:
    """The best of all trials is kept, and a parameter that is set is never drawn."""
    trials: list[Parameters] = []

    def fit(parameters: Parameters) -> tuple[float, int]:
        trials.append(parameters)
        return abs(parameters.get("depth", 1000) - 50), len(trials)

    fitted, parameters, count = search(fit, draw, Options(objective(2), 0, 10, {"rate": 0.1}))
    assert count == len(trials) == 10
    assert trials[0] == {"rate": 0.1}
    assert all(trial["rate"] == 0.1 for trial in trials)
    assert parameters == min(trials[1:], key=lambda trial: abs(trial["depth"] - 50))
    assert trials[fitted - 1] == parameters


def test_a_spent_budget_allows_the_defaults_only() -> None:
    options = Options(objective(2), 0, 10, budget=Budget(1e-9))
    assert search(lambda _: (1.0, 1), draw, options)[2] == 1


def test_a_loss_that_is_no_number_never_wins() -> None:
    losses = iter([float("nan"), 2.0, float("nan"), 1.0, 3.0])
    fitted, _, _ = search(lambda _: (loss := next(losses), loss), draw, Options(objective(2), 0, 5))
    assert fitted == 1.0


@pytest.mark.parametrize("name", ["lightgbm", "xgboost"])
def test_what_was_found_is_kept_whole(name: str) -> None:
    result = fit_estimator(name, matrix(300, 2), matrix(100, 2, 1), Options(objective(2), 0, 2))
    loaded = SearchResult.load(result.serialized)
    assert loaded.estimator.serialized == result.estimator.serialized
    assert (loaded.parameters, loaded.rounds, loaded.trials) == (result.parameters, result.rounds, 2)


@pytest.mark.parametrize(("rows", "columns", "trials"), [(1_000, 10, 20), (500_000, 10, 10), (10**7, 100, 1)])
def test_large_tables_get_fewer_trials(rows: int, columns: int, trials: int) -> None:
    assert plan_trials(rows, columns) == trials
