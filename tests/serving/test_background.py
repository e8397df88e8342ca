"""The thread for large requests, and how the time that they would wait for it is estimated."""

import asyncio
import threading

from model_deployer.serving.background import BackgroundThread


async def test_functions_run_one_after_the_other_in_the_context_of_their_request() -> None:
    background, threads = BackgroundThread(), []
    await asyncio.gather(*(background.run(lambda: threads.append(threading.current_thread())) for _ in range(5)))
    assert len(threads) == 5
    assert len(set(threads)) == 1
    background.close()


async def test_the_wait_grows_with_the_functions_that_wait() -> None:
    background = BackgroundThread()
    assert background.waiting_seconds == 0
    blocker = threading.Event()
    first = asyncio.create_task(background.run(blocker.wait, 0.05))  # ends after its time
    await first
    assert background.waiting_seconds == 0
    tasks = [asyncio.create_task(background.run(blocker.wait, 30)) for _ in range(3)]
    await asyncio.sleep(0)
    three = background.waiting_seconds
    tasks[2].cancel()
    await asyncio.gather(tasks[2], return_exceptions=True)
    two = background.waiting_seconds
    assert 0 < two < three
    blocker.set()
    await asyncio.gather(*tasks[:2])
    assert background.waiting_seconds == 0
    background.close()


async def test_few_bytes_and_rows_stay_in_the_event_loop() -> None:
    background = BackgroundThread()
    name = threading.current_thread().name
    assert await background.run_if_large(100, lambda: threading.current_thread().name) == name
    assert await background.run_if_many(10, lambda: threading.current_thread().name) == name
    assert await background.run_if_large(100_000, lambda: threading.current_thread().name) != name
    background.close()
