import asyncio
import threading
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from contract.errors import DeadlineExceeded, Overloaded, PredictionFailed
from serving.batching import Arrays, Batcher
from serving.columns import Columns

POISON = -1.0


def double(columns: Columns) -> Arrays:
    """An engine that doubles; a poisoned row fails whatever batch it is in."""
    if (columns["x"] == POISON).any():
        raise ValueError("poison")
    return {"y": columns["x"] * 2}


def column(*values: float) -> dict[str, NDArray[Any]]:
    return {"x": np.array(values, dtype=np.float64).reshape(-1, 1)}


class Gate:
    """An engine that is held in its first batch until it is let go, and records what it was given."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.open = threading.Event()
        self.batches: list[list[float]] = []

    def __call__(self, columns: Columns) -> Arrays:
        self.batches.append(columns["x"][:, 0].tolist())
        self.entered.set()
        assert self.open.wait(timeout=30)
        return double(columns)


async def hold(gate: Gate, batcher: Batcher) -> "asyncio.Task[Arrays]":
    """A first request that occupies the engine."""
    task = asyncio.create_task(batcher(column(0), 1, 30))
    await asyncio.to_thread(gate.entered.wait)
    return task


async def test_what_arrives_while_the_engine_is_busy_goes_to_it_together() -> None:
    gate = Gate()
    batcher = Batcher(gate, inline_rows=0)
    first = await hold(gate, batcher)
    rest = [asyncio.create_task(batcher(column(value), 1, 30)) for value in (1, 2, 3)]
    await asyncio.sleep(0)
    gate.open.set()
    answers = await asyncio.gather(first, *rest)
    assert gate.batches == [[0], [1, 2, 3]]
    assert [answer["y"].item() for answer in answers] == [0, 2, 4, 6]


async def test_a_request_larger_than_a_batch_is_split_and_put_together_again() -> None:
    answer = await Batcher(double, batch_rows=4)(column(*range(11)), 11, 30)
    assert answer["y"][:, 0].tolist() == [2 * value for value in range(11)]


async def test_a_full_queue_refuses_at_once_and_takes_work_again_later() -> None:
    gate = Gate()
    batcher = Batcher(gate, inline_rows=0, queue_rows=2)
    first = await hold(gate, batcher)
    waiting = [asyncio.create_task(batcher(column(value), 1, 30)) for value in (1, 2)]
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        await batcher(column(3), 1, 30)
    gate.open.set()
    await asyncio.gather(first, *waiting)
    assert (await batcher(column(4), 1, 30))["y"].item() == 8


async def test_a_client_that_went_away_costs_no_work() -> None:
    gate = Gate()
    batcher = Batcher(gate, inline_rows=0)
    first = await hold(gate, batcher)
    gone, stays = (asyncio.create_task(batcher(column(value), 1, 30)) for value in (1, 2))
    await asyncio.sleep(0)
    gone.cancel()
    gate.open.set()
    await asyncio.gather(first, stays)
    assert gate.batches == [[0], [2]]


async def test_a_request_whose_time_is_up_is_answered_at_once_and_costs_no_work() -> None:
    gate = Gate()
    batcher = Batcher(gate, inline_rows=0)
    first = await hold(gate, batcher)
    with pytest.raises(DeadlineExceeded):
        await batcher(column(1), 1, 0.01)
    gate.open.set()
    await first
    assert (await batcher(column(2), 1, 30))["y"].item() == 4
    assert gate.batches == [[0], [2]]


async def test_what_arrives_in_one_turn_of_the_loop_is_one_batch() -> None:
    batches: list[int] = []

    def count(columns: Columns) -> Arrays:
        batches.append(len(columns["x"]))
        return double(columns)

    batcher = Batcher(count)
    await asyncio.gather(*(batcher(column(value), 1, 30) for value in range(5)))
    assert batches == [5]


async def test_a_failing_request_spares_its_neighbours() -> None:
    gate = Gate()
    batcher = Batcher(gate, inline_rows=0)
    first = await hold(gate, batcher)
    tasks = [asyncio.create_task(batcher(column(value), 1, 30)) for value in (1, POISON, 3)]
    await asyncio.sleep(0)
    gate.open.set()
    answers = await asyncio.gather(first, *tasks, return_exceptions=True)
    assert isinstance(answers[2], PredictionFailed)
    assert [answers[index]["y"].item() for index in (0, 1, 3)] == [0, 2, 6]  # type: ignore[index]


REQUESTS = st.lists(
    st.tuples(
        st.lists(st.sampled_from([1.0, 2.0, 3.0, POISON]), min_size=1, max_size=9),
        st.integers(min_value=0, max_value=3),
        st.booleans(),
    ),
    min_size=1,
    max_size=15,
)


@settings(max_examples=100, deadline=None)
@given(REQUESTS, st.integers(min_value=1, max_value=6), st.integers(min_value=0, max_value=6))
def test_every_request_gets_exactly_its_own_answer(
    requests: list[tuple[list[float], int, bool]], batch_rows: int, inline_rows: int
) -> None:
    """Whatever the arrivals, sizes, failures and cancellations."""

    async def one(batcher: Batcher, values: list[float], turns: int) -> list[float]:
        for _ in range(turns):
            await asyncio.sleep(0)
        return list((await batcher(column(*values), len(values), 30))["y"][:, 0])

    async def scenario() -> list[list[float] | BaseException]:
        batcher = Batcher(double, batch_rows=batch_rows, inline_rows=inline_rows)
        tasks = [asyncio.create_task(one(batcher, values, turns)) for values, turns, _ in requests]
        await asyncio.sleep(0)
        for task, (_, _, cancelled) in zip(tasks, requests, strict=True):
            if cancelled:
                task.cancel()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        batcher.close()
        return answers

    for answer, (values, _, cancelled) in zip(asyncio.run(scenario()), requests, strict=True):
        if cancelled:
            assert isinstance(answer, asyncio.CancelledError)
        elif POISON in values:
            assert isinstance(answer, PredictionFailed)
        else:
            assert answer == [2 * value for value in values]
