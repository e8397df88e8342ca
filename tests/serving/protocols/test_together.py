"""All protocols at once: whoever asks gets the answer that is theirs, and who asks wrongly harms nobody."""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from random import Random
from typing import Any

from tests.serving.protocols.bits import bits
from tests.serving.protocols.dialects import DIALECTS, WRONG, Dialect, ask, assert_refused
from tests.serving.protocols.golden_rows import ROWS
from tests.serving.protocols.served import Served
from tests.serving.protocols.speakers import SPEAKERS, Outputs, Rows, native_rows

#: Forms of which each request starts a process.
SLOW = {"Arrow file", "Parquet", "MLflow Parquet"}


def test_a_crowd_of_all_protocols_gets_its_own_answers(sets: Served) -> None:
    chance = Random(0)
    single = [native_rows(sets, [row]) for row in ROWS]
    jobs: list[Callable[[], None]] = []
    for name, speak in SPEAKERS.items():
        for _ in range(2 if name in SLOW else 12):
            chosen = [chance.randrange(len(ROWS)) for _ in range(chance.randint(1, 12))]
            expected = {key: [single[place][key][0] for place in chosen] for key in single[0]}
            jobs.append(partial(assert_answered, partial(speak, sets), [ROWS[place] for place in chosen], expected))
    for dialect in DIALECTS.values():
        for status, sent in WRONG.values():
            jobs.append(partial(assert_wrong, sets, dialect, status, sent))
    chance.shuffle(jobs)
    with ThreadPoolExecutor(24) as crowd:
        for done in [crowd.submit(job) for job in jobs]:
            done.result()


def assert_answered(speak: Callable[[Rows], Outputs], rows: Rows, expected: Outputs) -> None:
    found = bits(speak(rows))
    assert found == {name: each for name, each in bits(expected).items() if name in found}


def assert_wrong(served: Served, dialect: Dialect, status: int, sent: Mapping[str, Any]) -> None:
    assert_refused(ask(served.client, dialect, sent), dialect, status)
