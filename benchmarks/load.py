"""Run a load test with a rate in a process of its own, so that its clients use another core than the server.

Run it as ``python -m benchmarks.load JSON`` with the body of the requests on standard input. JSON has the fields of
:class:`handoff.measurement.load_generator.LoadTest` except ``bodies``. The program prints the results as JSON.
"""

import json
import sys
from dataclasses import replace
from typing import Any

import uvloop

from model_deployer.handoff.measurement.load_generator import LoadResult, LoadTest


async def measure(test: LoadTest) -> dict[str, Any]:
    """Warm the server up for a quarter of the duration of a test, then run the test and return its results."""
    await replace(test, seconds=test.seconds / 4).run()
    return _summary(await test.run())


def _summary(result: LoadResult) -> dict[str, Any]:
    """Return answers per second and percentiles of the latency in milliseconds, by status code."""
    statuses = {
        str(status): {"per_second": len(latencies) / result.seconds}
        | {f"p{share}_ms": 1000 * sorted(latencies)[len(latencies) * share // 100] for share in (50, 99)}
        for status, latencies in result.latencies.items()
    }
    answers = {status: len(latencies) for status, latencies in result.latencies.items()}
    return {"statuses": statuses, "answers": answers, "unsent_per_second": result.unsent / result.seconds}


if __name__ == "__main__":
    load_test = LoadTest(bodies=[sys.stdin.buffer.read()], **json.loads(sys.argv[1]))
    print(json.dumps(uvloop.run(measure(load_test))))
