"""Latencies as multiples of those of the reference server: measured here, and held against what a package states."""

import copy
import json
from typing import Any

import pytest

from model_deployer.handoff.measurement import relative_latency, server_measurement
from model_deployer.handoff.measurement.server_measurement import measure_relative
from model_deployer.handoff.standalone import verify
from model_deployer.package.measurements import RelativeMeasurements
from model_deployer.package.samples import Sample, Samples
from tests.support import tiny
from tests.support.packages import MEASURED
from tests.support.processes import Server

GOLDEN = Samples(
    model={},
    tolerance=1e-5,
    golden=(Sample(case="golden", request={"rows": [tiny.ROW]}, status=200, answer={}),),
    edge=(),
    invalid=(),
)


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relative_latency, "BLOCKS", 3)
    monkeypatch.setattr(relative_latency, "ATTEMPTS", 1)
    monkeypatch.setattr(server_measurement, "SECONDS", 0.5)


@pytest.fixture
def measured(server: Server) -> RelativeMeasurements:
    return measure_relative(server.url, server.process.pid, GOLDEN, tiny.CONTRACT, (1, 4))


def stated(measured: RelativeMeasurements, **changes: Any) -> dict[str, Any]:
    """The measurements of a package that states these latencies on a machine that was not busy."""
    content = MEASURED.model_dump(mode="json") | measured.model_dump(mode="json")
    content["relative"] = [load | {"busy": False} | changes for load in content["relative"]]
    return content


def quiet(measured: RelativeMeasurements) -> dict[str, Any]:
    loads = [load.model_copy(update={"busy": False}) for load in measured.relative]
    return measured.model_copy(update={"relative": tuple(loads)}).model_dump(mode="json")


def test_both_servers_are_measured_in_turn(measured: RelativeMeasurements) -> None:
    assert [load.clients for load in measured.relative] == [1, 4]
    for load in measured.relative:
        assert load.blocks == 3
        assert 0 < load.low <= load.ratio <= load.high
        assert 0 < load.p50 <= load.p99
        assert load.reference_p50 > 0
        assert load.busy == load.conditions.is_busy


def test_a_forged_latency_is_found_out(measured: RelativeMeasurements) -> None:
    """A package states a hundredth of the measured latencies, with a ratio that goes with them."""
    again = quiet(measured)
    assert "times the reference, stated " in verify.held_latencies(stated(measured), lambda: again)
    forged = stated(measured)
    for load in forged["relative"]:
        for name in ("p50", "p99", "ratio", "low", "high"):
            load[name] /= 100
    with pytest.raises(verify.Failed, match="expected within a factor of 2"):
        verify.held_latencies(forged, lambda: again)
    forged = stated(measured)
    for load in forged["relative"]:
        load["p99"] /= 100
    with pytest.raises(verify.Failed, match="p99 within one of 5"):
        verify.held_latencies(forged, lambda: again)


def test_a_moment_of_noise_is_measured_again(measured: RelativeMeasurements) -> None:
    noisy, again = quiet(measured), quiet(measured)
    for load in noisy["relative"]:
        load["ratio"] *= 100
    results = iter([noisy, again])
    assert "times the reference, stated " in verify.held_latencies(stated(measured), lambda: next(results))


def test_a_faster_machine_is_not_believed(measured: RelativeMeasurements) -> None:
    """Who forges the latency of the reference server, too, states a machine that does not compare with this one."""
    forged = stated(measured)
    for load in forged["relative"]:
        for name in ("p50", "p99", "reference_p50"):
            load[name] /= 100
    with pytest.raises(verify.NotRun, match="the reference server is 100 times as fast on one machine"):
        verify.held_latencies(forged, lambda: quiet(measured))


def test_a_busy_machine_proves_nothing(measured: RelativeMeasurements) -> None:
    again = quiet(measured)
    for busy in (True, False):
        forged = stated(measured, ratio=measured.relative[0].ratio / 100, busy=busy)
        again["relative"][0]["busy"] = not busy
        with pytest.raises(verify.NotRun, match=r"^busy machine: not held: "):
            verify.held_latencies(forged, lambda: again)


def test_a_gpu_is_compared_with_a_gpu_only(measured: RelativeMeasurements) -> None:
    again = quiet(measured)
    again["machine"]["gpu"] = None
    with pytest.raises(verify.NotRun, match="measured on a GPU"):
        verify.held_latencies(stated(measured) | {"engine": "cuda"}, lambda: again)


def test_latencies_of_one_file_agree_with_each_other() -> None:
    content = MEASURED.model_dump(mode="json")
    assert verify.inconsistent_measurements(content) == []

    def problems(*path: str | int, value: Any) -> list[str]:
        forged = copy.deepcopy(content)
        place: Any = forged
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = value
        return [problem.partition(": ")[2] for problem in verify.inconsistent_measurements(forged)]

    assert problems("by_load", 1, "requests_per_second", value=10700.0) == [
        "16 clients, 1 row: the rate is not the number of requests divided by their time",
        "the latencies next to a reference server are missing",
    ]
    assert "1 client, 100 rows: the percentiles are not in order" in problems("by_rows", 1, "p99", value=0.5)
    assert problems("relative", value=[]) == ["the latencies next to a reference server are missing"]
    assert problems("relative", 0, "ratio", value=0.25) == ["1 client: the ratio is not that of the latencies"]
    assert problems("relative", 0, "p50", value=0.125) == [
        "1 client: the ratio is not that of the latencies",
        "1 client: p50 is 1.25 ms, and 0.125 ms next to the reference",
    ]
    faster = {"requests": 32_100, "requests_per_second": 10_700.0}
    forged = json.loads(json.dumps(content))
    forged["by_rows"][0] |= faster
    assert "1 client, 1 row: the rate is too high for the latency" in str(verify.inconsistent_measurements(forged))
