import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_deployer.package.sizing import Sizing, round_up_to_bucket, sizes
from tests.support.observed import MEASURED, MIB, latency

SIZING = Sizing(MEASURED, timeout_seconds=30)


@given(st.floats(min_value=1e-6, max_value=1e6))
def test_a_sensible_figure_is_the_next_of_1_2_5_and_5(value: float) -> None:
    rounded = round_up_to_bucket(value)
    assert value <= rounded <= 2.5 * value * (1 + 1e-9)
    assert f"{rounded:e}".partition("e")[0].rstrip("0") in ("1.", "2.5", "5.")
    assert round_up_to_bucket(rounded) == rounded


def test_capacity_is_the_best_load_that_had_no_failure() -> None:
    failing = latency(64, 9000, 31.0, failures=7)
    assert SIZING.capacity == 4320
    assert Sizing(MEASURED.model_copy(update={"by_load": (*MEASURED.by_load[:3], failing)}), 30).capacity == 4320
    assert SIZING.safe_load == 2590


def test_where_every_load_had_failures_what_was_answered_counts() -> None:
    failing = MEASURED.model_copy(update={"by_load": (latency(1, 12.34, 400.0, failures=1),)})
    assert Sizing(failing, 30).capacity == 12.3


def test_the_objective_is_twice_the_p99_near_the_safe_load() -> None:
    assert SIZING.nearest_load.clients == 4
    assert SIZING.objective_seconds == 0.01  # 2 x 3.2 ms, rounded up


def test_client_timeout_is_between_slowest_request_and_limit() -> None:
    """A client waits longer than the slowest request took, and no longer than the service does."""
    assert SIZING.client_timeout_seconds == 1
    slow = MEASURED.model_copy(update={"by_rows": (latency(1, 1, 2000.0, rows=1000),)})
    assert Sizing(slow, 30).client_timeout_seconds == 10  # 4 x 2 s, rounded up
    assert Sizing(slow, 5).client_timeout_seconds == 5


@pytest.mark.parametrize(("load", "replicas"), [(1, 2), (2590, 2), (2591, 3), (25_900, 11)])
def test_replicas_carry_the_load_and_one_is_to_spare(load: float, replicas: int) -> None:
    assert SIZING.replicas(load) == replicas


def test_resources_and_probes() -> None:
    assert SIZING.cpu_request == 1.1
    assert SIZING.cpu_limit == 2  # 1.04, rounded up
    assert SIZING.memory_request == 320 * MIB
    assert SIZING.memory_limit == 512 * MIB  # 450, rounded up
    assert SIZING.startup_failures == 9  # 5 x 3.456 s in probes of 2 s


def test_figures_come_with_their_sources() -> None:
    """Each figure is next to the numbers that it follows from."""
    by_name = {size.name: size for size in sizes(SIZING)}
    assert by_name["Safe load of a replica"].figure == "2,590 one-row requests per second"
    assert by_name["Safe load of a replica"].formula == "60 % of 4,320; rounded down to three digits"
    assert by_name["Latency objective"].figure == "99 of 100 one-row requests within 10 ms"
    assert by_name["Latency objective"].formula.startswith("2 x 3.2 ms")
    assert "4 x 77 ms" in by_name["Client timeout"].formula
    assert by_name["CPU request"] == ("CPU request", "1100m", "1.04 cores busy at capacity, rounded up to a tenth")
    assert by_name["Memory limit"].figure == "512Mi"


def test_what_was_not_measured_is_absent() -> None:
    unknown = MEASURED.model_copy(
        update={
            "memory_loaded_bytes": None,
            "by_rows": tuple(step.model_copy(update={"cores": None}) for step in MEASURED.by_rows),
            "by_load": tuple(step.model_copy(update={"cores": None}) for step in MEASURED.by_load),
        }
    )
    names = {size.name for size in sizes(Sizing(unknown, 30))}
    unknown_names = {"CPU request", "CPU limit", "Memory request", "Memory limit"}
    assert names == {size.name for size in sizes(SIZING)} - unknown_names
    assert "None" not in str(sizes(Sizing(unknown, 30)))
