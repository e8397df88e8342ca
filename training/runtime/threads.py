"""Choose the number of threads on a machine that other processes use too."""

import os

from model_deployer.system.cpus import cpu_count

#: A matrix with fewer values than this is processed fastest by one thread.
_MIN_VALUES = 500_000


def idle_cores(values: int) -> int:
    """Return the number of idle cores, or 1 for a small matrix, for which the overhead of threads is too large.

    Args:
        values: The number of values of the matrix: rows times columns.
    """
    if values < _MIN_VALUES:
        return 1
    busy = round(os.getloadavg()[0]) if hasattr(os, "getloadavg") else 0
    return max(1, cpu_count() - busy)
