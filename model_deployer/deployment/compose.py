"""Compose: one hardened container on one machine, and optionally Prometheus."""

from typing import Any

from model_deployer.deployment.readme import readme
from model_deployer.deployment.workload import LIVE, METRICS, PORT, USER, Workload, formulas, replica_sizes
from model_deployer.monitoring.monitoring import ALERTS, monitoring
from model_deployer.package.sizing import STARTUP_HEADROOM
from model_deployer.writing.yaml_text import to_yaml

Document = dict[str, Any]

#: The limit of processes and threads: more than a server needs on a machine with many cores, but it stops a fork bomb.
PIDS_LIMIT = 512

#: The in-memory file system for the server's metrics.
TMPFS = "/tmp:size=64m,mode=1777"

#: A release with long-term support.
PROMETHEUS = "docker.io/prom/prometheus:v3.5.0"

_SERVICE = "model"


def compose(workload: Workload) -> dict[str, str]:
    """Return the files by path."""
    return {
        "README.md": readme("compose", workload, replica_sizes(workload), port=PORT),
        "compose.yaml": to_yaml(project(workload), formulas(replica_sizes(workload))),
        "prometheus.yml": to_yaml(prometheus()),
        "alerts.yml": monitoring(workload.package)[ALERTS],
    }


def project(workload: Workload) -> Document:
    """Return the Compose project; ``--profile monitoring`` starts Prometheus, too."""
    return {
        "name": workload.name(),
        "services": {_SERVICE: _model(workload), "prometheus": _prometheus()},
        "volumes": {"prometheus": {}},
    }


def _model(workload: Workload) -> Document:
    start = STARTUP_HEADROOM * workload.sizing.measured.cold_start_seconds
    probe = f"import urllib.request as u; u.urlopen('http://127.0.0.1:{PORT}{LIVE}', timeout=2)"
    return {
        "image": workload.image,
        "environment": ["DEPLOYER_API_KEYS"],
        "ports": [f"127.0.0.1:{PORT}:{PORT}"],
        "user": f"{USER}:{USER}",
        **_HARDENED,
        "tmpfs": [TMPFS],
        "pids_limit": PIDS_LIMIT,
        **_resources(workload),
        "restart": "unless-stopped",
        "stop_grace_period": f"{workload.grace_period_seconds}s",
        "healthcheck": {
            "test": ["CMD", "python", "-c", probe],
            "interval": "10s",
            "timeout": "3s",
            "retries": 3,
            "start_period": f"{round(start) + 1}s",
        },
    }


_HARDENED: Document = {"read_only": True, "cap_drop": ["ALL"], "security_opt": ["no-new-privileges:true"]}


def _resources(workload: Workload) -> Document:
    """Return the limits that were measured. Without `memswap_limit`, the container may swap as much again."""
    cores, memory = workload.sizing.cpu_limit, workload.sizing.memory_limit
    limits: Document = {} if cores is None else {"cpus": cores}
    return limits | ({} if memory is None else {"mem_limit": memory, "memswap_limit": memory})


def _prometheus() -> Document:
    return {
        "image": PROMETHEUS,
        "profiles": ["monitoring"],
        "command": ["--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/prometheus"],
        "volumes": [
            "./prometheus.yml:/etc/prometheus/prometheus.yml:ro",
            "./alerts.yml:/etc/prometheus/alerts.yml:ro",
            "prometheus:/prometheus",
        ],
        "ports": ["127.0.0.1:9090:9090"],
        **_HARDENED,
        "restart": "unless-stopped",
    }


def prometheus() -> Document:
    """Return the configuration of Prometheus, with the alerts of the package."""
    return {
        "global": {"scrape_interval": "30s", "evaluation_interval": "30s"},
        "rule_files": ["alerts.yml"],
        "scrape_configs": [
            {
                "job_name": _SERVICE,
                "metrics_path": METRICS,
                "static_configs": [{"targets": [f"{_SERVICE}:{PORT}"]}],
            }
        ],
    }
