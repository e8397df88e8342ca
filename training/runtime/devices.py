"""The devices that fit a network: CPU or GPUs, in one or several processes, on one or several machines."""

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

#: The number of threads of each process of a fit. With one thread, the weights do not depend on the number of cores,
#: and the duration does not depend on other processes on these cores.
THREADS = 1

#: The time that launched processes wait for the first one, which fits all other candidates before the network.
PROCESS_TIMEOUT = timedelta(days=7)

#: The default number of members of the network. On a GPU, four times as many members take hardly more time.
CPU_MEMBERS, GPU_MEMBERS = 8, 32

#: The planned number of multiplications on a GPU as a multiple of those on one CPU core; a GPU achieves at least this
#: with small batches.
GPU_CORES = 16


@dataclass(frozen=True)
class Devices:
    """The devices of a fit; each has a process of its own.

    Attributes:
        accelerator: The type of the devices.
        devices: The number of devices per machine.
        nodes: The number of machines.
        launched: Whether torchrun or SLURM started each process; if not, the fit starts them.
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
        """The work that one device can do, as a multiple of the work of one CPU core."""
        return GPU_CORES if self.accelerator == "gpu" else 1

    def trainer_arguments(self) -> dict[str, Any]:
        """Return the arguments of a Lightning ``Trainer`` for these devices.

        On one machine, the fit starts its processes itself, so that everything else runs once. It spawns them, because
        the fork of a process that has already used OpenMP, polars or CUDA may hang.
        """
        is_distributed = self.devices * self.nodes > 1
        if is_distributed and not self.launched:
            os.environ.pop("MASTER_PORT", None)  # left by the previous fit; each fit looks for a free port
        strategy = _ProcessStrategy(start_method="popen" if self.launched else "spawn") if is_distributed else "auto"
        return {
            "accelerator": self.accelerator,
            "devices": self.devices,
            "num_nodes": self.nodes,
            "strategy": strategy,
            "plugins": [_environment() if self.launched else LightningEnvironment()],
            "use_distributed_sampler": False,
        }


ONE_CPU = Devices()


def choose_devices(estimator: Estimator) -> Devices:
    """Return the devices that model.yaml requests.

    Raises:
        EnvironmentFault: if this machine does not have them, or the launched processes differ from the request.
    """
    accelerator = _accelerator(estimator)
    devices = _device_count(estimator, accelerator)
    started = launch()
    request = f"`estimator` requests {estimator.nodes} x {devices} (`nodes` x `devices`) processes"
    if started.processes == 1:
        if estimator.nodes > 1:
            raise EnvironmentFault(
                f"{request}; start each of them with torchrun or srun, as docs/01-model-yaml.md shows, or set "
                f"`nodes: 1`"
            )
        return Devices(accelerator, devices)
    if (started.nodes, started.processes) != (estimator.nodes, estimator.nodes * devices):
        raise EnvironmentFault(
            f"{request}, but {started.by} started {started.processes} on {started.nodes} nodes; make the two agree"
        )
    if estimator.budget_seconds is not None:
        raise EnvironmentFault(
            f"`estimator.budget_seconds` is not supported for processes that {started.by} started, because they do "
            f"not share a clock; set `epochs` and `trials` instead"
        )
    return Devices(accelerator, devices, estimator.nodes, launched=True)


def broadcast_decision(decision: T) -> T:
    """Return the decision of the first of several processes, or the decision itself in a single process."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return decision
    decisions = [decision]
    torch.distributed.broadcast_object_list(decisions)
    return decisions[0]


def members(estimator: Estimator) -> int:
    """Return the number of networks in the ensemble; 1 for ``mlp``."""
    if estimator.name == "mlp":
        return 1
    return estimator.members or (GPU_MEMBERS if _accelerator(estimator) == "gpu" else CPU_MEMBERS)


def _accelerator(estimator: Estimator) -> Literal["cpu", "gpu"]:
    if estimator.accelerator == "gpu" and not torch.cuda.is_available():
        raise EnvironmentFault(
            "`estimator.accelerator: gpu` is set, but torch finds no GPU on this machine; install the build of torch "
            "for this GPU and driver, or set `auto` or `cpu`"
        )
    if estimator.accelerator == "cpu" or not torch.cuda.is_available():
        return "cpu"
    return "gpu"


def _device_count(estimator: Estimator, accelerator: str) -> int:
    available = torch.cuda.device_count() if accelerator == "gpu" else 1
    if estimator.devices == "auto":
        return available
    if accelerator == "gpu" and estimator.devices > available:
        raise EnvironmentFault(
            f"`estimator.devices: {estimator.devices}` is set, but torch finds {available} GPUs on this machine; set "
            f"at most that number, or `auto`"
        )
    return estimator.devices


def _environment() -> ClusterEnvironment:
    if launch().by == "torchrun":
        return TorchElasticEnvironment()
    try:
        return SLURMEnvironment(auto_requeue=False)
    except RuntimeError:
        raise EnvironmentFault("start the SLURM job with `--ntasks-per-node`, not only with `--ntasks`") from None


class _ProcessStrategy(DDPStrategy):
    """Processes that average their gradients: DistributedDataParallel, over NCCL for GPUs and Gloo for CPUs."""

    def __init__(self, start_method: Literal["popen", "spawn"]) -> None:
        super().__init__(start_method=start_method, timeout=PROCESS_TIMEOUT)

    def setup_environment(self) -> None:
        """Apply the settings of the parent process to a spawned one; see :mod:`training.runtime.silence`."""
        logging.disable(logging.WARNING)
        warnings.simplefilter("ignore")
        torch.set_num_threads(THREADS)
        super().setup_environment()
