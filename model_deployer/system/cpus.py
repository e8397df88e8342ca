"""How many CPU cores this process may use."""

import os
from pathlib import Path

#: The folder with the limits of this process's container (cgroups, version 2 and version 1).
CGROUP_ROOT = Path("/sys/fs/cgroup")


def cpu_count() -> int:
    """Return the number of cores that this process may run on, capped by the CPU quota of its container; at least 1."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    match read_cgroup_file("cpu.max") or (
        read_cgroup_file("cpu/cpu.cfs_quota_us") + read_cgroup_file("cpu/cpu.cfs_period_us")
    ):
        case [quota, period] if quota.isdigit():
            return max(1, min(allowed, int(quota) // int(period)))
    return allowed


def read_cgroup_file(name: str) -> list[str]:
    """Return the words of a file of the container's limits.

    Args:
        name: The path of the file below ``CGROUP_ROOT``.

    Returns:
        Numbers, or "max" or "-1" if there is no limit; an empty list if the file does not exist.
    """
    try:
        return (CGROUP_ROOT / name).read_text(encoding="ascii").split()
    except OSError:
        return []
