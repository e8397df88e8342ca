"""Kubernetes: plain manifests for `kubectl apply -k`, with an overlay for Prometheus and one for a canary."""

from collections.abc import Mapping
from typing import Any

from model_deployer.deployment.pod import HTTP, labels, metadata, pod
from model_deployer.deployment.readme import readme
from model_deployer.deployment.workload import DRAIN, METRICS, Workload, formulas, of_replica, scaling, sizes
from model_deployer.monitoring.monitoring import groups
from model_deployer.package.sizing import SAFE_LOAD_SHARE, autoscaling
from model_deployer.serving.observability.metric_specs import QUEUE_SECONDS
from model_deployer.writing.yaml_text import to_yaml

Manifest = Mapping[str, Any]

#: What a replica is asked, as the autoscaler knows it.
METRIC = "model_requests_per_second"

#: What the metric counts: a request counts when its rows go into a batch, whatever protocol it came by.
SERIES = f"{QUEUE_SECONDS.name}_count"

#: Over what it is counted: some scrapes of half a minute each.
WINDOW = "2m"

#: The label that tells the pods of a canary from the others.
TRACK = "track"

_SCRAPE = "30s"


def kubernetes(workload: Workload) -> dict[str, str]:
    """The files, by their path."""
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
    page = readme("kubernetes", workload, sizes(workload), is_scaled=is_scaled(workload), metric=METRIC, drain=DRAIN)
    return {"README.md": page, **texts}


def _comment(workload: Workload, path: str) -> str:
    """What the figures of a file follow from."""
    match path.rpartition("/")[2]:
        case "autoscaler.yaml":
            return formulas([*scaling(workload), autoscaling(workload.sizing)])
        case "deployment.yaml":
            return formulas(of_replica(workload))
    return ""


_ABOUT_ADAPTER = f"""Values of the Helm chart prometheus-adapter (prometheus-community): {METRIC}, of what
each pod counts. The rule serves every model of the cluster; it is needed once."""


def is_scaled(workload: Workload) -> bool:
    """Whether replicas are started and stopped by load: that takes a request of CPU, which takes a measurement."""
    return workload.sizing.cpu_request is not None


def _base(workload: Workload) -> dict[str, Manifest]:
    found = {
        "deployment.yaml": deployment(workload, "stable"),
        "service.yaml": service(workload),
        "disruption-budget.yaml": disruption_budget(workload),
        "network-policy.yaml": network_policy(workload),
    }
    return found | ({"autoscaler.yaml": autoscaler(workload, [on_cpu()])} if is_scaled(workload) else {})


def _with_prometheus(workload: Workload) -> dict[str, Manifest]:
    found = {"service-monitor.yaml": service_monitor(workload), "rules.yaml": prometheus_rule(workload)}
    scaled = {"autoscaler.yaml": autoscaler(workload, [on_cpu(), on_requests(workload)])}
    return found | (scaled if is_scaled(workload) else {})


def _folder(name: str, manifests: Mapping[str, Manifest], kustomized: Manifest) -> dict[str, Manifest]:
    return {f"{name}/{file}": manifest for file, manifest in {"kustomization.yaml": kustomized, **manifests}.items()}


def kustomization(resources: list[str], **more: Any) -> Manifest:
    """What `kubectl apply -k` reads."""
    return {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", "resources": resources, **more}


def _overlay(workload: Workload, manifests: Mapping[str, Manifest]) -> Manifest:
    added = [file for file in manifests if file != "autoscaler.yaml"]
    patches = {"patches": [{"path": "autoscaler.yaml"}]} if is_scaled(workload) else {}
    return kustomization(["../base", *added], **patches)


def deployment(workload: Workload, track: str) -> Manifest:
    """The pods. The autoscaler says how many, so that applying the manifest again does not undo what it did."""
    is_canary = track == "canary"
    name = f"{workload.name()}-canary" if is_canary else workload.name()
    own = labels(workload) | {TRACK: track}
    replicas = 1 if is_canary else None if is_scaled(workload) else workload.replicas
    about = metadata(workload, name)
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": about,
        "spec": {
            **({} if replicas is None else {"replicas": replicas}),
            "selector": {"matchLabels": own},
            # A new pod is ready before an old one ends.
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
            "template": {
                "metadata": {"labels": about["labels"] | own},
                "spec": pod(workload, "model") | {"topologySpreadConstraints": _spread(workload)},
            },
        },
    }


def _spread(workload: Workload) -> list[Manifest]:
    """A node that is lost, or a zone, takes as few of the replicas as can be."""
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
    """One address for the pods of every track."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(workload),
        "spec": {
            "type": "ClusterIP",
            "selector": labels(workload),
            "ports": [{"name": HTTP, "port": 80, "targetPort": HTTP, "protocol": "TCP"}],
        },
    }


def autoscaler(workload: Workload, metrics: list[Manifest]) -> Manifest:
    """As many replicas as the metric wants that wants most."""
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": metadata(workload),
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": workload.name()},
            "minReplicas": workload.replicas,
            "maxReplicas": workload.most_replicas,
            "metrics": metrics,
        },
    }


def on_cpu() -> Manifest:
    """The requested CPU: right for requests of any number of rows."""
    target = {"type": "Utilization", "averageUtilization": round(100 * SAFE_LOAD_SHARE)}
    return {"type": "Resource", "resource": {"name": "cpu", "target": target}}


def on_requests(workload: Workload) -> Manifest:
    """The requests a second of each pod, of which it is known how many are safe."""
    target = {"type": "AverageValue", "averageValue": f"{round(1000 * workload.sizing.safe_load)}m"}
    return {"type": "Pods", "pods": {"metric": {"name": METRIC}, "target": target}}


def disruption_budget(workload: Workload) -> Manifest:
    """Nodes may be emptied, one pod at a time: that many there are to spare."""
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": metadata(workload),
        "spec": {"maxUnavailable": 1, "selector": {"matchLabels": labels(workload)}},
    }


def network_policy(workload: Workload) -> Manifest:
    """Its port may be reached, and the server reaches nobody: it needs no other service, not even the DNS."""
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": metadata(workload),
        "spec": {
            "podSelector": {"matchLabels": labels(workload)},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [{"ports": [{"port": HTTP, "protocol": "TCP"}]}],
            "egress": [],
        },
    }


def service_monitor(workload: Workload) -> Manifest:
    """Prometheus reads every pod."""
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "ServiceMonitor",
        "metadata": metadata(workload),
        "spec": {
            "selector": {"matchLabels": labels(workload)},
            "endpoints": [{"port": HTTP, "path": METRICS, "interval": _SCRAPE}],
        },
    }


def prometheus_rule(workload: Workload) -> Manifest:
    """The alerts of the package."""
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": metadata(workload),
        "spec": {"groups": groups(workload.facts)},
    }


def adapter_values() -> Manifest:
    """How the adapter makes the autoscaler's metric of what Prometheus has."""
    rule = {
        "seriesQuery": f'{SERIES}{{namespace!="",pod!=""}}',
        "resources": {"overrides": {name: {"resource": name} for name in ("namespace", "pod")}},
        "name": {"as": METRIC},
        "metricsQuery": f"sum by (<<.GroupBy>>) (rate(<<.Series>>{{<<.LabelMatchers>>}}[{WINDOW}]))",
    }
    return {"rules": {"custom": [rule]}}
