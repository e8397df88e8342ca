"""The pod of the Deployment, run by podman as its manifest says: `make test-image` names the image in IMAGE.

Podman knows nothing of services, autoscalers, budgets or network policies; those were never run.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from deployment.kubernetes import deployment
from deployment.workload import READY, USER
from tests.deployment.workloads import workload
from tests.handoff.observed import MEASURED, MIB
from tests.processes import until

pytestmark = [
    pytest.mark.skipif(shutil.which("podman") is None, reason="podman is not installed"),
    pytest.mark.skipif("IMAGE" not in os.environ, reason="IMAGE names no image to run"),
]

ASK = f"import urllib.request as u; print(u.urlopen('http://127.0.0.1:3000{READY}').status)"

LOOK = """
import os, pathlib
status = dict(line.split(":\\t", 1) for line in pathlib.Path("/proc/self/status").read_text().splitlines())
pathlib.Path("/tmp/x").write_text("")
try:
    pathlib.Path("/x").write_text("")
except OSError as error:
    print(error.strerror, os.getuid(), status["CapEff"], status["CapBnd"], status["NoNewPrivs"], status["Seccomp"])
"""


def podman(*command: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(["podman", *command], capture_output=True, text=True, timeout=120, check=False)


def inspect(container: str) -> Any:
    return json.loads(podman("inspect", container).stdout)[0]


@contextmanager
def played(folder: Path, memory: int) -> Iterator[str]:
    """The name of the container of a pod that was measured to hold so much memory, as it runs."""
    measured = MEASURED.model_copy(update={"memory_loaded_bytes": memory})
    written = replace(workload(measured), image=os.environ["IMAGE"])
    spec = deployment(written, "canary")["spec"]["template"]["spec"] | {"restartPolicy": "Never"}
    # Podman would map them to ports of this machine.
    del spec["containers"][0]["ports"]
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "played"}, "spec": spec}
    manifest = folder / "pod.yaml"
    manifest.write_text(yaml.safe_dump(pod))
    done = podman("play", "kube", "--network", "none", str(manifest))
    try:
        assert done.returncode == 0, done.stderr
        yield "played-model"
    finally:
        podman("play", "kube", "--down", str(manifest))


def test_the_pod_gets_ready_as_nobody_with_no_privileges_and_files_that_it_cannot_change(tmp_path: Path) -> None:
    with played(tmp_path, 300 * MIB) as container:
        until(lambda: podman("exec", container, "python", "-c", ASK).stdout == "200\n")
        seen = podman("exec", container, "python", "-c", LOOK).stdout.split()
        nothing = "0" * 16
        assert seen == ["Read-only", "file", "system", str(USER), nothing, nothing, "1", "2"]
        limits = inspect(container)["HostConfig"]
        assert limits["Memory"] == 512 * MIB  # 1.5 x 300 MiB, rounded up
        assert limits["CpuQuota"] == 2 * limits["CpuPeriod"]


def test_a_pod_that_takes_more_memory_than_was_measured_is_ended(tmp_path: Path) -> None:
    with played(tmp_path, 40 * MIB) as container:
        assert podman("wait", container).stdout == "137\n"
        assert inspect(container)["HostConfig"]["Memory"] == 64 * MIB
