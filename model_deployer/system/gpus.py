"""The GPUs that this process may use."""

import os
from pathlib import Path

#: The variable that limits the GPUs of a process.
VARIABLE = "CUDA_VISIBLE_DEVICES"

#: The folder in which NVIDIA's driver lists its GPUs.
DRIVER = Path("/proc/driver/nvidia/gpus")


def visible_gpus() -> list[str]:
    """Return the NVIDIA GPUs that this process may use, as the variable names them."""
    visible = os.environ.get(VARIABLE)
    if visible is not None:
        return [device.strip() for device in visible.split(",") if device.strip() not in ("", "-1")]
    return [str(number) for number in range(len(list(DRIVER.iterdir())))] if DRIVER.is_dir() else []
