"""What a network is fitted on: the CPU or GPUs, in one process or several, on one machine or several."""

import logging
import os
import warnings
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal, TypeVar

import torch
from lightning_fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from pytorch_lightning.strategies import DDPStrategy

from model_deployer.contract.errors import EnvironmentFault
from model_deployer.training.runtime.launch import launch
from model_deployer.training.spec import Estimator

T = TypeVar("T")

#: Threads of each process of a fit. With one, weights do not depend on the number of cores, nor the time on what else
#: they do.
THREADS = 1

#: How long launched processes wait for the first one, which fits all other candidates before the network.
PROCESS_TIMEOUT = timedelta(days=7)

#: Members of the network where model.yaml says none. On a GPU, four times as many cost little more time.
CPU_MEMBERS, GPU_MEMBERS = 8, 32

#: How many times the multiplications of one core a GPU is trusted with; of small batches it does that many at least.
GPU_CORES = 16


@dataclass(frozen=True)
class Devices:
    """The processes of a fit; each has a device of its own.

    Attributes:
        accelerator: The kind of the devices.
        devices: How many a machine.
        nodes: How many machines.
        launched: Whether torchrun or SLURM started each process, and not the fit.
    """

    accelerator: Literal["cpu", "gpu"] = "cpu"
    devices: int = 1
    nodes: int = 1
    launched: bool = False

    @property
    def first(self) -> torch.device:
        """The device of the first process of this machine."""
        return torch.device("cuda", 0) if self.accelerator == "gpu" else torch.device("cpu")

    @property
    def cores(self) -> int:
        """How many times the work of one CPU core one of the devices is good for."""
        return GPU_CORES if self.accelerator == "gpu" else 1

    def arguments(self) -> dict[str, Any]:
        """What a Lightning ``Trainer`` is told of them.

        On one machine the fit starts its processes itself, so that all else runs once. It spawns them: a fork of a
        process in which OpenMP, polars or CUDA have already run may hang.
        """
        several = self.devices * self.nodes > 1
        if several and not self.launched:
            os.environ.pop("MASTER_PORT", None)  # of the fit before: each looks for a free one
        return {
            "accelerator": self.accelerator,
            "devices": self.devices,
            "num_nodes": self.nodes,
            "strategy": _Processes(start_method="popen" if self.launched else "spawn") if several else "auto",
            "plugins": [_environment() if self.launched else LightningEnvironment()],
            "use_distributed_sampler": False,
        }


ONE_CPU = Devices()


def choose_devices(estimator: Estimator) -> Devices:
    """Those that model.yaml asks for.

    Raises:
        EnvironmentFault: They are not here, or the processes that were launched are others.
    """
    accelerator = _accelerator(estimator)
    devices = _devices(estimator, accelerator)
    started = launch()
    asked = f"`estimator` asks for {estimator.nodes} x {devices} (`nodes` x `devices`) processes"
    if started.processes == 1:
        if estimator.nodes > 1:
            raise EnvironmentFault(
                f"{asked}; start each of them with torchrun or srun, as docs/01-model-yaml.md shows, or say `nodes: 1`"
            )
        return Devices(accelerator, devices)
    if (started.nodes, started.processes) != (estimator.nodes, estimator.nodes * devices):
        raise EnvironmentFault(
            f"{asked}, but {started.by} started {started.processes} on {started.nodes}; let both say the same"
        )
    if estimator.budget_seconds is not None:
        raise EnvironmentFault(
            "`estimator.budget_seconds` is counted by one clock, so it cannot be kept by processes that "
            f"{started.by} started; say `epochs` and `trials` instead"
        )
    return Devices(accelerator, devices, estimator.nodes, launched=True)


def broadcast_decision(decision: T) -> T:
    """What the first of the processes that fitted something together decided; of a process alone its own decision."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return decision
    told = [decision]
    torch.distributed.broadcast_object_list(told)
    return told[0]


def members(estimator: Estimator) -> int:
    """How many networks the ensemble has; one where it is to be a plain network."""
    if estimator.name == "mlp":
        return 1
    return estimator.members or (GPU_MEMBERS if _accelerator(estimator) == "gpu" else CPU_MEMBERS)


def _accelerator(estimator: Estimator) -> Literal["cpu", "gpu"]:
    if estimator.accelerator == "gpu" and not torch.cuda.is_available():
        raise EnvironmentFault(
            "`estimator.accelerator: gpu`, but torch sees no GPU here; install its build for this GPU and driver, or "
            "say `auto` or `cpu`"
        )
    if estimator.accelerator == "cpu" or not torch.cuda.is_available():
        return "cpu"
    return "gpu"


def _devices(estimator: Estimator, accelerator: str) -> int:
    there = torch.cuda.device_count() if accelerator == "gpu" else 1
    if estimator.devices == "auto":
        return there
    if accelerator == "gpu" and estimator.devices > there:
        raise EnvironmentFault(f"`estimator.devices: {estimator.devices}`, but torch sees {there} here")
    return estimator.devices


def _environment() -> ClusterEnvironment:
    if launch().by == "torchrun":
        return TorchElasticEnvironment()
    try:
        return SLURMEnvironment(auto_requeue=False)
    except RuntimeError:
        raise EnvironmentFault("SLURM has to be told `--ntasks-per-node`, not only `--ntasks`") from None


class _Processes(DDPStrategy):
    """Processes that average their gradients: DistributedDataParallel, over NCCL for GPUs and Gloo for CPUs."""

    def __init__(self, start_method: Literal["popen", "spawn"]) -> None:
        super().__init__(start_method=start_method, timeout=PROCESS_TIMEOUT)

    def setup_environment(self) -> None:
        """Make a process that was just spawned like the one that spawned it; see :mod:`training.runtime.silence`."""
        logging.disable(logging.WARNING)
        warnings.simplefilter("ignore")
        torch.set_num_threads(THREADS)
        super().setup_environment()
