"""The manifests: checked against Kubernetes' own schemas and for consistency with each other."""

from collections.abc import Iterator, Mapping
from typing import Any

import kubernetes_validate
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from model_deployer.deployment.kubernetes import REQUEST_COUNT_SERIES, REQUEST_RATE_METRIC, deployment, kubernetes
from model_deployer.deployment.workload import PEAK_FACTOR, Workload, sizes
from model_deployer.package.measurements import Measurements
from model_deployer.serving.observability.metrics import Metrics
from model_deployer.serving.protocols.openapi import HEALTH_PATHS
from tests.support.workloads import ALL, measurements, quantity, workload

#: The first version that supports everything in the manifests, and a recent one.
VERSIONS = ("1.30", "1.35")

#: Kinds that Kubernetes does not define itself: those of the Prometheus operator, and a file for kubectl.
FOREIGN_KINDS = {"ServiceMonitor", "PrometheusRule", "Kustomization"}


@pytest.fixture(scope="module", params=list(ALL))
def files(request: pytest.FixtureRequest) -> dict[str, Any]:
    return read(ALL[request.param])


def read(example: Workload) -> dict[str, Any]:
    return {path: yaml.safe_load(text) for path, text in kubernetes(example).items() if path.endswith(".yaml")}


def of_kind(files: Mapping[str, Any], kind: str) -> Iterator[Any]:
    return (manifest for manifest in files.values() if manifest.get("kind") == kind)


def matches(selector: Mapping[str, str], pod: Mapping[str, Any]) -> bool:
    return set(selector.items()) <= set(pod["metadata"]["labels"].items())


def pods(files: Mapping[str, Any]) -> dict[str, Any]:
    """The template of the pods of each track."""
    templates = (manifest["spec"]["template"] for manifest in of_kind(files, "Deployment"))
    return {template["metadata"]["labels"]["track"]: template for template in templates}


@pytest.mark.parametrize("version", VERSIONS)
def test_kubernetes_takes_every_manifest(files: dict[str, Any], version: str) -> None:
    manifests = [manifest for manifest in files.values() if manifest.get("kind") not in {*FOREIGN_KINDS, None}]
    assert len(manifests) >= 5
    for manifest in manifests:
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
    for manifest in of_kind(files, "Deployment"):
        selector = manifest["spec"]["selector"]["matchLabels"]
        assert [track for track, pod in pods(files).items() if matches(selector, pod)] == [selector["track"]]


def test_ports_are_those_of_the_container(files: dict[str, Any]) -> None:
    (service,) = of_kind(files, "Service")
    (policy,) = of_kind(files, "NetworkPolicy")
    (monitor,) = of_kind(files, "ServiceMonitor")
    for pod in pods(files).values():
        (container,) = pod["spec"]["containers"]
        (port,) = container["ports"]
        assert port == {"name": "http", "containerPort": 3000, "protocol": "TCP"}
        for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
            request = container[kind]["httpGet"]
            assert request["port"] == port["name"]
            assert request["path"] in HEALTH_PATHS
        assert service["spec"]["ports"][0]["targetPort"] == port["name"]
        assert policy["spec"]["ingress"][0]["ports"][0]["port"] == port["name"]
    assert monitor["spec"]["endpoints"][0]["port"] == service["spec"]["ports"][0]["name"]


def test_kustomize_finds_every_file_and_what_it_patches(files: dict[str, Any]) -> None:
    for folder in ("base", "canary", "with-prometheus"):
        kustomization = files[f"{folder}/kustomization.yaml"]
        patches = [patch["path"] for patch in kustomization.get("patches", [])]
        named = {f"{folder}/{name}" for name in kustomization["resources"] + patches if name != "../base"}
        paths = {path for path, manifest in files.items() if path.startswith(f"{folder}/") and "kind" in manifest}
        assert named == paths - {f"{folder}/kustomization.yaml"}
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


@pytest.mark.parametrize("example", ALL.values(), ids=ALL)
def test_a_pod_is_given_the_time_to_answer_what_it_has(example: Workload) -> None:
    pod = pods(read(example))["stable"]["spec"]
    drain = pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    ready = pod["containers"][0]["readinessProbe"]
    assert drain >= ready["periodSeconds"] * ready["failureThreshold"]
    assert pod["terminationGracePeriodSeconds"] > drain + example.sizing.timeout_seconds


@given(measurements)
def test_a_pod_gets_what_was_measured_and_may_take_more(measured: Measurements) -> None:
    example = workload(measured)
    container = deployment(example, "stable")["spec"]["template"]["spec"]["containers"][0]
    requests, limits = container["resources"]["requests"], container["resources"]["limits"]
    assert measured.memory_loaded_bytes is not None
    assert quantity(limits["memory"]) > measured.memory_loaded_bytes
    assert quantity(requests["memory"]) >= measured.memory_loaded_bytes
    assert quantity(requests["cpu"]) >= (example.sizing.best_load.cores or 0)
    assert quantity(limits["cpu"]) >= (example.sizing.max_cores or 0)
    for name, request in requests.items():
        assert quantity(limits[name]) >= quantity(request)
    start = container["startupProbe"]
    assert start["periodSeconds"] * start["failureThreshold"] > measured.cold_start_seconds


@given(measurements, st.floats(0.01, 1e6), st.floats(1, 10))
def test_more_load_never_means_fewer_replicas(measured: Measurements, load: float, times: float) -> None:
    less, more = workload(measured, load), workload(measured, load * times)
    assert less.replicas <= more.replicas
    assert less.replicas <= less.max_replicas
    assert (less.replicas - 1) * less.sizing.safe_load * (1 + 1e-9) >= load


def test_autoscaler_goes_by_cpu_or_by_requests() -> None:
    """The autoscaler goes by CPU, and with Prometheus by requests."""
    example = workload(load=10_000)
    files = read(example)
    scaler = files["base/autoscaler.yaml"]["spec"]
    assert (scaler["minReplicas"], scaler["maxReplicas"]) == (
        5,
        13,
    )  # 10,000 / 2,592 -> 4 + 1, 30,000 / 2,592 -> 12 + 1
    assert [metric["type"] for metric in scaler["metrics"]] == ["Resource"]
    cpu, requests = files["with-prometheus/autoscaler.yaml"]["spec"]["metrics"]
    assert cpu == scaler["metrics"][0]
    assert requests["pods"]["metric"]["name"] == REQUEST_RATE_METRIC
    assert quantity(requests["pods"]["target"]["averageValue"]) == example.sizing.safe_load
    (rule,) = files["with-prometheus/adapter-values.yaml"]["rules"]["custom"]
    assert rule["name"]["as"] == REQUEST_RATE_METRIC
    assert rule["seriesQuery"].startswith(REQUEST_COUNT_SERIES)
    assert f"\n{REQUEST_COUNT_SERIES} 0.0\n" in Metrics("served:1.0.0", []).text().decode()
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
    example = ALL["measured"]
    texts = kubernetes(example)
    comments = texts["base/deployment.yaml"] + texts["base/autoscaler.yaml"]
    for size in sizes(example):
        assert f"# {size.name}: {size.figure} ({size.formula})\n" in comments
        assert f"| {size.name} | {size.figure} |" in texts["README.md"]
    assert f"for {PEAK_FACTOR} times as many" in comments


def test_the_alerts_are_those_of_the_package(files: dict[str, Any]) -> None:
    (rule,) = of_kind(files, "PrometheusRule")
    names = {alert.get("alert") for group in rule["spec"]["groups"] for alert in group["rules"]}
    assert {"ModelAbsent", "ModelFailingFast", "ModelQueueLong"} <= names
