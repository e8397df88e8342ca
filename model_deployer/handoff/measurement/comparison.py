"""Whether two measurements of a model agree, and if not, what differed between them."""

from collections.abc import Iterator
from dataclasses import dataclass

from model_deployer.contract.number_format import count, percent
from model_deployer.package.measurements import Measurements
from model_deployer.package.sizing import Sizing

#: Two measurements on one machine that is not busy agree within this share.
TOLERANCE = 0.15

_MIB = 1024 * 1024


@dataclass(frozen=True)
class Difference:
    """A figure in two measurements.

    Attributes:
        name: What was measured, with its unit.
        old, new: The values, above 0.
    """

    name: str
    old: float
    new: float

    @property
    def is_within(self) -> bool:
        """Whether the larger value exceeds the smaller one by no more than ``TOLERANCE``."""
        return max(self.old, self.new) <= (1 + TOLERANCE) * min(self.old, self.new)

    def __str__(self) -> str:
        """The figure as a line: its name, both values and their ratio."""
        change = self.new / self.old - 1
        return f"{self.name}: {self.old:,.4g} -> {self.new:,.4g} ({'+' if change >= 0 else '-'}{percent(abs(change))})"


def differences(old: Measurements, new: Measurements) -> Iterator[Difference]:
    """Yield the figures that both measurements have.

    Latencies are compared by their medians: a 99th percentile of some seconds varies by more than ``TOLERANCE``.
    """
    best = (Sizing(measured, timeout_seconds=0).best_load for measured in (old, new))
    yield Difference("requests per second, at most", *(step.requests_per_second for step in best))
    newer = {(step.rows, step.clients): step for step in new.steps}
    for step in old.steps:
        if (step.rows, step.clients) in newer:
            name = f"p50 in ms, {count(step.clients, 'client')}, {count(step.rows, 'row')}"
            yield Difference(name, step.p50, newer[step.rows, step.clients].p50)
    if old.memory_loaded_bytes and new.memory_loaded_bytes:
        yield Difference("peak memory in MiB", old.memory_loaded_bytes / _MIB, new.memory_loaded_bytes / _MIB)


def reasons(old: Measurements, new: Measurements) -> Iterator[str]:
    """Yield what can explain why two measurements differ."""
    for name in ("processor", "cores", "gpu"):
        before, after = getattr(old.machine, name), getattr(new.machine, name)
        if before != after:
            yield f"another machine: {name} {before}, then {after}"
    for which, measured in (("first", old), ("second", new)):
        if measured.is_busy:
            yield f"the machine was busy during the {which} measurement: {measured.others}"
        elif not any(step.conditions for step in measured.steps):
            yield f"the {which} measurement does not tell what else ran on the machine"
    frequencies = [_megahertz(measured) for measured in (old, new)]
    if all(frequencies) and max(frequencies) > (1 + TOLERANCE) * min(frequencies):
        yield f"the frequency of the cores: {frequencies[0]:,.0f} MHz, then {frequencies[1]:,.0f} MHz"


def _megahertz(measured: Measurements) -> float:
    """Return the average frequency during a measurement; 0 if it is not known."""
    conditions = [step.conditions for step in measured.steps if step.conditions]
    frequencies = [each.megahertz for each in conditions if each.megahertz]
    return sum(frequencies) / len(frequencies) if frequencies else 0.0
