"""Kubernetes: plain manifests for `kubectl apply -k`, with an overlay for Prometheus and one for a canary."""

from collections.abc import Mapping
from typing import Any

from model_deployer.deployment.pod import PORT_NAME, labels, metadata, pod
from model_deployer.deployment.readme import readme
from model_deployer.deployment.workload import (
    DRAIN_SECONDS,
    METRICS,
    Workload,
    autoscaled,
    formulas,
    replica_sizes,
    sizes,
)
from model_deployer.monitoring.monitoring import groups
from model_deployer.package.sizing import SAFE_LOAD_SHARE
from model_deployer.serving.observability.metric_specs import QUEUE_SECONDS
from model_deployer.writing.yaml_text import to_yaml

Manifest = Mapping[str, Any]

#: The request rate of a pod, as the autoscaler names it.
REQUEST_RATE_METRIC = "model_requests_per_second"

#: The counter that the rate is computed from. It counts requests of any protocol when their rows enter a batch.
REQUEST_COUNT_SERIES = f"{QUEUE_SECONDS.name}_count"

#: The window of the rate: several scrapes.
RATE_WINDOW = "2m"

#: The label that distinguishes the pods of a canary from the others.
TRACK_LABEL = "track"

_SCRAPE = "30s"


def kubernetes(workload: Workload) -> dict[str, str]:
    """Return the files by path."""
    base = _base(workload)
    prometheus = _with_prometheus(workload)
    canary = {"deployment.yaml": deployment(workload, "canary")}
    files = {
        **_folder("base", base, kustomization(list(base))),
        **_folder("with-prometheus", prometheus, _overlay(workload, prometheus)),
        **_folder("canary", canary, kustomization(list(canary))),
    }
    texts = {path: to_yaml(manifest, _comment(workload, path)) for path, manifest in files.items()}
    texts["with-prometheus/adapter-values.yaml"] = to_yaml(adapter_values(), _ABOUT_ADAPTER)
    page = readme(
        "kubernetes",
        workload,
        sizes(workload),
        is_scaled=is_scaled(workload),
        metric=REQUEST_RATE_METRIC,
        drain_seconds=DRAIN_SECONDS,
    )
    return {"README.md": page, **texts}


def _comment(workload: Workload, path: str) -> str:
    """Return the formulas of the figures in a file."""
    match path.rpartition("/")[2]:
        case "autoscaler.yaml":
            return formulas(autoscaled(workload))
        case "deployment.yaml":
            return formulas(replica_sizes(workload))
    return ""


_ABOUT_ADAPTER = f"""Values of the Helm chart prometheus-adapter (prometheus-community). They define
{REQUEST_RATE_METRIC}, the request rate of each pod. One rule covers every model in the cluster; install it once."""


def is_scaled(workload: Workload) -> bool:
    """Return whether there is an autoscaler: it needs a CPU request, and so CPU use on a machine that was not busy."""
    return workload.sizing.cpu_request is not None


def _base(workload: Workload) -> dict[str, Manifest]:
    manifests = {
        "deployment.yaml": deployment(workload, "stable"),
        "service.yaml": service(workload),
        "disruption-budget.yaml": disruption_budget(workload),
        "network-policy.yaml": network_policy(workload),
    }
    return manifests | ({"autoscaler.yaml": autoscaler(workload, [cpu_metric()])} if is_scaled(workload) else {})


def _with_prometheus(workload: Workload) -> dict[str, Manifest]:
    manifests = {"service-monitor.yaml": service_monitor(workload), "rules.yaml": prometheus_rule(workload)}
    scaled = {"autoscaler.yaml": autoscaler(workload, [cpu_metric(), request_rate_metric(workload)])}
    return manifests | (scaled if is_scaled(workload) else {})


def _folder(name: str, manifests: Mapping[str, Manifest], kustomization: Manifest) -> dict[str, Manifest]:
    files = {"kustomization.yaml": kustomization, **manifests}
    return {f"{name}/{file}": manifest for file, manifest in files.items()}


