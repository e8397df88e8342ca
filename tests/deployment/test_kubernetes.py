"""The manifests: held against Kubernetes' own schemas, and against each other."""

from collections.abc import Iterator, Mapping
from typing import Any

import kubernetes_validate
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from model_deployer.deployment.kubernetes import METRIC, SERIES, deployment, kubernetes
from model_deployer.deployment.workload import PEAK, Workload, sizes
from model_deployer.package.measurements import Measurements
from model_deployer.serving.observability.metrics import Metrics
from model_deployer.serving.protocols.openapi import HEALTH_PATHS
from tests.support.workloads import ALL, measurements, quantity, workload

#: The first version with all that the manifests use, and one of late.
VERSIONS = ("1.30", "1.35")

#: What an operator of the cluster defines, and what only kubectl reads.
FOREIGN = {"ServiceMonitor", "PrometheusRule", "Kustomization"}


@pytest.fixture(scope="module", params=list(ALL))
def files(request: pytest.FixtureRequest) -> dict[str, Any]:
    return read(ALL[request.param])


def read(written: Workload) -> dict[str, Any]:
    return {path: yaml.safe_load(text) for path, text in kubernetes(written).items() if path.endswith(".yaml")}


def of_kind(files: Mapping[str, Any], kind: str) -> Iterator[Any]:
    return (each for each in files.values() if each.get("kind") == kind)


def matches(selector: Mapping[str, str], pod: Mapping[str, Any]) -> bool:
    return set(selector.items()) <= set(pod["metadata"]["labels"].items())


def pods(files: Mapping[str, Any]) -> dict[str, Any]:
    """The template of the pods of each track."""
    found = (each["spec"]["template"] for each in of_kind(files, "Deployment"))
    return {each["metadata"]["labels"]["track"]: each for each in found}


@pytest.mark.parametrize("version", VERSIONS)
def test_kubernetes_takes_every_manifest(files: dict[str, Any], version: str) -> None:
    own = [each for each in files.values() if each.get("kind") not in {*FOREIGN, None}]
    assert len(own) >= 5
    for manifest in own:
        kubernetes_validate.validate(manifest, version, strict=True)


