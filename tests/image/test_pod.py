"""The pod of the Deployment, run by podman from its manifest.

Podman does not support services, autoscalers, disruption budgets or network policies, so these are not run.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from model_deployer.deployment.kubernetes import deployment
from model_deployer.deployment.workload import READY, USER
from tests.image.podman import Podman
from tests.support.observed import MEASURED, MIB
from tests.support.processes import until
from tests.support.workloads import workload

pytestmark = pytest.mark.image

REQUEST_READY = f"import urllib.request as u; print(u.urlopen('http://127.0.0.1:3000{READY}').status)"

PRINT_RESTRICTIONS = """
import os, pathlib
status = dict(line.split(":\\t", 1) for line in pathlib.Path("/proc/self/status").read_text().splitlines())
pathlib.Path("/tmp/x").write_text("")
try:
    pathlib.Path("/x").write_text("")
except OSError as error:
    print(error.strerror, os.getuid(), status["CapEff"], status["CapBnd"], status["NoNewPrivs"], status["Seccomp"])
"""


def inspect(podman: Podman, container: str) -> Any:
    return json.loads(podman.run("inspect", container))[0]


@contextmanager
def run_pod(podman: Podman, image: str, folder: Path, memory: int) -> Iterator[str]:
    """Run the pod whose measured memory is ``memory`` bytes, and yield the name of its container."""
    measured = MEASURED.model_copy(update={"memory_loaded_bytes": memory})
    pod_workload = replace(workload(measured), image=image)
    spec = deployment(pod_workload, "canary")["spec"]["template"]["spec"] | {"restartPolicy": "Never"}
    # Podman would map the ports to ports of this machine.
    del spec["containers"][0]["ports"]
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "played"}, "spec": spec}
    manifest = folder / "pod.yaml"
    manifest.write_text(yaml.safe_dump(pod))
    try:
        podman.run("play", "kube", "--network=none", manifest)
        yield "played-model"
    finally:
        podman.run("play", "kube", "--down", manifest)


def test_pod_runs_unprivileged_on_read_only_files(podman: Podman, image: str, tmp_path: Path) -> None:
    """The pod gets ready as an unprivileged user, on files that it cannot change."""
    with run_pod(podman, image, tmp_path, 300 * MIB) as container:
        until(lambda: podman.do("exec", container, "python", "-c", REQUEST_READY).stdout == "200\n")
        restrictions = podman.run("exec", container, "python", "-c", PRINT_RESTRICTIONS).split()
        no_capabilities = "0" * 16
        assert restrictions == ["Read-only", "file", "system", str(USER), no_capabilities, no_capabilities, "1", "2"]
        limits = inspect(podman, container)["HostConfig"]
        assert limits["Memory"] == 384 * MIB  # 1.25 x 300 MiB, rounded up
        assert limits["CpuQuota"] == 2 * limits["CpuPeriod"]


def test_what_takes_more_memory_than_the_limit_is_ended(podman: Podman, image: str, tmp_path: Path) -> None:
    with run_pod(podman, image, tmp_path, 300 * MIB) as container:
        assert podman.do("exec", container, "python", "-c", "bytearray(600 * 2**20)").returncode == 137
