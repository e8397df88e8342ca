import asyncio

import pytest

from model_deployer.serving.http.deadlines import ClientDisconnected, Deadlines, RequestDeadline


async def test_what_takes_too_long_ends_with_a_timeout() -> None:
    deadlines = Deadlines()
    with pytest.raises(TimeoutError), deadlines.within(0.03):
        await asyncio.Event().wait()
    with deadlines.within(30):
        await asyncio.sleep(0)


async def test_a_time_that_is_up_ends_nobody_elses_request() -> None:
    deadlines = Deadlines()
    timed_out: list[float] = []
    completed: list[float] = []

    async def wait(seconds: float) -> None:
        try:
            with deadlines.within(seconds):
                await both_timed_out.wait()
            completed.append(seconds)
        except TimeoutError:
            timed_out.append(seconds)
            if len(timed_out) == 2:
                both_timed_out.set()

    both_timed_out = asyncio.Event()
    await asyncio.gather(*(wait(seconds) for seconds in (30, 0.01, 20, 0.05)))
    assert (sorted(timed_out), completed) == ([0.01, 0.05], [30, 20])  # on a busy machine, both end at once


class Connection:
    deadline: RequestDeadline | None = None
    is_alone = True


async def test_a_client_that_leaves_ends_its_request() -> None:
    connection = Connection()
    with pytest.raises(ClientDisconnected), Deadlines().within(30, connection):
        assert connection.deadline
        asyncio.get_running_loop().call_soon(connection.deadline.disconnect)
        await asyncio.Event().wait()
    assert not connection.deadline


async def test_a_cancelled_task_stays_cancelled() -> None:
    async def wait() -> None:
        with Deadlines().within(30):
            await asyncio.Event().wait()

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
