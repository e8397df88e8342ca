"""The machine that the figures were measured on."""

import platform
import re
import subprocess
from pathlib import Path

import psutil

from model_deployer.package.measurements import Machine
from model_deployer.system.command import run
from model_deployer.system.cpus import cpu_count, read_cgroup_file


def machine() -> Machine:
    """Return a description of this machine, with the cores and the memory that this process may use."""
    return Machine(
        processor=_processor(),
        cores=cpu_count(),
        memory_bytes=_memory(),
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        python=platform.python_version(),
        gpu=_gpu(),
    )


def _processor() -> str | None:
    try:
        cpuinfo = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor() or None
    match = re.search(r"^model name\s*:\s*(.+)$", cpuinfo, re.MULTILINE)
    return match[1] if match else None


def _memory() -> int:
    """Return the bytes of memory of this machine, capped by the limit of this process's container."""
    limits = read_cgroup_file("memory.max") or read_cgroup_file("memory/memory.limit_in_bytes")
    total: int = psutil.virtual_memory().total
    return min([total, *map(int, filter(str.isdigit, limits))])


def _gpu() -> str | None:
    """Return the names of the GPUs, with the count of equal ones; None if there are none."""
    command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    try:
        completed = run(command, timeout_seconds=30)
    except (OSError, subprocess.TimeoutExpired):
        return None
    gpus = [] if completed.returncode else completed.stdout.splitlines()
    names = [f"{gpus.count(name)} x {name}" if gpus.count(name) > 1 else name for name in dict.fromkeys(gpus)]
    return ", ".join(names) or None
