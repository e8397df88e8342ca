"""compose.yaml; docs/07-deployment.md has the results of Compose's schema and of a run."""

from typing import Any

import pytest
import yaml

from model_deployer.deployment.compose import compose
from model_deployer.deployment.workload import Workload
from model_deployer.monitoring.monitoring import ALERTS, monitoring
from tests.support.workloads import ALL, UNKNOWN, workload


def read(example: Workload) -> dict[str, Any]:
    return {path: yaml.safe_load(text) for path, text in compose(example).items() if path.endswith(("yaml", "yml"))}


@pytest.mark.parametrize("example", ALL.values(), ids=ALL)
def test_the_container_is_hardened_and_given_time_to_end(example: Workload) -> None:
    model = read(example)["compose.yaml"]["services"]["model"]
    assert model["image"] == example.image
    assert model["read_only"] is True
    assert model["cap_drop"] == ["ALL"]
    assert model["security_opt"] == ["no-new-privileges:true"]
    assert all(port.startswith("127.0.0.1:") for port in model["ports"])
    assert int(model["stop_grace_period"].removesuffix("s")) > example.sizing.timeout_seconds
    start = float(model["healthcheck"]["start_period"].removesuffix("s"))
    assert start > example.sizing.measured.cold_start_seconds


def test_it_gets_what_was_measured_and_nothing_where_nothing_was() -> None:
    limits = {"cpus", "mem_limit", "memswap_limit"}
    measured, unmeasured = (
        read(example)["compose.yaml"]["services"]["model"] for example in (workload(), workload(UNKNOWN))
    )
    assert {name: measured[name] for name in limits} == {
        "cpus": 2,
        "mem_limit": 384 * 2**20,
        "memswap_limit": 384 * 2**20,
    }
    assert not limits & unmeasured.keys()


def test_prometheus_scrapes_the_model_and_loads_the_alerts() -> None:
    """Prometheus starts only where its profile is named; it scrapes the model and loads the alerts of the package."""
    files = compose(workload())
    project, config = (yaml.safe_load(files[name]) for name in ("compose.yaml", "prometheus.yml"))
    prometheus = project["services"]["prometheus"]
    assert prometheus["profiles"] == ["monitoring"]
    mounted = {volume.split(":")[0].removeprefix("./") for volume in prometheus["volumes"]}
    assert mounted - set(project["volumes"]) == {"prometheus.yml", *config["rule_files"]}
    (job,) = config["scrape_configs"]
    (target,) = job["static_configs"][0]["targets"]
    service, port = target.split(":")
    assert project["services"][service]["ports"] == [f"127.0.0.1:{port}:{port}"]
    assert files["alerts.yml"] == monitoring(workload().package)[ALERTS]