def kustomization(resources: list[str], **fields: Any) -> Manifest:
    """Return the file that `kubectl apply -k` reads."""
    return {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", "resources": resources, **fields}


def _overlay(workload: Workload, manifests: Mapping[str, Manifest]) -> Manifest:
    added = [file for file in manifests if file != "autoscaler.yaml"]
    patches = {"patches": [{"path": "autoscaler.yaml"}]} if is_scaled(workload) else {}
    return kustomization(["../base", *added], **patches)


def deployment(workload: Workload, track: str) -> Manifest:
    """Return the Deployment; its replicas are left to an autoscaler, so that applying it again does not reset them."""
    is_canary = track == "canary"
    name = f"{workload.name()}-canary" if is_canary else workload.name()
    selector = labels(workload) | {TRACK_LABEL: track}
    replicas = 1 if is_canary else None if is_scaled(workload) else workload.replicas
    deployment_metadata = metadata(workload, name)
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": deployment_metadata,
        "spec": {
            **({} if replicas is None else {"replicas": replicas}),
            "selector": {"matchLabels": selector},
            # A new pod is ready before an old one ends.
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
            "template": {
                "metadata": {"labels": deployment_metadata["labels"] | selector},
                "spec": pod(workload, "model") | {"topologySpreadConstraints": _spread(workload)},
            },
        },
    }


def _spread(workload: Workload) -> list[Manifest]:
    """Return constraints that spread the replicas, so that the loss of a node or a zone affects few of them."""
    return [
        {
            "maxSkew": 1,
            "topologyKey": key,
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": {"matchLabels": labels(workload)},
        }
        for key in ("topology.kubernetes.io/zone", "kubernetes.io/hostname")
    ]


def service(workload: Workload) -> Manifest:
    """Return the Service: one address for the pods of every track."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(workload),
        "spec": {
            "type": "ClusterIP",
            "selector": labels(workload),
            "ports": [{"name": PORT_NAME, "port": 80, "targetPort": PORT_NAME, "protocol": "TCP"}],
        },
    }


def autoscaler(workload: Workload, metrics: list[Manifest]) -> Manifest:
    """Return the autoscaler; the metric that requires the most replicas decides."""
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": metadata(workload),
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": workload.name()},
            "minReplicas": workload.replicas,
            "maxReplicas": workload.max_replicas,
            "metrics": metrics,
        },
    }


def cpu_metric() -> Manifest:
    """Return the metric of CPU utilization, which is right for requests of any number of rows."""
    target = {"type": "Utilization", "averageUtilization": round(100 * SAFE_LOAD_SHARE)}
    return {"type": "Resource", "resource": {"name": "cpu", "target": target}}


def request_rate_metric(workload: Workload) -> Manifest:
    """Return the metric of requests per second and pod, with the safe load as its target."""
    target = {"type": "AverageValue", "averageValue": f"{round(1000 * workload.sizing.safe_load)}m"}
    return {"type": "Pods", "pods": {"metric": {"name": REQUEST_RATE_METRIC}, "target": target}}


def disruption_budget(workload: Workload) -> Manifest:
    """Return the disruption budget: a node drain may stop one pod at a time, which is the number of spare replicas."""
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": metadata(workload),
        "spec": {"maxUnavailable": 1, "selector": {"matchLabels": labels(workload)}},
    }


def network_policy(workload: Workload) -> Manifest:
    """Return the network policy: the port is open, and the pods may open no connections, not even to the DNS."""
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": metadata(workload),
        "spec": {
            "podSelector": {"matchLabels": labels(workload)},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [{"ports": [{"port": PORT_NAME, "protocol": "TCP"}]}],
            "egress": [],
        },
    }


def service_monitor(workload: Workload) -> Manifest:
    """Return the ServiceMonitor, with which Prometheus scrapes every pod."""
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "ServiceMonitor",
        "metadata": metadata(workload),
        "spec": {
            "selector": {"matchLabels": labels(workload)},
            "endpoints": [{"port": PORT_NAME, "path": METRICS, "interval": _SCRAPE}],
        },
    }


def prometheus_rule(workload: Workload) -> Manifest:
    """Return the alerts of the package as a PrometheusRule."""
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": metadata(workload),
        "spec": {"groups": groups(workload.package)},
    }


def adapter_values() -> Manifest:
    """Return the Helm values with which prometheus-adapter computes the autoscaler's metric."""
    rule = {
        "seriesQuery": f'{REQUEST_COUNT_SERIES}{{namespace!="",pod!=""}}',
        "resources": {"overrides": {name: {"resource": name} for name in ("namespace", "pod")}},
        "name": {"as": REQUEST_RATE_METRIC},
        "metricsQuery": f"sum by (<<.GroupBy>>) (rate(<<.Series>>{{<<.LabelMatchers>>}}[{RATE_WINDOW}]))",
    }
    return {"rules": {"custom": [rule]}}
