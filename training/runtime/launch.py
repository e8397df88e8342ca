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
        rank: Its number, from 0; the first one leads: it alone speaks, evaluates and saves.
        processes: How many were launched together.
        nodes: On how many machines, or agents of torchrun.
        by: What launched them; None where this process was started alone.
    """

    rank: int = 0
    processes: int = 1
    nodes: int = 1
    by: Literal["torchrun", "slurm"] | None = None

    @property
    def is_worker(self) -> bool:
        """Whether another process leads."""
        return self.rank > 0


def launch() -> Launch:
    """What the environment says; a process that was launched with no other was started alone."""
    for by, names in _VARIABLES.items():
        values = [os.environ.get(name, "") for name in names]
        if all(value.isdecimal() for value in values):
            rank, processes, nodes = map(int, values)
            return Launch(rank, processes, nodes, by) if processes > 1 else Launch()
    return Launch()
