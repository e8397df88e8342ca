"""The progress of a search on a terminal and elsewhere."""

import io
import re
from collections.abc import Iterator

import pytest
import rich

from model_deployer.training.models.estimators import fit_estimator
from model_deployer.training.models.search import Options
from model_deployer.training.runtime.progress import trials
from tests.support.estimators import matrix, objective


@pytest.fixture
def shown(request: pytest.FixtureRequest) -> Iterator[io.StringIO]:
    """Return the text that is printed to a console, which is a terminal if the parameter is true."""
    text = io.StringIO()
    rich.reconfigure(file=text, force_terminal=request.param, width=120)
    yield text
    rich.reconfigure()


def search(count: int) -> None:
    fit_estimator("lightgbm", matrix(300, 2), matrix(100, 2, 1), Options(objective(2), 0, count))


def losses(text: str) -> list[float]:
    return [float(number) for number in re.findall(r"lowest validation loss (\d\.\d+)", text)]


@pytest.mark.parametrize("shown", [False], indirect=True)
def test_search_without_a_terminal_prints_a_line_per_trial(shown: io.StringIO) -> None:
    """Without a terminal there is one line per trial, with the lowest loss so far."""
    search(3)
    lines = shown.getvalue().splitlines()
    assert [line.split(":")[0] for line in lines] == [f"trial {number} of 3" for number in (1, 2, 3)]
    lowest = losses(shown.getvalue())
    assert lowest == sorted(lowest, reverse=True)
    assert len(lowest) == 3


@pytest.mark.parametrize("shown", [False, True], indirect=True)
def test_of_a_single_trial_there_is_nothing_to_see(shown: io.StringIO) -> None:
    search(1)
    assert shown.getvalue() == ""


@pytest.mark.parametrize("shown", [True], indirect=True)
def test_a_terminal_has_a_bar_that_goes_away(shown: io.StringIO) -> None:
    search(3)
    text = shown.getvalue()
    assert "trial 3 of 3" in text
    assert losses(text)
    assert text.endswith("\x1b[2K")  # the line is erased
    assert "\x1b[?25h" in text  # and the cursor is back


@pytest.mark.parametrize("shown", [True], indirect=True)
def test_an_interruption_takes_the_bar_away_before_it_is_told(shown: io.StringIO) -> None:
    def interrupted() -> None:
        for draw in trials(range(5), 5, lambda: 0.5):
            if draw == 2:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert shown.getvalue().endswith("\x1b[2K")
    assert "trial 3 of 5" in shown.getvalue()
    assert "trial 4 of 5" not in shown.getvalue()


def test_the_draws_are_those_that_were_given() -> None:
    assert list(trials("abc", 3, lambda: 1.0)) == ["a", "b", "c"]
