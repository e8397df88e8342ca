"""The machine that figures come from."""

import platform
import re
import subprocess
from pathlib import Path

import psutil

from model_deployer.package.measurements import Machine
from model_deployer.system.command import run
from model_deployer.system.cpus import cpu_count, read_cgroup_file


def machine() -> Machine:
    """This machine, as far as it tells: what this process may use of it, and not what is built in."""
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
        described = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor() or None
    named = re.search(r"^model name\s*:\s*(.+)$", described, re.MULTILINE)
    return named[1] if named else None


def _memory() -> int:
    """What is built in, and no more than this process's container is given."""
    limits = read_cgroup_file("memory.max") or read_cgroup_file("memory/memory.limit_in_bytes")
    built_in: int = psutil.virtual_memory().total
    return min([built_in, *map(int, filter(str.isdigit, limits))])


def _gpu() -> str | None:
    """The names of the GPUs, equal ones counted."""
    command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    try:
        completed = run(command, timeout_seconds=30)
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = [] if completed.returncode else completed.stdout.splitlines()
    names = [f"{found.count(name)} x {name}" if found.count(name) > 1 else name for name in dict.fromkeys(found)]
    return ", ".join(names) or None
