"""The metrics of the processes of a server, which prometheus_client leaves out where there are several."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from model_deployer.serving.observability import metric_files, metric_specs


class ProcessCollector(Collector):
    """Reads what the system knows about the parent and its workers.

    Args:
        folder: The folder with the places of the workers; None for this process alone.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics, with a sample for each process."""
        labels = metric_specs.PROCESS_CPU.labels
        cpu = CounterMetricFamily(metric_specs.PROCESS_CPU.name, metric_specs.PROCESS_CPU.about, labels=labels)
        memory, files, start = (
            GaugeMetricFamily(spec.name, spec.about, labels=labels)
            for spec in (metric_specs.PROCESS_MEMORY, metric_specs.PROCESS_FILES, metric_specs.PROCESS_START)
        )
        for name, pid in self._processes():
            with suppress(psutil.Error):
                process = psutil.Process(pid)
                with process.oneshot():
                    times = process.cpu_times()
                    values = process.memory_info().rss, process.num_fds(), process.create_time()
                cpu.add_metric([name], times.user + times.system)
                for gauge, value in zip((memory, files, start), values, strict=True):
                    gauge.add_metric([name], value)
        yield from (cpu, memory, files, start)

    def _processes(self) -> Iterator[tuple[str, int]]:
        if self._folder is None:
            yield "1", os.getpid()
            return
        yield "parent", os.getppid()
        for occupant in metric_files.occupants(self._folder):
            yield str(occupant.number), occupant.pid
