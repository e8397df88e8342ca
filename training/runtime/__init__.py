"""The resources of a training run: devices, threads, the terminal, time."""
