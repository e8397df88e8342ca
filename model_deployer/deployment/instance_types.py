"""The instance types of clouds, and the smallest one that is large enough for a replica."""

from collections.abc import Sequence
from dataclasses import dataclass

from model_deployer.contract.errors import UsageError
from model_deployer.deployment.workload import Workload

_GIB = 1024**3


@dataclass(frozen=True)
class InstanceType:
    """An instance type, as its cloud describes it.

    Attributes:
        name: The name in the cloud's API.
        cores: The number of virtual processor cores.
        memory: The memory in GiB.
    """

    name: str
    cores: int
    memory: float


#: The share of an instance's memory that containers can use; the operating system and the cloud's agents need the rest.
CONTAINER_MEMORY_SHARE = 0.75


def smallest_instance_type(instance_types: Sequence[InstanceType], workload: Workload) -> InstanceType:
    """Return the first instance type with the cores and the memory of a replica; unmeasured needs count as none.

    Args:
        instance_types: The instance types, from the smallest to the largest.
        workload: The workload whose replica must fit.

    Raises:
        UsageError: If no instance type is large enough.
    """
    cores, memory = workload.sizing.cpu_limit or 0, (workload.sizing.memory_limit or 0) / _GIB
    for instance_type in instance_types:
        if instance_type.cores >= cores and CONTAINER_MEMORY_SHARE * instance_type.memory >= memory:
            return instance_type
    raise UsageError(
        f"a replica needs {cores} cores and {memory:.3g} GiB, more than {instance_types[-1].name} has; deploy it to "
        "Kubernetes, where a node may be of any size"
    )
