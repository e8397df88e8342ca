"""How many CPU cores this process may use."""

import os
from pathlib import Path

#: Where a container finds its own limits (cgroups, version 2 and version 1).
CGROUPS = Path("/sys/fs/cgroup")


def cpu_count() -> int:
    """The cores that this process may run on, and no more than its container is given the time of."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    match cgroup("cpu.max") or cgroup("cpu/cpu.cfs_quota_us") + cgroup("cpu/cpu.cfs_period_us"):
        case [quota, period] if quota.isdigit():
            return max(1, min(allowed, int(quota) // int(period)))
    return allowed


def cgroup(name: str) -> list[str]:
    """The words of a file of the container's limits: numbers, or "max" or -1 where there is no limit; [] without it."""
    try:
        return (CGROUPS / name).read_text(encoding="ascii").split()
    except OSError:
        return []
