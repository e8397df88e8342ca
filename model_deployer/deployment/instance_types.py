"""The machines that clouds rent by name: the smallest one that holds a replica."""

from collections.abc import Sequence
from dataclasses import dataclass

from model_deployer.contract.errors import UsageError
from model_deployer.deployment.workload import Workload

_GIB = 1024**3


@dataclass(frozen=True)
class InstanceType:
    """A kind of machine, as its cloud describes it.

    Attributes:
        name: As it is ordered.
        cores: Virtual processor cores.
        memory: GiB.
    """

    name: str
    cores: int
    memory: float


#: The part of a machine's memory that containers get: its system and the cloud's agents take the rest.
FOR_CONTAINERS = 0.75


def smallest_instance_type(machines: Sequence[InstanceType], workload: Workload) -> InstanceType:
    """The first machine that has the cores and the memory of a replica; what was not measured asks for nothing.

    Args:
        machines: From the smallest to the largest.
        workload: What is to run.

    Raises:
        UsageError: None is large enough.
    """
    cores, memory = workload.sizing.cpu_limit or 0, (workload.sizing.memory_limit or 0) / _GIB
    for machine in machines:
        if machine.cores >= cores and FOR_CONTAINERS * machine.memory >= memory:
            return machine
    raise UsageError(
        f"a replica takes {cores} cores and {memory:.3g} GiB, more than {machines[-1].name} has; deploy it to "
        "Kubernetes, where a node may be of any size"
    )
