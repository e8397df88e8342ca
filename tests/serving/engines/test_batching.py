"""Batching: what runs together, what is refused, and that every request gets its own answer."""

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

from model_deployer.contract.errors import InvalidRows, Overloaded, PredictionFailed
from model_deployer.serving.engines.batching import Arrays, Batch, Batcher
from model_deployer.serving.engines.refusal import refusal

#: Values for which the engine fails, and which it refuses.
POISON, REFUSED = -1.0, -7.0

Values = list[float]


def double(payloads: Sequence[Values]) -> Arrays:
    """An engine that doubles values. A poisoned row makes its whole batch fail, and refused rows are named."""
    values = list(chain.from_iterable(payloads))
    if POISON in values:
        raise ValueError("poison")
    if REFUSED in values:
        raise refusal({row: "refused" for row, value in enumerate(values) if value == REFUSED})
    return {"y": np.array(values).reshape(-1, 1) * 2}


def create_batcher(engine: Callable[[Sequence[Values]], Arrays], **options: Any) -> Batcher[Values]:
    return Batcher(engine, lambda batch: None, **options)


def numbers(answer: Arrays) -> Values:
    return list(answer["y"][:, 0])


class Gate:
    """An engine that records its batches, and stays in its first batch until ``open`` is set."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.open = threading.Event()
        self.batches: list[Values] = []

    def __call__(self, payloads: Sequence[Values]) -> Arrays:
        self.batches.append(list(chain.from_iterable(payloads)))
        self.entered.set()
        assert self.open.wait(timeout=30)
        return double(payloads)


async def occupy(gate: Gate, batcher: Batcher[Values]) -> "asyncio.Task[Arrays]":
    """Send a first request that occupies the engine."""
    task = asyncio.create_task(batcher([0]))
    await asyncio.to_thread(gate.entered.wait)
    return task


async def test_requests_gather_while_the_engine_is_busy() -> None:
    """What arrives while the engine is busy goes to it together."""
    gate = Gate()
    batcher = create_batcher(gate, inline_rows=0)
    first = await occupy(gate, batcher)
    rest = [asyncio.create_task(batcher([value])) for value in (1, 2, 3)]
    await asyncio.sleep(0)
    gate.open.set()
    answers = await asyncio.gather(first, *rest)
    assert gate.batches == [[0], [1, 2, 3]]
    assert [answer["y"].item() for answer in answers] == [0, 2, 4, 6]


async def test_large_request_is_split_and_joined() -> None:
    """A request that is larger than a batch is split, and its answers are put together again."""
    answer = await create_batcher(double, batch_rows=4)(list(range(11)))
    assert numbers(answer) == [2 * value for value in range(11)]


async def test_a_full_queue_refuses_at_once_and_takes_work_again_later() -> None:
    gate = Gate()
    batcher = create_batcher(gate, inline_rows=0, queue_rows=2)
    first = await occupy(gate, batcher)
    waiting = [asyncio.create_task(batcher([value])) for value in (1, 2)]
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        await batcher([3])
    gate.open.set()
    await asyncio.gather(first, *waiting)
    assert (await batcher([4]))["y"].item() == 8


async def test_a_client_that_went_away_costs_no_work() -> None:
    gate = Gate()
    batcher = create_batcher(gate, inline_rows=0)
    first = await occupy(gate, batcher)
    cancelled, other = (asyncio.create_task(batcher([value])) for value in (1, 2))
    await asyncio.sleep(0)
    cancelled.cancel()
    gate.open.set()
    await asyncio.gather(first, other)
    assert gate.batches == [[0], [2]]


async def test_who_would_wait_in_vain_is_refused_before_any_work() -> None:
    """The throughput is known: the queued rows take more than a quarter of the time that the next request has."""

    def slow_double(payloads: Sequence[Values]) -> Arrays:
        time.sleep(0.05)
        return double(payloads)

    batcher = create_batcher(slow_double, batch_rows=1, inline_rows=0)
    assert not batcher.refusal(0.001)
    answers = [asyncio.create_task(batcher([value])) for value in range(8)]
    await answers[1]
    assert not batcher.refusal(10)
    assert batcher.refusal(0.05)
    await asyncio.gather(*answers)
    assert not batcher.refusal(0.05)


async def test_a_lone_stall_does_not_turn_later_requests_away() -> None:
    pauses = iter([0.002] * 20 + [1.0] + [0.002] * 20)

    def stalling_double(payloads: Sequence[Values]) -> Arrays:
        time.sleep(next(pauses))
        return double(payloads)

    batcher = create_batcher(stalling_double, batch_rows=1, inline_rows=0)
    answers = [asyncio.create_task(batcher([value])) for value in range(41)]
    await answers[20]
    assert not batcher.refusal(1.0)
    await asyncio.gather(*answers)


async def test_what_arrives_in_one_turn_of_the_loop_is_one_batch() -> None:
    batches: list[Batch] = []
    batcher = Batcher(double, batches.append)
    await asyncio.gather(*(batcher([value]) for value in range(5)))
    assert [(batch.rows, len(batch.wait_seconds)) for batch in batches] == [(5, 5)]


async def test_a_failing_request_spares_its_neighbours() -> None:
    gate = Gate()
    batcher = create_batcher(gate, inline_rows=0)
    first = await occupy(gate, batcher)
    tasks = [asyncio.create_task(batcher([value])) for value in (1, POISON, 3)]
    await asyncio.sleep(0)
    gate.open.set()
    answers = await asyncio.gather(first, *tasks, return_exceptions=True)
    assert isinstance(answers[2], PredictionFailed)
    assert [answers[index]["y"].item() for index in (0, 1, 3)] == [0, 2, 6]  # type: ignore[index]


async def test_requests_without_a_refused_row_run_once_more_together() -> None:
    gate = Gate()
    batcher = create_batcher(gate, inline_rows=0)
    first = await occupy(gate, batcher)
    payloads = [[1.0], [2.0, REFUSED, 3.0, REFUSED], [REFUSED], [4.0]]
    tasks = [asyncio.create_task(batcher(payload)) for payload in payloads]
    await asyncio.sleep(0)
    gate.open.set()
    _, one, two, three, four = await asyncio.gather(first, *tasks, return_exceptions=True)
    assert gate.batches[1:] == [list(chain.from_iterable(payloads)), [1, 4]]
    assert [answer["y"].item() for answer in (one, four)] == [2, 8]  # type: ignore[index]
    assert isinstance(two, InvalidRows) and isinstance(three, InvalidRows)
    assert [[problem.row for problem in error.problems] for error in (two, three)] == [[1, 3], [0]]
    assert (two.total, three.total) == (2, 1)


async def test_a_refusal_of_rows_that_do_not_exist_fails_each_request() -> None:
    def confused(payloads: Sequence[Values]) -> Arrays:
        raise refusal({-1: "refused", 7: "refused"})

    batcher = create_batcher(confused)
    answers = await asyncio.gather(batcher([1.0]), batcher([2.0]), return_exceptions=True)
    assert [type(answer) for answer in answers] == [InvalidRows] * 2


REQUESTS = st.lists(
    st.tuples(
        st.integers(min_value=1, max_value=9),  # rows
        st.sampled_from([None, POISON, REFUSED]),  # the value of the last one that the engine does not answer
        st.integers(min_value=0, max_value=3),  # iterations of the loop until it arrives
        st.booleans(),  # whether its client disconnects
    ),
    min_size=1,
    max_size=15,
)


@settings(max_examples=100)
@given(REQUESTS, st.integers(min_value=1, max_value=6), st.integers(min_value=0, max_value=6))
def test_every_request_gets_exactly_its_own_answer(
    requests: list[tuple[int, float | None, int, bool]], batch_rows: int, inline_rows: int
) -> None:
    """For all arrivals, sizes, failures and cancellations; and no row is processed twice."""
    processed: list[float] = []

    def recording_double(payloads: Sequence[Values]) -> Arrays:
        outputs = double(payloads)
        processed.extend(chain.from_iterable(payloads))
        return outputs

    def values(number: int, rows: int, last: float | None) -> Values:
        answered = [100.0 * number + row for row in range(rows)]
        return answered if last is None else [*answered[:-1], last]

    async def send(batcher: Batcher[Values], payload: Values, iterations: int) -> Values:
        for _ in range(iterations):
            await asyncio.sleep(0)
        return numbers(await batcher(payload))

    async def scenario() -> list[Values | BaseException]:
        batcher = create_batcher(recording_double, batch_rows=batch_rows, inline_rows=inline_rows)
        tasks = [
            asyncio.create_task(send(batcher, values(number, rows, last), iterations))
            for number, (rows, last, iterations, _) in enumerate(requests)
        ]
        await asyncio.sleep(0)
        for task, (_, _, _, is_cancelled) in zip(tasks, requests, strict=True):
            if is_cancelled:
                task.cancel()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        batcher.close()
        return answers

    for number, answer in enumerate(asyncio.run(scenario())):
        rows, last, _, is_cancelled = requests[number]
        if is_cancelled:
            assert isinstance(answer, asyncio.CancelledError)
        elif last is not None:
            assert isinstance(answer, PredictionFailed if last == POISON else InvalidRows)
        else:
            assert answer == [2 * value for value in values(number, rows, last)]
    assert len(set(processed)) == len(processed)


async def test_a_request_that_is_alone_runs_at_once() -> None:
    batcher = create_batcher(double)
    batcher.is_alone = lambda: True
    alone = batcher([1.0, 2.0])
    with pytest.raises(StopIteration) as end:  # without a step of the event loop
        alone.send(None)
    assert numbers(end.value.value) == [2.0, 4.0]
    with pytest.raises(PredictionFailed) as failure:
        await batcher([POISON])
    assert isinstance(failure.value.__cause__, ValueError)


async def test_small_requests_wait_for_one_batch_of_a_large_one() -> None:
    gate = Gate()
    batcher = create_batcher(gate, batch_rows=16, inline_rows=0)
    first = await occupy(gate, batcher)
    large = asyncio.create_task(batcher([float(value) for value in range(1, 65)]))
    await asyncio.sleep(0)
    small = [asyncio.create_task(batcher([-2.0])), asyncio.create_task(batcher([-3.0]))]
    await asyncio.sleep(0)
    gate.open.set()
    await asyncio.gather(first, large, *small)
    assert [values[0] for values in gate.batches] in ([0, -2, 1, 17, 33, 49], [0, 1, -2, 17, 33, 49])
    assert [-2.0, -3.0] in gate.batches


@given(st.lists(st.tuples(st.integers(1, 40), st.booleans()), max_size=20))
async def test_no_request_stays_in_the_queue(requests: list[tuple[int, bool]]) -> None:
    """Whatever is cancelled while it waits, the others are answered."""
    gate = Gate()
    batcher = create_batcher(gate, batch_rows=16, inline_rows=0)
    first = await occupy(gate, batcher)
    tasks = [asyncio.create_task(batcher([1.0] * rows)) for rows, _ in requests]
    await asyncio.sleep(0)
    for task, (_, is_cancelled) in zip(tasks, requests, strict=True):
        if is_cancelled:
            task.cancel()
    gate.open.set()
    await first
    results = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 30)
    assert [isinstance(result, asyncio.CancelledError) for result in results] == [
        is_cancelled for _, is_cancelled in requests
    ]
    assert batcher.queued_rows == 0
    batcher.close()
