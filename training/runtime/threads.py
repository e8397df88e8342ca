"""How many threads work best on a machine that does other things too."""

import os

from model_deployer.system.cpus import cpu_count

#: Values of a matrix that one thread is fastest with.
_SMALL = 500_000


def idle_cores(values: int) -> int:
    """The cores that are idle; one where the matrix is small: threads that wait for each other take longer than one.

    Args:
        values: Rows by columns of what is to be worked on.
    """
    if values < _SMALL:
        return 1
    busy = round(os.getloadavg()[0]) if hasattr(os, "getloadavg") else 0
    return max(1, cpu_count() - busy)
