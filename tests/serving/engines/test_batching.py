import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model_deployer.contract.errors import Overloaded, PredictionFailed
from model_deployer.serving.engines.batching import Arrays, Batch, Batcher

POISON = -1.0

Values = list[float]


def double(payloads: Sequence[Values]) -> Arrays:
    """An engine that doubles; a poisoned row fails whatever batch it is in."""
    values = list(chain.from_iterable(payloads))
    if POISON in values:
        raise ValueError("poison")
    return {"y": np.array(values).reshape(-1, 1) * 2}


def batcher(engine: Callable[[Sequence[Values]], Arrays], **options: Any) -> Batcher[Values]:
    return Batcher(engine, lambda batch: None, **options)


def numbers(answer: Arrays) -> Values:
    return list(answer["y"][:, 0])


class Gate:
    """An engine that is held in its first batch until it is let go, and records what it was given."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.open = threading.Event()
        self.batches: list[Values] = []

    def __call__(self, payloads: Sequence[Values]) -> Arrays:
        self.batches.append(list(chain.from_iterable(payloads)))
        self.entered.set()
        assert self.open.wait(timeout=30)
        return double(payloads)


async def hold(gate: Gate, held: Batcher[Values]) -> "asyncio.Task[Arrays]":
    """A first request that occupies the engine."""
    task = asyncio.create_task(held([0]))
    await asyncio.to_thread(gate.entered.wait)
    return task


async def test_what_arrives_while_the_engine_is_busy_goes_to_it_together() -> None:
    gate = Gate()
    running = batcher(gate, inline_rows=0)
    first = await hold(gate, running)
    rest = [asyncio.create_task(running([value])) for value in (1, 2, 3)]
    await asyncio.sleep(0)
    gate.open.set()
    answers = await asyncio.gather(first, *rest)
    assert gate.batches == [[0], [1, 2, 3]]
    assert [answer["y"].item() for answer in answers] == [0, 2, 4, 6]


async def test_a_request_larger_than_a_batch_is_split_and_put_together_again() -> None:
    answer = await batcher(double, batch_rows=4)(list(range(11)))
    assert numbers(answer) == [2 * value for value in range(11)]


async def test_a_full_queue_refuses_at_once_and_takes_work_again_later() -> None:
    gate = Gate()
    running = batcher(gate, inline_rows=0, queue_rows=2)
    first = await hold(gate, running)
    waiting = [asyncio.create_task(running([value])) for value in (1, 2)]
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        await running([3])
    gate.open.set()
    await asyncio.gather(first, *waiting)
    assert (await running([4]))["y"].item() == 8


async def test_a_client_that_went_away_costs_no_work() -> None:
    gate = Gate()
    running = batcher(gate, inline_rows=0)
    first = await hold(gate, running)
    gone, stays = (asyncio.create_task(running([value])) for value in (1, 2))
    await asyncio.sleep(0)
    gone.cancel()
    gate.open.set()
    await asyncio.gather(first, stays)
    assert gate.batches == [[0], [2]]


async def test_who_would_wait_in_vain_is_refused_before_any_work() -> None:
    """Batches of a known pace: what waits will take longer than half of the time that the next one has."""

    def slowly(payloads: Sequence[Values]) -> Arrays:
        time.sleep(0.05)
        return double(payloads)

    running = batcher(slowly, batch_rows=1, inline_rows=0)
    assert not running.refusal(0.001)
    answers = [asyncio.create_task(running([value])) for value in range(8)]
    await answers[1]
    assert not running.refusal(10)
    assert running.refusal(0.05)
    await asyncio.gather(*answers)
    assert not running.refusal(0.05)


async def test_a_lone_stall_does_not_turn_later_requests_away() -> None:
    pauses = iter([0.002] * 20 + [1.0] + [0.002] * 20)

    def stalling(payloads: Sequence[Values]) -> Arrays:
        time.sleep(next(pauses))
        return double(payloads)

    running = batcher(stalling, batch_rows=1, inline_rows=0)
    answers = [asyncio.create_task(running([value])) for value in range(41)]
    await answers[20]
    assert not running.refusal(1.0)
    await asyncio.gather(*answers)


async def test_what_arrives_in_one_turn_of_the_loop_is_one_batch() -> None:
    batches: list[Batch] = []
    running = Batcher(double, batches.append)
    await asyncio.gather(*(running([value]) for value in range(5)))
    assert [(batch.rows, len(batch.waits)) for batch in batches] == [(5, 5)]


async def test_a_failing_request_spares_its_neighbours() -> None:
    gate = Gate()
    running = batcher(gate, inline_rows=0)
    first = await hold(gate, running)
    tasks = [asyncio.create_task(running([value])) for value in (1, POISON, 3)]
    await asyncio.sleep(0)
    gate.open.set()
    answers = await asyncio.gather(first, *tasks, return_exceptions=True)
    assert isinstance(answers[2], PredictionFailed)
    assert [answers[index]["y"].item() for index in (0, 1, 3)] == [0, 2, 6]  # type: ignore[index]


REQUESTS = st.lists(
    st.tuples(
        st.integers(min_value=1, max_value=9),  # rows
        st.booleans(),  # one of them is poisoned
        st.integers(min_value=0, max_value=3),  # turns of the loop until it arrives
        st.booleans(),  # its client goes away
    ),
    min_size=1,
    max_size=15,
)


@settings(max_examples=200, deadline=None)
@given(REQUESTS, st.integers(min_value=1, max_value=6), st.integers(min_value=0, max_value=6))
def test_every_request_gets_exactly_its_own_answer(
    requests: list[tuple[int, bool, int, bool]], batch_rows: int, inline_rows: int
) -> None:
    """Whatever the arrivals, sizes, failures and cancellations; and no row is answered twice."""
    answered: list[float] = []

    def recording(payloads: Sequence[Values]) -> Arrays:
        outputs = double(payloads)
        answered.extend(chain.from_iterable(payloads))
        return outputs

    def values(number: int, rows: int, poisoned: bool) -> Values:
        return [100.0 * number + row for row in range(rows - poisoned)] + [POISON] * poisoned

    async def one(running: Batcher[Values], sent: Values, turns: int) -> Values:
        for _ in range(turns):
            await asyncio.sleep(0)
        return numbers(await running(sent))

    async def scenario() -> list[Values | BaseException]:
        running = batcher(recording, batch_rows=batch_rows, inline_rows=inline_rows)
        tasks = [
            asyncio.create_task(one(running, values(number, rows, poisoned), turns))
            for number, (rows, poisoned, turns, _) in enumerate(requests)
        ]
        await asyncio.sleep(0)
        for task, (_, _, _, leaves) in zip(tasks, requests, strict=True):
            if leaves:
                task.cancel()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        running.close()
        return answers

    for number, answer in enumerate(asyncio.run(scenario())):
        rows, poisoned, _, leaves = requests[number]
        if leaves:
            assert isinstance(answer, asyncio.CancelledError)
        elif poisoned:
            assert isinstance(answer, PredictionFailed)
        else:
            assert answer == [2 * value for value in values(number, rows, poisoned)]
    assert len(set(answered)) == len(answered)
