"""How this process was started: alone, or as one of several that torchrun or SLURM launched together."""

import os
from dataclasses import dataclass
from typing import Literal

_VARIABLES: dict[Literal["torchrun", "slurm"], tuple[str, str, str]] = {
    "torchrun": ("RANK", "WORLD_SIZE", "GROUP_WORLD_SIZE"),
    "slurm": ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_STEP_NUM_NODES"),
}


@dataclass(frozen=True)
class Launch:
    """One process of a launch.

    Attributes:
        rank: The number of the process, from 0. The first one is the leader: only it prints, evaluates and saves.
        processes: The number of processes that were launched together.
        nodes: The number of machines, or of agents of torchrun.
        by: The program that launched them; None if this process was started alone.
    """

    rank: int = 0
    processes: int = 1
    nodes: int = 1
    by: Literal["torchrun", "slurm"] | None = None

    @property
    def is_worker(self) -> bool:
        """Whether another process is the leader."""
        return self.rank > 0


def launch() -> Launch:
    """Read the launch of this process from the environment; a launch of a single process counts as none."""
    for by, names in _VARIABLES.items():
        values = [os.environ.get(name, "") for name in names]
        if all(value.isdecimal() for value in values):
            rank, processes, nodes = map(int, values)
            return Launch(rank, processes, nodes, by) if processes > 1 else Launch()
    return Launch()