def test_what_is_misspelt_would_be_found() -> None:
    manifest = read(ALL["measured"])["base/deployment.yaml"]
    manifest["spec"]["template"]["spec"]["containers"][0]["resource"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(manifest, VERSIONS[0], strict=True)


def test_everything_selects_the_pods_of_both_tracks(files: dict[str, Any]) -> None:
    (service,) = of_kind(files, "Service")
    (budget,) = of_kind(files, "PodDisruptionBudget")
    (policy,) = of_kind(files, "NetworkPolicy")
    (monitor,) = of_kind(files, "ServiceMonitor")
    assert set(pods(files)) == {"stable", "canary"}
    for pod in pods(files).values():
        assert matches(service["spec"]["selector"], pod)
        assert matches(budget["spec"]["selector"]["matchLabels"], pod)
        assert matches(policy["spec"]["podSelector"]["matchLabels"], pod)
        for spread in pod["spec"]["topologySpreadConstraints"]:
            assert matches(spread["labelSelector"]["matchLabels"], pod)
    assert matches(monitor["spec"]["selector"]["matchLabels"], service)


def test_a_deployment_owns_the_pods_of_its_own_track_only(files: dict[str, Any]) -> None:
    for each in of_kind(files, "Deployment"):
        selector = each["spec"]["selector"]["matchLabels"]
        own = selector["track"]
        assert [track for track, pod in pods(files).items() if matches(selector, pod)] == [own]


def test_ports_are_those_of_the_container(files: dict[str, Any]) -> None:
    (service,) = of_kind(files, "Service")
    (policy,) = of_kind(files, "NetworkPolicy")
    (monitor,) = of_kind(files, "ServiceMonitor")
    for pod in pods(files).values():
        (container,) = pod["spec"]["containers"]
        (port,) = container["ports"]
        assert port == {"name": "http", "containerPort": 3000, "protocol": "TCP"}
        for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
            asked = container[kind]["httpGet"]
            assert asked["port"] == port["name"]
            assert asked["path"] in HEALTH_PATHS
        assert service["spec"]["ports"][0]["targetPort"] == port["name"]
        assert policy["spec"]["ingress"][0]["ports"][0]["port"] == port["name"]
    assert monitor["spec"]["endpoints"][0]["port"] == service["spec"]["ports"][0]["name"]


def test_kustomize_finds_every_file_and_what_it_patches(files: dict[str, Any]) -> None:
    for folder in ("base", "canary", "with-prometheus"):
        kustomization = files[f"{folder}/kustomization.yaml"]
        patches = [each["path"] for each in kustomization.get("patches", [])]
        named = {f"{folder}/{name}" for name in kustomization["resources"] + patches if name != "../base"}
        there = {path for path, each in files.items() if path.startswith(f"{folder}/") and "kind" in each}
        assert named == there - {f"{folder}/kustomization.yaml"}
        for path in patches:
            patch, patched = files[f"{folder}/{path}"], files[f"base/{path}"]
            assert [patch["kind"], patch["metadata"]["name"]] == [patched["kind"], patched["metadata"]["name"]]


def test_the_pods_are_hardened(files: dict[str, Any]) -> None:
    for pod in pods(files).values():
        spec = pod["spec"]
        (container,) = spec["containers"]
        assert spec["automountServiceAccountToken"] is False
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        assert container["securityContext"]["allowPrivilegeEscalation"] is False
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert [mount["mountPath"] for mount in container["volumeMounts"]] == ["/tmp"]
    (policy,) = of_kind(files, "NetworkPolicy")
    assert policy["spec"]["egress"] == []


@pytest.mark.parametrize("written", ALL.values(), ids=ALL)
def test_a_pod_is_given_the_time_to_answer_what_it_has(written: Workload) -> None:
    pod = pods(read(written))["stable"]["spec"]
    drain = pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    ready = pod["containers"][0]["readinessProbe"]
    assert drain >= ready["periodSeconds"] * ready["failureThreshold"]
    assert pod["terminationGracePeriodSeconds"] > drain + written.sizing.timeout_seconds


@settings(deadline=None)
@given(measurements)
def test_a_pod_gets_what_was_measured_and_may_take_more(measured: Measurements) -> None:
    written = workload(measured)
    container = deployment(written, "stable")["spec"]["template"]["spec"]["containers"][0]
    requests, limits = container["resources"]["requests"], container["resources"]["limits"]
    assert measured.memory_loaded_bytes is not None
    assert quantity(limits["memory"]) > measured.memory_loaded_bytes
    assert quantity(requests["memory"]) >= measured.memory_loaded_bytes
    assert quantity(requests["cpu"]) >= (written.sizing.best.cores or 0)
    assert quantity(limits["cpu"]) >= (written.sizing.most_cores or 0)
    for name, asked in requests.items():
        assert quantity(limits[name]) >= quantity(asked)
    start = container["startupProbe"]
    assert start["periodSeconds"] * start["failureThreshold"] > measured.cold_start_seconds


@settings(deadline=None)
@given(measurements, st.floats(0.01, 1e6), st.floats(1, 10))
def test_more_load_never_means_fewer_replicas(measured: Measurements, load: float, times: float) -> None:
    less, more = workload(measured, load), workload(measured, load * times)
    assert less.replicas <= more.replicas
    assert less.replicas <= less.most_replicas
    assert (less.replicas - 1) * less.sizing.safe_load * (1 + 1e-9) >= load


def test_the_autoscaler_goes_by_cpu_and_with_prometheus_by_requests() -> None:
    written = workload(load=10_000)
    files = read(written)
    scaler = files["base/autoscaler.yaml"]["spec"]
    assert (scaler["minReplicas"], scaler["maxReplicas"]) == (
        5,
        13,
    )  # 10,000 / 2,590 -> 4 + 1, 30,000 / 2,590 -> 12 + 1
    assert [metric["type"] for metric in scaler["metrics"]] == ["Resource"]
    cpu, requests = files["with-prometheus/autoscaler.yaml"]["spec"]["metrics"]
    assert cpu == scaler["metrics"][0]
    assert requests["pods"]["metric"]["name"] == METRIC
    assert quantity(requests["pods"]["target"]["averageValue"]) == written.sizing.safe_load
    (rule,) = files["with-prometheus/adapter-values.yaml"]["rules"]["custom"]
    assert rule["name"]["as"] == METRIC
    assert rule["seriesQuery"].startswith(SERIES)
    assert f"\n{SERIES} 0.0\n" in Metrics("served:1.0.0", []).text().decode()
    assert scaler["scaleTargetRef"]["name"] == files["base/deployment.yaml"]["metadata"]["name"]
    assert "replicas" not in files["base/deployment.yaml"]["spec"]


def test_what_was_not_measured_is_absent() -> None:
    texts = kubernetes(ALL["unknown"])
    files = read(ALL["unknown"])
    assert not any(path.endswith("autoscaler.yaml") for path in texts)
    assert files["base/deployment.yaml"]["spec"]["replicas"] == 5
    assert "resources" not in files["base/deployment.yaml"]["spec"]["template"]["spec"]["containers"][0]
    assert "HorizontalPodAutoscaler" not in texts["README.md"]
    assert not any("None" in text for text in texts.values())


def test_every_figure_stands_beside_its_formula() -> None:
    written = ALL["measured"]
    texts = kubernetes(written)
    comments = texts["base/deployment.yaml"] + texts["base/autoscaler.yaml"]
    for size in sizes(written):
        assert f"# {size.name}: {size.figure} ({size.formula})\n" in comments
        assert f"| {size.name} | {size.figure} |" in texts["README.md"]
    assert f"for {PEAK} times as many" in comments


def test_the_alerts_are_those_of_the_package(files: dict[str, Any]) -> None:
    (rule,) = of_kind(files, "PrometheusRule")
    names = {each.get("alert") for group in rule["spec"]["groups"] for each in group["rules"]}
    assert {"ModelAbsent", "ModelFailingFast", "ModelSlow"} <= names
