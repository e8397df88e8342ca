import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_deployer.package.sizing import SAFE_LOAD_SHARE, Sizing, round_up_to_bucket, sizes
from tests.support.observed import BUSY, MEASURED, MIB, QUIET, latency

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
    assert SIZING.safe_load == 2592


def test_capacity_is_only_what_keeps_the_cores_busy() -> None:
    """A rate at which neither the server nor the clients were busy is not called a capacity."""

    def first_figure(cores: float, client_cores: float, machine_cores: int = 8) -> tuple[str, str]:
        conditions = QUIET.model_copy(update={"client_cores": client_cores})
        load = latency(16, 1910, 9.5, cores=cores, conditions=conditions)
        host = MEASURED.machine.model_copy(update={"cores": machine_cores})
        size = sizes(Sizing(MEASURED.model_copy(update={"by_load": (load,), "machine": host}), 30))[0]
        return size.name, size.formula.partition("not the capacity: ")[2]

    assert first_figure(0.85, 0.4) == ("Capacity of a replica", "")
    not_capacity = "Highest rate measured of a replica"
    assert first_figure(0.22, 0.9) == (
        not_capacity,
        "the server used 0.22 of 1 core, and the clients, which can use one core, 0.90",
    )
    assert first_figure(0.6, 0.4, machine_cores=1) == (
        not_capacity,
        "the server used 0.60 of 1 core, and the clients on the same 1 core 0.40",
    )
    assert first_figure(0.22, 0.3) == (
        not_capacity,
        "the server used 0.22 of 1 core, the clients 0.30; what limited the rate is not known",
    )


def test_both_targets_of_the_autoscaler_are_the_same_share_of_the_capacity() -> None:
    """60 % of the requested CPU, and the safe load, are one load."""
    for cores in (0.31, 0.89, 1.04, 3.97):
        best = latency(16, 4321, 9.5, cores=cores)
        sizing = Sizing(MEASURED.model_copy(update={"by_load": (best,), "workers": 2}), 30)
        assert sizing.cpu_request is not None
        share_of_cpu = SAFE_LOAD_SHARE * sizing.cpu_request / cores
        assert share_of_cpu == pytest.approx(sizing.safe_load / best.requests_per_second, rel=0.01)


def test_a_busy_machine_has_no_sizing_that_depends_on_its_speed() -> None:
    busy = Sizing(BUSY, 30)
    assert [size.name for size in sizes(busy)] == ["Memory request", "Memory limit", "Startup probe", "Readiness probe"]
    assert (busy.objectives, busy.cpu_request, busy.cpu_limit) == ((), None, None)


def test_where_every_load_had_failures_what_was_answered_counts() -> None:
    failing = MEASURED.model_copy(update={"by_load": (latency(1, 12.34, 400.0, failures=1),)})
    assert Sizing(failing, 30).capacity == 12.3


def test_the_objective_is_twice_the_p99_near_the_safe_load() -> None:
    assert SIZING.nearest_load.clients == 4
    assert SIZING.objective_seconds == 0.01  # 2 x 3.2 ms, rounded up


def test_larger_requests_have_objectives_of_their_own() -> None:
    """A request of 100 rows is not held against the objective of one row, and never has a shorter one."""
    assert [(objective.rows, objective.seconds) for objective in SIZING.objectives] == [(1, 0.01), (100, 0.25)]
    fast = MEASURED.model_copy(update={"by_rows": (latency(1, 900, 1.1, rows=10), latency(1, 300, 9.0, rows=100))})
    assert [objective.seconds for objective in Sizing(fast, 30).objectives] == [0.01, 0.01, 0.025]


def test_client_timeout_is_between_slowest_request_and_limit() -> None:
    """A client waits longer than the slowest request took, and no longer than the service does."""
    assert SIZING.client_timeout_seconds == 1
    slow = MEASURED.model_copy(update={"by_rows": (latency(1, 1, 2000.0, rows=1000),)})
    assert Sizing(slow, 30).client_timeout_seconds == 10  # 4 x 2 s, rounded up
    assert Sizing(slow, 5).client_timeout_seconds == 5


@pytest.mark.parametrize(("load", "replicas"), [(1, 2), (2592, 2), (2593, 3), (25_920, 11)])
def test_replicas_carry_the_load_and_one_is_to_spare(load: float, replicas: int) -> None:
    assert SIZING.replicas(load) == replicas


def test_resources_and_probes() -> None:
    assert SIZING.cpu_request == 1.04
    assert SIZING.cpu_limit == 2  # 1.04, rounded up
    assert SIZING.memory_request == 320 * MIB
    assert SIZING.memory_limit == 384 * MIB  # 1.25 x 300, rounded up
    assert SIZING.startup_failures == 9  # 5 x 3.456 s in probes of 2 s


def test_figures_come_with_their_sources() -> None:
    """Each figure is next to the numbers that it follows from."""
    by_name = {size.name: size for size in sizes(SIZING)}
    assert by_name["Safe load of a replica"].figure == "2,592 one-row requests per second"
    assert by_name["Safe load of a replica"].formula == "60 % of 4,320"
    assert by_name["Latency objective"].figure == "99 of 100 one-row requests within 10 ms"
    assert by_name["Latency objective"].formula.startswith("2 x 3.2 ms")
    assert "4 x 77 ms" in by_name["Client timeout"].formula
    assert by_name["CPU request"] == ("CPU request", "1040m", "1.04 cores busy at capacity")
    assert by_name["Memory limit"].figure == "384Mi"
    assert "the largest requests of 4 clients at a time: 10,000 rows, up to 16 MiB" in by_name["Memory limit"].formula


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
    assert names - {"Highest rate measured of a replica"} == {size.name for size in sizes(SIZING)} - unknown_names - {
        "Capacity of a replica"
    }
    assert "None" not in str(sizes(Sizing(unknown, 30)))
