"""All protocols at once: every client gets its own answer, and invalid requests do not affect other clients."""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from random import Random
from typing import Any

from tests.serving.protocols.bits import bits
from tests.serving.protocols.dialects import DIALECTS, INVALID, Dialect, ask, assert_refused
from tests.serving.protocols.golden_rows import ROWS
from tests.serving.protocols.served import Served
from tests.serving.protocols.speakers import SPEAKERS, Outputs, Rows, native_rows

#: The forms whose requests each start a process.
SLOW = {"Arrow file", "Parquet", "MLflow Parquet"}


def test_a_crowd_of_all_protocols_gets_its_own_answers(sets: Served) -> None:
    random = Random(0)
    single = [native_rows(sets, [row]) for row in ROWS]
    jobs: list[Callable[[], None]] = []
    for name, speak in SPEAKERS.items():
        for _ in range(2 if name in SLOW else 12):
            indices = [random.randrange(len(ROWS)) for _ in range(random.randint(1, 12))]
            expected = {key: [single[index][key][0] for index in indices] for key in single[0]}
            jobs.append(partial(assert_answered, partial(speak, sets), [ROWS[index] for index in indices], expected))
    for dialect in DIALECTS.values():
        for status, changes in INVALID.values():
            jobs.append(partial(assert_invalid, sets, dialect, status, changes))
    random.shuffle(jobs)
    with ThreadPoolExecutor(24) as pool:
        for future in [pool.submit(job) for job in jobs]:
            future.result()


def assert_answered(speak: Callable[[Rows], Outputs], rows: Rows, expected: Outputs) -> None:
    outputs = bits(speak(rows))
    assert outputs == {name: values for name, values in bits(expected).items() if name in outputs}


def assert_invalid(served: Served, dialect: Dialect, status: int, changes: Mapping[str, Any]) -> None:
    assert_refused(ask(served.client, dialect, changes), dialect, status)
