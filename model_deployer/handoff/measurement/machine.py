"""The machine that figures come from."""

import os
import platform
import re
import subprocess
from pathlib import Path

import psutil

from model_deployer.package.measurements import Machine

#: Where a container finds its own limits: of version 2 of cgroups, and of version 1.
_CGROUPS = Path("/sys/fs/cgroup")


def machine() -> Machine:
    """This machine, as far as it tells: what this process may use of it, and not what is built in."""
    return Machine(
        processor=_processor(),
        cores=_cores(),
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


def _cores() -> int:
    """Those that this process may run on, and no more than its container is given the time of."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    match _words("cpu.max") or _words("cpu/cpu.cfs_quota_us") + _words("cpu/cpu.cfs_period_us"):
        case [quota, period] if quota.isdigit():
            return max(1, min(allowed, int(quota) // int(period)))
    return allowed


def _memory() -> int:
    """What is built in, and no more than this process's container is given."""
    limits = _words("memory.max") or _words("memory/memory.limit_in_bytes")
    built_in: int = psutil.virtual_memory().total
    return min([built_in, *map(int, filter(str.isdigit, limits))])


def _words(name: str) -> list[str]:
    """What a file of the container's limits says: numbers, or "max" or -1 where there is no limit."""
    try:
        return (_CGROUPS / name).read_text(encoding="ascii").split()
    except OSError:
        return []


def _gpu() -> str | None:
    """The names of the GPUs, equal ones counted."""
    command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout.splitlines()
    except (OSError, subprocess.SubprocessError):
        return None
    names = [f"{found.count(name)} x {name}" if found.count(name) > 1 else name for name in dict.fromkeys(found)]
    return ", ".join(names) or None
