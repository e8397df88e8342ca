"""What a training run uses of the machine: devices, threads, the terminal, time."""
